"""Settings of any origin against a table of what each may be: every wrong value is named, all at once.

A `Schema` stands beside the dataclass that it describes, and is used by its constructor and its `from_dict`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sast_deploy.base.errors import SastError

T = TypeVar("T")
SHOWN, FEW = 60, 4  # letters and items of a wrong value
NAMED = 4  # wrong values of one document
DEPTH, NODES = 16, 1_000_000  # of plain values in one document
INTEGER = 1 << 63  # no integer is as large
FLOAT_MAX = 1e150  # whose square is still a float


@dataclass(frozen=True)
class Problem:
    """A value that is not what it may be: where it stands in the document, itself, and what is right."""

    path: str
    found: str
    expected: str


class Check(Protocol):
    """What one value may be."""

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """What is wrong with `value`; nothing where it is right."""


@dataclass(frozen=True)
class Whole:
    """An integer from `low` to `high`; neither true nor 3.0."""

    low: int
    high: int

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if type(value) is not int or not self.low <= value <= self.high:
            yield Problem(path, shown(value), f"an integer from {self.low} to {self.high}")


@dataclass(frozen=True)
class Number:
    """An integer or a float from `low` to `high`, one or both excluded if `above` or `below`; never NaN."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        number = isinstance(value, float) or (type(value) is int and -INTEGER <= value < INTEGER)
        if number and (self.low < value < self.high or self._is_end(value)):
            return
        low, high = "above " if self.above else "", "below " if self.below else ""
        yield Problem(path, shown(value), f"{low}{self.low:g} to {high}{self.high:g}")

    def _is_end(self, value: float) -> bool:
        return (value == self.low and not self.above) or (value == self.high and not self.below)


@dataclass(frozen=True)
class Choice:
    """One of a few texts."""

    names: Sequence[str]

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if not isinstance(value, str) or value not in self.names:
            yield Problem(path, shown(value), " or ".join(self.names))


@dataclass(frozen=True)
class Text:
    """A text of at most `longest` letters, none of them among `without`; `blank`: it may say nothing."""

    longest: int = 4096
    without: str = "\0"
    blank: bool = True

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        fits = isinstance(value, str) and len(value) <= self.longest and (self.blank or value.strip())
        if not fits or any(letter in value for letter in self.without):
            shut = ", ".join(repr(letter) for letter in self.without)
            short = f"at most {self.longest} letters" if self.blank else f"1 to {self.longest} letters"
            yield Problem(path, shown(value), f"a text of {short} without {shut}")


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if not isinstance(value, bool):
            yield Problem(path, shown(value), "true or false")


@dataclass(frozen=True)
class Maybe:
    """`check`, or None."""

    check: Check

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if value is not None:
            yield from self.check.problems(value, path)


@dataclass(frozen=True)
class Items:
    """A list or tuple of `fewest` to `most` values, each of which is `check`."""

    check: Check
    fewest: int = 0
    most: int = 1_000_000

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if not isinstance(value, list | tuple) or not self.fewest <= len(value) <= self.most:
            some = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most:,}"
            yield Problem(path, shown(value), f"a list of {some} values")
            return
        if not _all_right(self.check, value):
            for index, each in enumerate(value):
                yield from self.check.problems(each, f"{path}[{index}]")


def _all_right(check: Check, values: Sequence[Any]) -> bool:
    """True if all values are right, found out fast: a data set has a hundred thousand names and labels."""
    kinds = set(map(type, values))
    if isinstance(check, Whole):
        return kinds == {int} and check.low <= min(values) and max(values) <= check.high
    if isinstance(check, Text) and check.blank and kinds == {str}:
        together = "".join(values)
        shut = any(letter in together for letter in check.without)
        return not shut and max(map(len, values)) <= check.longest
    return False


@dataclass(frozen=True)
class Named:
    """A table whose keys are texts and whose values are all `check`."""

    check: Check
    most: int = 100_000
    keys: Check = Text(1024)

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if not isinstance(value, Mapping) or len(value) > self.most:
            yield Problem(path, shown(value), "a table of values by name")
            return
        for key, each in value.items():
            yield from self.keys.problems(key, f"{path}, a key")
            if isinstance(key, str):
                yield from self.check.problems(each, f"{path}.{shown_key(key)}")


@dataclass(frozen=True)
class Table:
    """A table of known keys: all of `fields`, but for those that are `optional`; others where `open`.

    Values under other keys are `Plain`.
    """

    fields: Mapping[str, Check]
    optional: Collection[str] = ()
    open: bool = False

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        if not isinstance(value, Mapping):
            yield Problem(path, shown(value), f"a table of {', '.join(sorted(self.fields))}")
            return
        prefix = f"{path}." if path else ""
        for key in self.fields:
            if key not in value and key not in self.optional:
                yield Problem("", f"missing key {prefix}{key}", f"{', '.join(sorted(self.fields))}")
        for key, each in value.items():
            if not isinstance(key, str) or (key not in self.fields and not self.open):
                found = f"unknown key {prefix}{shown_key(key)}"
                yield Problem("", found, f"one of {', '.join(sorted(self.fields))}")
            else:
                yield from self.fields.get(key, Plain()).problems(each, f"{prefix}{shown_key(key)}")


@dataclass(frozen=True)
class Plain:
    """Nested lists and tables of numbers, texts and None that take little time however they are walked."""

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """See `Check`."""
        for level in _levels(value):
            if level is None:
                yield Problem(path, shown(value), f"at most {NODES:,} values, nested at most {DEPTH} deep")
                return
            bad = [each for each in level if not _is_plain(each)]
            if bad:
                yield Problem(path, shown(bad[0]), "plain values")
                return


def _levels(value: Any) -> Iterator[list[Any] | None]:
    """The values in `value` by depth; at last None where they are too many: a pickle may name one often."""
    level, nodes = [value], 0
    for _ in range(DEPTH):
        nodes += len(level) + sum(len(each) for each in level if isinstance(each, list | tuple | dict))
        if nodes > NODES:
            break
        yield level
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    yield None


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value)
    if type(value) is int:
        return -INTEGER <= value < INTEGER
    return value is None or isinstance(value, bool | float | str | list | tuple)


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def known(fields: Mapping[str, Check]) -> Table:
    """A table in which none of these keys has to be, and others may be."""
    return Table(fields, fields, open=True)


@dataclass(frozen=True)
class Schema:
    """What the fields of a dataclass may be.

    where: names the document in errors. error: what is raised. fields: by name. later: values of fields that
    older documents do not have. optional: fields whose defaults are the dataclass's.
    """

    where: str
    error: type[SastError]
    fields: Mapping[str, Check]
    later: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False

    def check(self, values: Mapping[str, Any], where: str | None = None) -> None:
        """Raise `error`, which names every wrong value, every unknown and every missing key."""
        where = where or self.where
        if None in _levels(dict(values) if isinstance(values, Mapping) else values):
            raise self.error("holds too many values, or nested too deeply", where=where)
        optional = self.fields if self.optional else ()
        refuse(Table(self.fields, optional).problems(values, ""), where, self.error)

    def read(self, kind: type[T], values: Any) -> T:
        """The dataclass `kind` of these values, lists as tuples. Raises `error`."""
        complete = {**self.later, **values} if isinstance(values, Mapping) else values
        self.check(complete)
        return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in complete.items()})


def refuse(problems: Iterator[Problem], where: Any, error: type[SastError], todo: str | None = None) -> None:
    """Raise `error`, which names the first few of these problems, if there is any."""
    few = [problem for problem, _ in zip(problems, range(NAMED + 1), strict=False)]
    if len(few) == 1:
        raise error(_value(few[0]), where=where, expected=few[0].expected, todo=todo)
    if few:
        named = [f"{_value(each)} (expected {each.expected})" for each in few[:NAMED]]
        raise error("; ".join(named + ["and more"] * (len(few) > NAMED)), where=where, todo=todo)


def _value(problem: Problem) -> str:
    return f"{problem.path} = {problem.found}" if problem.path else problem.found


def shown(value: Any) -> str:
    """A value for an error message: short whatever it is."""
    if isinstance(value, list | tuple) and len(value) <= FEW and not any(map(_nested, value)):
        return f"[{', '.join(map(shown, value))}]"
    if _nested(value):
        return f"{type(value).__name__} of {len(value)}" if value else f"an empty {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value[:SHOWN]) + ("..." if len(value) > SHOWN else "")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple | set | dict | bytes | bytearray)


def is_text(value: Any, text: str) -> bool:
    """Whether a value of any origin is this text: arrays compare to more than true or false."""
    return isinstance(value, str) and value == text


def shown_key(key: Any) -> str:
    """A key for an error message."""
    plain = isinstance(key, str) and key.isidentifier() and len(key) <= SHOWN
    return key if plain else shown(key)


FRACTION = Number(0, 1)
COUNT = Whole(0, 1 << 53)
FINITE = Number(-FLOAT_MAX, FLOAT_MAX)
AMOUNT = Number(0, FLOAT_MAX)
SEED = Whole(0, INTEGER - 1)
