"""Rules of a study's TOML: tables that are told with their place, lists that a single value may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sast_deploy.base.rules import Number, Problem, Rule, Table, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class PlainName(Rule):
    """A text that can be part of a folder's name."""

    def __str__(self) -> str:
        return "a name of letters, digits and . _ + -"

    def _fits(self, value: Any) -> bool:
        return isinstance(value, str) and _NAME.fullmatch(value) is not None


@dataclass(frozen=True)
class OneOrMore(Rule):
    """A value, or a list of such; `empty`: or of none."""

    rule: Rule
    empty: bool = False

    def __str__(self) -> str:
        return f"{self.rule}, or a list of such"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        values = _listed(value)
        if not values and not self.empty:
            yield Problem(path, shown(value), "at least one value")
        for each in values:
            yield from self.rule.problems(each, path)


@dataclass(frozen=True)
class Section(Rule):
    """The table [KEY]."""

    table: Table

    def __str__(self) -> str:
        return str(self.table)

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if isinstance(value, Mapping):
            yield from _placed(self.table, value, f"[{path}]")
        else:
            yield Problem(path, shown(value), str(self))


@dataclass(frozen=True)
class Sections(Rule):
    """Named tables, [KEY.NAME], whose names become parts of folder names and are the usual value of `own`."""

    table: Table
    own: str = ""

    def __str__(self) -> str:
        return "tables with names"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping) or not all(isinstance(each, Mapping) for each in value.values()):
            yield Problem(path, shown(value), f"tables [{path}.NAME]")
            return
        for name, each in value.items():
            if PlainName().fits(name):
                complete = {self.own: name, **each} if self.own else each
                yield from _placed(self.table, complete, f"[{path}.{name}]")
            else:
                yield Problem("", f"name {shown(name)}", str(PlainName()), f"[{path}]")


@dataclass(frozen=True)
class Listed(Rule):
    """Tables without names, [[KEY]], one at least."""

    table: Table

    def __str__(self) -> str:
        return "at least one [[TABLE]]"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
            yield Problem(path, shown(value), str(self))
            return
        for number, each in enumerate(value, start=1):
            yield from _placed(self.table, each, f"[[{path}]] {number}")


def _placed(table: Table, values: Mapping[str, Any], place: str) -> Iterator[Problem]:
    return (replace(problem, place=place) for problem in table.problems(values, ""))


def read_table(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table that is right, in the order of its rules: lists as tuples, numbers as floats."""
    return {key: _read(rule, values[key]) for key, rule in table.fields.items() if key in values}


def _read(rule: Rule, value: Any) -> Any:
    if isinstance(rule, OneOrMore):
        return tuple(_read(rule.rule, each) for each in _listed(value))
    if isinstance(rule, Number):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
