"""The schemas of the commands' documents: one a command, closed, as tools/schemas.py writes them; shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sast_deploy.base.errors import DataError, about
from sast_deploy.base.plain import plain
from sast_deploy.commands.answers import VERSIONS
from sast_deploy.commands.flags import FLAGS
from tests.commandlines import COMMANDS
from tools.schemas import OPEN, SCHEMAS, schemas, text_of

FILES = {path.stem: path for path in SCHEMAS.glob("*.json")}
ERROR = {
    "schema": "sast-deploy/error", "version": 1, "sast_deploy": "0.1.0", "command": "verify",
    "error": {
        "kind": "DataError", "message": "x: y", "what": "y", "where": "x", "expected": None, "todo": None,
        "exit_code": 2,
    },
}  # fmt: skip


def test_every_command_has_its_schema_and_its_flags() -> None:
    """A new command: call `answer`, declare the document in tools/schemas.py, run it (CONTRIBUTING.md)."""
    assert {name.replace(" ", "-") for name in COMMANDS} | {"error"} == set(FILES) == set(schemas())
    assert set(VERSIONS) <= set(FILES)
    for name, command in COMMANDS.items():
        options = {each.name: each for each in command.params if isinstance(each, click.Option)}
        assert set(FLAGS) <= set(options), name
        assert all(options[flag].is_flag for flag in FLAGS), name
        assert "-q" in options["quiet"].opts


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_those_that_the_declarations_give(name: str) -> None:
    assert FILES[name].read_text(encoding="utf-8") == text_of(schemas()[name]), "python tools/schemas.py"


@pytest.mark.parametrize("name", FILES)
def test_schemas_are_valid_and_every_object_is_closed(name: str) -> None:
    schema = json.loads(FILES[name].read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    objects = list(objects_of(schema))
    assert objects
    for each in objects:
        is_open = {key: value for key, value in each.items() if key != "description"} == OPEN
        assert is_open or "additionalProperties" in each, each
        assert set(each.get("required", ())) <= set(each.get("properties", ())), each
    for kind in schema.get("oneOf", [schema]):
        assert list(kind["properties"])[:3] == ["schema", "version", "sast_deploy"]
        assert kind["additionalProperties"] is False


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind == "object" or (isinstance(kind, list) and "object" in kind and set(schema) > {"type"}):
            yield {**schema, "type": "object"}
        for each in schema.values():
            yield from objects_of(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects_of(each)


def test_a_schema_refuses_what_it_does_not_know_and_misses_what_it_requires() -> None:
    valid = Draft202012Validator(schemas()["error"]).is_valid
    assert valid(ERROR)
    assert not valid({**ERROR, "more": 1})
    assert not valid({**ERROR, "version": 2})
    assert not valid({**ERROR, "error": {**ERROR["error"], "more": 1}})  # type: ignore[dict-item]
    for key in ERROR:
        assert not valid({each: value for each, value in ERROR.items() if each != key})


def test_documents_hold_plain_values_alone(tmp_path: Path) -> None:
    """NumPy's numbers are Python's, floats round trip, what is not finite is null, names are text."""
    odd = {
        "a": np.int64(3), "b": np.float32(0.1), "c": float("nan"), "d": np.array([1.0, np.inf]), "e": (1, 2),
        "f": Path("x"), "g": np.bool_(True), "h": 0.1 + 0.2, 7: "\udcff", "i": float("-inf"),
    }  # fmt: skip
    found = json.loads(json.dumps(plain(odd), allow_nan=False))
    assert found == {
        "a": 3, "b": float(np.float32(0.1)), "c": None, "d": [1.0, None], "e": [1, 2], "f": "x", "g": True,
        "h": 0.1 + 0.2, "7": "\\udcff", "i": None,
    }  # fmt: skip
    assert type(found["g"]) is bool
    with pytest.raises(TypeError):
        json.dumps(plain({"bytes": b"x"}))


def test_an_error_keeps_its_parts_where_more_is_said_about_it() -> None:
    with pytest.raises(DataError) as caught, about("the file", DataError):
        raise DataError("is broken", where="row 3", expected="a number", todo="mend it")
    error = caught.value
    assert (error.what, error.expected, error.todo) == ("is broken", "a number", "mend it")
    assert error.where == "the file: row 3"
    assert str(error) == "the file: row 3: is broken; expected a number; mend it"


def test_the_package_ships_them() -> None:
    text = (SCHEMAS.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"sast_deploy" = ["py.typed", "schemas/*.json"]' in text
