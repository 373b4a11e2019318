"""Reading a table of a TOML file key by key: what is unknown, missing or of the wrong kind is named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.base.rules import INTEGER, shown, shown_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")  # part of a folder's name
LONGEST = 4096
KINDS = {int: "an integer of at most 2^63 - 1", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Table:
    """A table of the file, and where it stands: "sweep.toml [recipe.same]"."""

    values: Mapping[str, Any]
    where: str

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise UsageError, with the nearest known key, for a key that is not among `known`."""
        known = sorted(known)
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                expected = f"{near[0]}" if near else f"one of {', '.join(known)}"
                raise UsageError(f"unknown key {shown_key(key)}", where=self.where, expected=expected)

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of `key`, or `default` where it is absent. Raises UsageError for another kind."""
        if key not in self.values:
            return default
        return self._checked(key, self.values[key], kind)

    def list(self, key: str, kind: type, *, empty: bool = False) -> tuple[Any, ...] | None:
        """A list, or a single value as a list of one; None where it is absent. Raises UsageError."""
        if key not in self.values:
            return None
        value = self.values[key]
        values = value if isinstance(value, list) else [value]
        if not values and not empty:
            raise UsageError(f"{key} = []", where=self.where, expected="at least one value")
        return tuple(self._checked(key, each, kind) for each in values)

    def table(self, key: str) -> Table:
        """The table [key], empty where it is absent. Raises UsageError for another kind."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise UsageError(f"{key} = {shown(value)}", where=self.where, expected=f"a table [{key}]")
        return Table(value, f"{self.where} [{key}]")

    def tables(self, key: str) -> dict[str, Table]:
        """The named tables [key.NAME]; their names become parts of folder names."""
        value = self.values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
            raise UsageError(f"{key} = {shown(value)}", where=self.where, expected=f"tables [{key}.NAME]")
        for name in value:
            if not _NAME.fullmatch(name):
                where, expected = f"{self.where} [{key}]", "letters, digits and . _ + -"
                raise UsageError(f"name {shown(name)}", where=where, expected=expected)
        return {name: Table(each, f"{self.where} [{key}.{name}]") for name, each in value.items()}

    def _checked(self, key: str, value: Any, kind: type) -> Any:
        if kind is float and type(value) is int and abs(value) < INTEGER:
            value = float(value)
        large = isinstance(value, int) and abs(value) >= INTEGER
        large |= isinstance(value, str) and len(value) > LONGEST
        if type(value) is not kind or large:
            raise UsageError(f"{key} = {shown(value)}", where=self.where, expected=KINDS[kind])
        return value


def plain_name(table: Table, key: str, kind: type = str) -> str:
    """A required text that can be a folder's name. Raises UsageError."""
    name = table.get(key, kind)
    if name is None or not _NAME.fullmatch(name):
        raise UsageError(
            f"{key} = {shown(name)}", where=table.where, expected="a name of letters, digits and . _ + -"
        )
    return str(name)
