"""Rules of a study's TOML: tables that are told with their place, lists that a single value may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sast_deploy.base.rules import Number, OneOrEach, Problem, Rule, Table, shown

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
    """The table [KEY]; what is wrong in it is told with its place."""

    key: str
    table: Table

    def __str__(self) -> str:
        return f"a table [{self.key}]"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if (tables := self._tables(value)) is None:
            yield Problem(path, shown(value), str(self))
            return
        for place, values in tables:
            yield from (replace(problem, place=place) for problem in self.table.problems(values, ""))

    def _tables(self, value: Any) -> list[tuple[str, Any]] | None:
        """The tables there with their places; None where there is something else."""
        return [(f"[{self.key}]", value)] if isinstance(value, dict) else None


@dataclass(frozen=True)
class Sections(Section):
    """Tables [KEY.NAME], whose names become parts of folder names and are the usual value of `own`."""

    own: str = ""

    def __str__(self) -> str:
        return f"tables [{self.key}.NAME]"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        names = [name for name in value if not PlainName().fits(name)] if isinstance(value, dict) else []
        yield from (Problem("", f"name {shown(name)}", str(PlainName()), f"[{self.key}]") for name in names)
        if not names:
            yield from super()._find(value, path)

    def _tables(self, value: Any) -> list[tuple[str, Any]] | None:
        if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
            return None
        usual = {name: {self.own: name} if self.own else {} for name in value}
        return [(f"[{self.key}.{name}]", {**usual[name], **each}) for name, each in value.items()]


@dataclass(frozen=True)
class Listed(Section):
    """Tables [[KEY]] without names, one at least."""

    def __str__(self) -> str:
        return f"at least one [[{self.key}]] table"

    def _tables(self, value: Any) -> list[tuple[str, Any]] | None:
        if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
            return None
        return [(f"[[{self.key}]] {number}", each) for number, each in enumerate(value, start=1)]


def read_table(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table that is right, in the order of its rules: lists as tuples, numbers as floats."""
    return {key: _read(rule, values[key]) for key, rule in table.fields.items() if key in values}


def _read(rule: Rule, value: Any) -> Any:
    if isinstance(rule, OneOrMore):
        return tuple(_read(rule.rule, each) for each in _listed(value))
    if isinstance(rule, OneOrEach):
        return _read(OneOrMore(rule.rule) if isinstance(value, list) else rule.rule, value)
    if isinstance(rule, Number):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
