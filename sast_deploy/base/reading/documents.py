"""JSON and TOML of any origin: no size, depth or number in them may do harm."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy.base.reading.files import TEXTS, Expected, identify, read_bytes
from sast_deploy.base.text import first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

JSON_BYTES, TOML_BYTES = 256 << 20, 1 << 20
DEPTH = 64  # of nested lists and tables


def read_json(path: Path, expected: Expected, limit: int = JSON_BYTES) -> Any:
    """The value of a JSON file in UTF-8. Raises `expected.error`."""
    return parse_json(_text(path, expected, limit), path, expected)


def read_toml(path: Path, expected: Expected) -> tuple[dict[str, Any], str]:
    """The tables of a TOML file, and its text. Raises `expected.error`."""
    text = io.StringIO(_text(path, expected, TOML_BYTES), newline=None).read()  # every end of line as \n
    return parse_toml(text, path, expected), text


def parse_json(text: str | bytes, where: Path | str, expected: Expected) -> Any:
    """The value of a JSON text. Raises `expected.error`: no JSON, cut off, nested more than 64 deep."""
    return _parsed(partial(json.loads, text), "is no JSON, or cut off ({})", where, expected)


def parse_toml(text: str, where: Path | str, expected: Expected) -> dict[str, Any]:
    """The tables of a TOML text. Raises `expected.error`: no TOML, nested more than 64 deep."""
    tables: dict[str, Any] = _parsed(partial(tomllib.loads, text), "is not valid TOML: {}", where, expected)
    return tables


def _parsed(parse: Callable[[], Any], wrong: str, where: Path | str, expected: Expected) -> Any:
    try:
        value = parse()
    except RecursionError:
        expected.refuse("is nested too deeply", where)
    except ValueError as error:  # UnicodeDecodeError and integers of thousands of digits among them
        expected.refuse(wrong.format(first_line(error)), where)
    level, depth = [value], 0
    while level:
        if depth > DEPTH:
            expected.refuse(f"is nested more than {DEPTH} deep", where)
        parts = [each.values() if isinstance(each, dict) else each for each in level if _nested(each)]
        level, depth = [each for part in parts for each in part if _nested(each)], depth + 1
    return value


def _nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _text(path: Path, expected: Expected, limit: int) -> str:
    if identify(path, expected) not in TEXTS:  # before its size, which says nothing then
        expected.refuse_kind(path)
    content = read_bytes(path, expected, limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        expected.refuse_kind(path)
