"""Profiles, studies and results: TOML and JSON of any depth, size and type."""

from __future__ import annotations

import json
import sys

import pytest

from tests.attacks.readers import commands, place
from tools.fuzzing.values import Raw, places, to_json, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOML_TEXTS = {
    "three thousand brackets": "x = " + "[" * 3000 + "]" * 3000,
    "three thousand tables": "x = " + "{a=" * 3000 + "1" + "}" * 3000,
    "five thousand digits": "x = " + "9" * 5000,
    "a date": "x = 1979-05-27T07:32:00Z",
    "no UTF-8": b"x = '\xff\xfe'",
    "a key twice": "x = 1\nx = 2",
    "a table twice": "[a]\n[a]",
    "a NUL": "x = '\0'",
    "half a line": "[weight]\nbits =",
}
JSON_TEXTS = {
    "a hundred thousand brackets": "[" * 100_000,
    "nested objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "five thousand digits": '{"format": "sast-deploy-runs", "version": 1, "runs": [' + "9" * 5000 + "]}",
    "runs = 3": '{"format": "sast-deploy-runs", "version": 1, "runs": 3}',
    "runs = null": '{"format": "sast-deploy-runs", "version": 1, "runs": null}',
    "runs of numbers": '{"format": "sast-deploy-runs", "version": 1, "runs": [1, 2]}',
    "runs of nothing": '{"format": "sast-deploy-runs", "version": 1, "runs": [{}]}',
    "no runs": '{"format": "sast-deploy-runs", "version": 1, "runs": []}',
    "version 99": '{"format": "sast-deploy-runs", "version": 99, "runs": []}',
    "a list": "[]",
    "a number": "3",
    "nothing": "",
    "a lone surrogate": '{"format": "\\ud800"}',
    "no UTF-8": b'{"format": "\xff"}',
    "cut off": '{"format": "sast-deploy-runs", "version": 1, "ru',
}
WRONG = (None, True, [], {}, "x", -1, Raw("1e400"), Raw("9" * 400), [[]], {"x": {}})


@pytest.mark.parametrize("text", TOML_TEXTS)
@pytest.mark.parametrize("kind", ["profile", "study"])
def test_toml(kind, text, seeds, work, refuses):
    path = place(kind, seeds, work)
    content = TOML_TEXTS[text]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refuses(commands(kind)[0], "x.toml")


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_json(text, seeds, work, refuses):
    path = place("results", seeds, work)
    content = JSON_TEXTS[text]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for words in commands("results"):
        refuses(words, "x.json")


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
def test_every_key_of_a_profile(value, seeds, work, refuses):
    path = place("profile", seeds, work)
    good = tomllib.loads(path.read_text())
    for number, _ in enumerate(places(good)):
        tree = tomllib.loads(path.read_text())
        holder, key = list(places(tree))[number]
        if type(holder[key]) is type(value) or (isinstance(value, Raw) and isinstance(holder[key], dict)):
            continue
        holder[key] = value
        damaged = path.with_name("y.toml")
        damaged.write_bytes(to_toml(tree))
        words = [word.replace("x.toml", "y.toml") for word in commands("profile")[0]]
        refuses(words, "y.toml")
        damaged.unlink()


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("kind", ["study", "results"])
def test_every_key_of_another_type(kind, value, seeds, work, capfd):
    """Refused by one line, or read: many keys may hold many things."""
    from sast_deploy.cli import run

    path = place(kind, seeds, work)
    text = path.read_text()
    parse = json.loads if kind == "results" else tomllib.loads
    for number, _ in enumerate(places(parse(text))):
        tree = parse(text)
        holder, key = list(places(tree))[number]
        holder[key] = value
        path.write_bytes(to_json(tree) if kind == "results" else to_toml(tree))
        code = run(commands(kind)[0])
        shown = capfd.readouterr().err
        assert code in (0, 2), (key, shown)
        assert len(shown.splitlines()) == (1 if code else 0), (key, shown)
        assert not code or path.name in shown, (key, shown)
        assert "internal error" not in shown, (key, shown)
