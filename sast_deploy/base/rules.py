"""What a value may be: one language for fields of dataclasses, documents in JSON and TOML, and datasets.

A `Rule` says in words what it allows, and names every breach of it in a value of any origin, with its place.
No library: msgspec stops at a document's first error; cattrs finds all, but knows neither ranges, lengths and
shapes nor near keys, and what either shows of a hostile value is all of it or nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import SastError
from sast_deploy.base.text import encodable

SHOWN, FEW = 60, 4  # letters and items of a wrong value
NAMED, LETTERS, COUNTED = 4, 700, 1000  # wrong values of one document: named, in so many letters, counted
DEPTH, NODES = 16, 1_000_000  # of plain values in one document
INTEGER = 1 << 63  # no integer is as large
FLOAT_MAX = 1e150  # whose square is still a float
INT32 = np.iinfo(np.int32)
Sizes = dict[str, int]  # what the names of axes stand for in one object


@dataclass(frozen=True)
class Problem:
    """A value that is not what it may be: where it stands, itself, and what is right.

    path: dotted, within the document, or within its part `place`.
    """

    path: str
    found: str
    expected: str
    place: str = ""

    def __str__(self) -> str:
        text = f"{self.path} = {self.found}" if self.path else self.found
        return f"{self.place}: {text}" if self.place else text


class Rule:
    """What one value may be. A kind of rule has words of its own, str(rule), and `_fits` or `_find`."""

    def __str__(self) -> str:
        raise NotImplementedError

    def fits(self, value: Any) -> bool:
        """Whether the value is right."""
        return not any(True for _ in self.problems(value, ""))

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """What is wrong with a value that stands at `path`; nothing where it is right."""
        return self._find(value, path)

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not self._fits(value):
            yield Problem(path, shown(value), str(self))

    def _fits(self, value: Any) -> bool:
        raise NotImplementedError


@dataclass(frozen=True)
class Whole(Rule):
    """An integer from low to high; bool, 3.0 and NumPy's own are none."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def _fits(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True)
class Number(Rule):
    """An integer or a float from `low` to `high`, one or both excluded if `above` or `below`; never NaN."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        ends = "above" if self.above else "from", "to below" if self.below else "to"
        return f"a number {ends[0]} {self.low:g} {ends[1]} {self.high:g}"

    def _fits(self, value: Any) -> bool:
        if not isinstance(value, float) and not (type(value) is int and -INTEGER <= value < INTEGER):
            return False
        ends = (value == self.low and not self.above) or (value == self.high and not self.below)
        return ends or self.low < value < self.high


@dataclass(frozen=True)
class Choice(Rule):
    """One of some texts."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.names) if len(self.names) < 3 else f"one of {', '.join(self.names)}"

    def _fits(self, value: Any) -> bool:
        return type(value) is str and value in self.names


@dataclass(frozen=True)
class Text(Rule):
    """A text of at most `longest` letters, none of them among `without`.

    blank: it may say nothing. whole: UTF-8 can hold it, as it cannot half a character.
    """

    longest: int = 4096
    without: str = "\0"
    blank: bool = True
    whole: bool = False

    def __str__(self) -> str:
        least = "at most" if self.blank else "1 to"
        shut = f" without {', '.join(map(repr, self.without))}" if self.without else ""
        return f"a text of {least} {self.longest} letters{shut}"

    def _fits(self, value: Any) -> bool:
        fits = isinstance(value, str) and len(value) <= self.longest and (self.blank or value.strip())
        if not fits or any(letter in value for letter in self.without):
            return False
        return not self.whole or (type(value) is str and encodable(value) == value)


@dataclass(frozen=True)
class Flag(Rule):
    """True or false."""

    def __str__(self) -> str:
        return "true or false"

    def _fits(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Instance(Rule):
    """An object of one of some classes, checked at its own construction."""

    kinds: tuple[type, ...]

    def __str__(self) -> str:
        return f"a {' or '.join(kind.__name__ for kind in self.kinds)}"

    def _fits(self, value: Any) -> bool:
        return isinstance(value, self.kinds)


@dataclass(frozen=True)
class Maybe(Rule):
    """`rule`, or None."""

    rule: Rule

    def __str__(self) -> str:
        return f"{self.rule}, or none"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if value is not None:
            yield from self.rule.problems(value, path)


@dataclass(frozen=True)
class Items(Rule):
    """A list or tuple of `fewest` to `most` values, each of which is as `rule` says."""

    rule: Rule
    fewest: int = 0
    most: int = 1_000_000

    def __str__(self) -> str:
        some = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most:,}"
        return f"a list of {some} values, each {self.rule}"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, list | tuple) or not self.fewest <= len(value) <= self.most:
            yield Problem(path, shown(value), str(self))
        elif not _all_right(self.rule, value):
            for index, each in enumerate(value):
                yield from self.rule.problems(each, f"{path}[{index}]")


def _all_right(rule: Rule, values: Sequence[Any]) -> bool:
    """True if all values are right, found out fast: a data set has a hundred thousand names and labels."""
    kinds = set(map(type, values))
    if isinstance(rule, Whole):
        return kinds == {int} and rule.low <= min(values) and max(values) <= rule.high
    if isinstance(rule, Text) and rule.blank and not rule.whole and kinds == {str}:
        return max(map(len, values)) <= rule.longest and not set(rule.without) & set("".join(values))
    return False


@dataclass(frozen=True)
class OneOrEach(Rule):
    """One value for all of some things, or a list with one for each, `most` at most."""

    rule: Rule
    most: int

    def __str__(self) -> str:
        return f"{self.rule}, or a list of such"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        listed = isinstance(value, list | tuple)
        yield from (Items(self.rule, 1, self.most) if listed else self.rule).problems(value, path)


@dataclass(frozen=True)
class Named(Rule):
    """A table whose keys are texts as `keys` says, and whose values are all as `rule` says."""

    rule: Rule
    most: int = 100_000
    keys: Rule = Text(1024)

    def __str__(self) -> str:
        return "a table of values by name"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping) or len(value) > self.most:
            yield Problem(path, shown(value), str(self))
            return
        for key, each in value.items():
            yield from self.keys.problems(key, f"{path}, a key")
            if isinstance(key, str):
                yield from self.rule.problems(each, f"{path}.{shown_key(key)}")


@dataclass(frozen=True)
class Table(Rule):
    """A table of known keys: all of `fields`, but for those that are `optional`; others where `open`.

    void: or an empty one. Values under other keys are `Plain`. An unknown key that is nearly a known one is
    told so; that the known one is missing is then not said as well.
    """

    fields: Mapping[str, Rule]
    optional: Collection[str] = ()
    open: bool = False
    void: bool = False

    def __str__(self) -> str:
        return f"a table of {', '.join(sorted(self.fields))}"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(path, shown(value), str(self))
        elif value or not self.void:
            yield from self._within(value, path)

    def _within(self, value: Mapping[Any, Any], path: str) -> Iterator[Problem]:
        prefix = f"{path}." if path else ""
        strange = [key for key in value if not isinstance(key, str) or not (key in self.fields or self.open)]
        near = {key: self._near(key, value) for key in strange[:COUNTED]}
        for key, rule in self.fields.items():
            if key not in value and key not in self.optional and key not in near.values():
                yield Problem("", f"missing key {prefix}{key}", str(rule))
        for key, meant in near.items():
            expected = f"{prefix}{meant}" if meant else f"one of {', '.join(sorted(self.fields))}"
            yield Problem("", f"unknown key {prefix}{shown_key(key)}", expected)
        for key, each in value.items():
            if isinstance(key, str) and (key in self.fields or self.open):
                yield from self.fields.get(key, Plain()).problems(each, f"{prefix}{shown_key(key)}")

    def _near(self, key: Any, value: Mapping[Any, Any]) -> str | None:
        """The known key that somebody who wrote this one may have meant."""
        if not isinstance(key, str) or len(key) > SHOWN:
            return None
        found = difflib.get_close_matches(key, sorted(set(self.fields) - set(value)), n=1)
        return found[0] if found else None


@dataclass(frozen=True)
class Plain(Rule):
    """Nested lists and tables of numbers, texts and None that take little time however they are walked."""

    def __str__(self) -> str:
        return "plain values"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        for level in _levels(value):
            if level is None:
                yield Problem(path, shown(value), f"at most {NODES:,} values, nested at most {DEPTH} deep")
                return
            if bad := [each for each in level if not _is_plain(each)]:
                yield Problem(path, shown(bad[0]), str(self))
                return


def bounded(rule: Rule, document: Any) -> Iterator[Problem]:
    """What is wrong with a document that a pickle may have made larger than its file."""
    if None in _levels(dict(document) if isinstance(document, Mapping) else document):
        yield Problem("", "holds too many values, or nested too deeply", f"{NODES:,} values, {DEPTH} deep")
    else:
        yield from rule.problems(document, "")


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


@dataclass(frozen=True)
class Array(Rule):
    """An array of numbers of one of some shapes.

    shape: names or numbers of axes, as in "out in" or "1 or out". What a name stands for is what the first
    array that has it says. optional: or None.
    """

    shape: str
    low: float
    high: float
    optional: bool = False

    def __str__(self) -> str:
        return self.text({})

    def text(self, sizes: Sizes) -> str:
        """In words, with the sizes of axes that are known."""
        axes = (", ".join(str(sizes.get(axis, axis)) for axis in shape) for shape in self._shapes())
        words = self._words(" or ".join(f"({each})" for each in axes))
        return f"{words}, or None" if self.optional else words

    def kept(self, value: Any, sizes: Sizes) -> npt.NDArray[Any] | None:
        """The numbers, nobody's to change; `sizes` learns what the names of axes stand for.

        Raises ValueError: what was found instead.
        """
        if value is None and self.optional:
            return None
        if isinstance(value, np.ma.MaskedArray):
            raise ValueError("an array with a mask")
        return frozen_array(self._checked(value, sizes))

    def _shapes(self) -> list[list[str]]:
        return [shape.split() for shape in self.shape.split(" or ")]

    def _words(self, shape: str) -> str:
        raise NotImplementedError

    def _checked(self, value: Any, sizes: Sizes) -> npt.NDArray[Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Ints(Array):
    """An int32 array."""

    low: int = INT32.min
    high: int = INT32.max

    def _words(self, shape: str) -> str:
        return f"int32 {shape} from {self.low} to {self.high}"

    def _checked(self, value: Any, sizes: Sizes) -> npt.NDArray[Any]:
        if not isinstance(value, np.ndarray) or value.dtype != np.int32 or not value.size:
            raise ValueError(shown(value))
        if not any(_matches(value.shape, shape, sizes) for shape in self._shapes()):
            raise ValueError(f"shape {value.shape}")
        if value.min() < self.low or value.max() > self.high:
            raise ValueError(f"{value.min()}..{value.max()}")
        return value


@dataclass(frozen=True)
class Floats(Array):
    """Finite float32 numbers, of anything that NumPy takes for numbers.

    One number stands for all of an axis whose size is known. positive: without 0.
    """

    low: float = -np.inf
    high: float = np.inf
    positive: bool = False

    def _words(self, shape: str) -> str:
        ends = " above 0" if self.positive else f" from {self.low:g} to {self.high:g}"
        return f"finite float32 {shape}{'' if ends == ' from -inf to inf' else ends}"

    def _checked(self, value: Any, sizes: Sizes) -> npt.NDArray[Any]:
        given, (axes,) = np.asarray(value), self._shapes()
        if given.dtype.kind not in "iuf":
            raise ValueError(shown(value))
        if given.size == 1 and given.ndim < 2 and len(axes) == 1:  # not known beside a wrong array
            given = np.full(sizes.get(axes[0], 1), given)
        elif not given.size or not _matches(given.shape, axes, sizes):
            raise ValueError(f"shape {given.shape}")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
            array = given.astype(np.float32)
        right = np.isfinite(array) & (array >= self.low) & (array <= self.high)
        bad = np.argwhere(~right | (array <= 0) if self.positive else ~right)
        if len(bad):
            at = tuple(bad[0].tolist())
            raise ValueError(f"{array[at]:g} at {list(at)}")
        return array


def _matches(shape: tuple[int, ...], axes: list[str], sizes: Sizes) -> bool:
    if len(shape) != len(axes):
        return False
    known = [int(axis) if axis.isdecimal() else sizes.get(axis) for axis in axes]
    if any(want is not None and want != size for want, size in zip(known, shape, strict=True)):
        return False
    sizes.update({axis: n for axis, n in zip(axes, shape, strict=True) if not axis.isdecimal()})
    return True


def frozen_array(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in C order, over bytes: nobody, not even its owner, can make it writeable again."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, bytes) and array.flags.c_contiguous and type(array) is np.ndarray:
        return array
    kept: npt.NDArray[Any] = np.ndarray(array.shape, array.dtype, array.tobytes())
    return kept


def known(fields: Mapping[str, Rule]) -> Table:
    """A table in which none of these keys has to be, and others may be."""
    return Table(fields, fields, open=True)


def told(problems: Iterator[Problem]) -> tuple[str, str | None] | None:
    """What is wrong and what would be right, of one problem; of many the first few and how many more are."""
    all_of_them = list(islice(problems, COUNTED))
    if len(all_of_them) < 2:
        return (str(all_of_them[0]), all_of_them[0].expected) if all_of_them else None
    named: list[str] = []
    for problem in all_of_them[:NAMED]:
        text = f"{problem} (expected {problem.expected})"
        if named and sum(map(len, named)) + len(text) > LETTERS:
            break
        named.append(text)
    if more := len(all_of_them) - len(named):
        named.append(f"and {'at least ' if len(all_of_them) == COUNTED else ''}{more} more")
    return "; ".join(named), None


def refuse(problems: Iterator[Problem], where: Any, error: type[SastError], todo: str | None = None) -> None:
    """Raise `error`, which names these problems, if there is any."""
    if found := told(problems):
        raise error(found[0], where=where, expected=found[1], todo=todo)


def shown(value: Any) -> str:
    """A value for an error message: short whatever it is."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
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
