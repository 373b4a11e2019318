"""JSON and TOML of any origin: no size, depth or number in them may do harm."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from sast_deploy.base.reading.files import TEXTS, Expected, identify, read_bytes

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
    try:
        value = json.loads(text)
    except RecursionError:
        expected.refuse("is nested too deeply", where)
    except ValueError as error:  # UnicodeDecodeError and integers of thousands of digits among them
        expected.refuse(f"is no JSON, or cut off ({_line(error)})", where)
    _check_depth(value, where, expected)
    return value


def parse_toml(text: str, where: Path | str, expected: Expected) -> dict[str, Any]:
    """The tables of a TOML text. Raises `expected.error`: no TOML, nested more than 64 deep."""
    try:
        value: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        expected.refuse("is nested too deeply", where)
    except ValueError as error:
        expected.refuse(f"is not valid TOML: {_line(error)}", where)
    _check_depth(value, where, expected)
    return value


def _check_depth(value: Any, where: Path | str, expected: Expected) -> None:
    level, depth = [value], 0
    while level:
        if depth > DEPTH:
            expected.refuse(f"is nested more than {DEPTH} deep", where)
        parts = [each.values() if isinstance(each, dict) else each for each in level if _nested(each)]
        level, depth = [each for part in parts for each in part if _nested(each)], depth + 1


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


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
