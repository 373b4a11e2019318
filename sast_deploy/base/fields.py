"""What the fields of a frozen dataclass may hold: one rule a field, in its annotation, from which the checks
at construction, the readers of files and the schema of profiles all come.

    @dataclass(frozen=True)
    class Kernel:
        rows: Annotated[int, Whole(1, 99)]
        rule: Annotated[str, Name("sum", "mean")]
        values: Annotated[Int32Array, Ints("rows columns")]

        def __post_init__(self) -> None:
            check_fields(self)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

from sast_deploy.base.text import encodable

INT32 = np.iinfo(np.int32)
Sizes = dict[str, int]  # what the names of axes stand for in one object


@dataclass(frozen=True)
class Whole:
    """An integer from low to high; bool and NumPy's own are none."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def check(self, value: Any, sizes: Sizes) -> Any:
        """The value as it is kept. Raises ValueError, whose text is what was found."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError(_shown(value))
        return value

    def read(self, stored: npt.NDArray[Any]) -> Any:
        """The value of a dataset."""
        if stored.shape != () or stored.dtype.kind not in "iu":
            raise ValueError(f"{stored.dtype} {stored.shape}")
        return int(stored)


@dataclass(frozen=True)
class Wholes:
    """A tuple of `length` integers from low to high each; length 0: any number of them, but one at least."""

    length: int
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.length or 'some'} integers from {self.low} to {self.high}"

    def check(self, value: Any, sizes: Sizes) -> Any:
        """As in Whole."""
        one = Whole(self.low, self.high)
        if type(value) is not tuple or not value or (self.length and len(value) != self.length):
            raise ValueError(_shown(value))
        return tuple(one.check(each, sizes) for each in value)

    def read(self, stored: npt.NDArray[Any]) -> Any:
        """As in Whole."""
        if stored.ndim != 1 or stored.dtype.kind not in "iu":
            raise ValueError(f"{stored.dtype} {stored.shape}")
        return tuple(int(each) for each in stored)


@dataclass(frozen=True)
class Name:
    """One of some names; without any, every text."""

    options: tuple[str, ...]

    def __init__(self, *options: str) -> None:
        object.__setattr__(self, "options", options)

    def __str__(self) -> str:
        return f"one of {', '.join(self.options)}" if self.options else "a text"

    def check(self, value: Any, sizes: Sizes) -> Any:
        """As in Whole."""
        if not is_unicode(value) or (self.options and value not in self.options):
            raise ValueError(_shown(value))
        return value

    def read(self, stored: npt.NDArray[Any]) -> Any:
        """As in Whole."""
        value = stored[()]
        if stored.shape != () or not isinstance(value, (bytes, str)):
            raise ValueError(f"{stored.dtype} {stored.shape}")
        return value.decode("utf-8") if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Ints:
    """An int32 array from low to high, read-only, of one of some shapes; optional: or None.

    shapes: names or numbers of axes, as in "out in". What a name stands for is what the first array that
    has it says.
    """

    shapes: tuple[str, ...]
    low: int
    high: int
    optional: bool

    def __init__(
        self, *shapes: str, low: int = INT32.min, high: int = INT32.max, optional: bool = False
    ) -> None:
        for name, value in (("shapes", shapes), ("low", low), ("high", high), ("optional", optional)):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        shapes = " or ".join(f"({each.replace(' ', ', ')})" for each in self.shapes)
        return f"int32 {shapes} from {self.low} to {self.high}{', or None' if self.optional else ''}"

    def check(self, value: Any, sizes: Sizes) -> Any:
        """As in Whole; a copy, where somebody could still make the array writeable."""
        if value is None and self.optional:
            return None
        if not isinstance(value, np.ndarray) or value.dtype != np.int32 or not value.size:
            raise ValueError(_shown(value))
        if isinstance(value, np.ma.MaskedArray):
            raise ValueError("an array with a mask")
        if not any(_matches(value.shape, shape.split(), sizes) for shape in self.shapes):
            raise ValueError(f"shape {value.shape}")
        if (self.low, self.high) != (INT32.min, INT32.max):
            low, high = int(value.min()), int(value.max())
            if low < self.low or high > self.high:
                raise ValueError(f"{low}..{high}")
        return _frozen(value)

    def read(self, stored: npt.NDArray[Any]) -> Any:
        """As in Whole; int8 and int64 will do where the values fit 32 bits."""
        if stored.dtype.kind not in "iu":
            raise ValueError(f"{stored.dtype} {stored.shape}")
        if stored.size and (stored.min() < INT32.min or stored.max() > INT32.max):
            raise ValueError(f"{stored.min()}..{stored.max()}")
        return _frozen(stored.astype(np.int32))


@dataclass(frozen=True)
class Floats:
    """Finite float32 numbers from low to high, read-only, of anything that NumPy takes for numbers.

    shape: names of axes, as in Ints; one number stands for all of an axis whose size is known. positive:
    without 0. optional: or None.
    """

    shape: str
    low: float = -np.inf
    high: float = np.inf
    positive: bool = False
    optional: bool = False

    def __str__(self) -> str:
        ends = " above 0" if self.positive else f" from {self.low:g} to {self.high:g}"
        ends = "" if ends == " from -inf to inf" else ends
        return f"finite float32 ({self.shape.replace(' ', ', ')}){ends}{', or None' if self.optional else ''}"

    def check(self, value: Any, sizes: Sizes) -> Any:
        """As in Whole; always a copy."""
        if value is None and self.optional:
            return None
        given, axes = np.asarray(value), self.shape.split()
        if given.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
            raise ValueError(_shown(value))
        if given.size == 1 and given.ndim < 2 and axes[0] in sizes and len(axes) == 1:
            given = np.full(sizes[axes[0]], given)
        if not given.size or not _matches(given.shape, axes, sizes):
            raise ValueError(f"shape {given.shape}")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
            array = given.astype(np.float32)
        right = np.isfinite(array) & (array >= self.low) & (array <= self.high)
        bad = np.argwhere(~right | (array <= 0) if self.positive else ~right)
        if len(bad):
            at = tuple(bad[0].tolist())
            raise ValueError(f"{array[at]:g} at {list(at)}")
        return _frozen(array)

    def read(self, stored: npt.NDArray[Any]) -> Any:
        """As in Whole."""
        return self.check(stored, {})


Rule = Whole | Wholes | Name | Ints | Floats


def ruled(kind: Any) -> Mapping[str, Rule]:
    """The rules of a dataclass's fields, by name, in their order; fields without one are left out."""
    return _ruled(kind)


@cache
def _ruled(kind: Any) -> Mapping[str, Rule]:
    hints = get_type_hints(kind, include_extras=True)
    rules = {name: getattr(hint, "__metadata__", (None,))[0] for name, hint in hints.items()}
    return {name: rule for name, rule in rules.items() if isinstance(rule, Rule)}


def check_fields(value: Any) -> None:
    """Refuse an object with a field that breaks its rule; to be called from __post_init__.

    Raises ValueError: names the kind of object, the field, what was found and what is expected.
    """
    sizes: Sizes = {}
    for name, rule in ruled(type(value)).items():
        try:
            kept = rule.check(getattr(value, name), sizes)
        except ValueError as error:
            what = f"{type(value).__name__}.{name} = {error}"
            raise ValueError(f"{what}; expected {rule_text(rule, sizes)}") from None
        object.__setattr__(value, name, kept)


def rule_text(rule: Rule, sizes: Sizes) -> str:
    """The rule in words, with what its axes' names stand for."""
    text = str(rule)
    for name, size in sizes.items():
        text = text.replace(f"{name},", f"{size},").replace(f"{name})", f"{size})")
    return text


def _matches(shape: tuple[int, ...], axes: list[str], sizes: Sizes) -> bool:
    if len(shape) != len(axes):
        return False
    known = [int(axis) if axis.isdecimal() else sizes.get(axis) for axis in axes]
    if any(want is not None and want != size for want, size in zip(known, shape, strict=True)):
        return False
    sizes.update({axis: n for axis, n in zip(axes, shape, strict=True) if not axis.isdecimal()})
    return True


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in C order, over bytes: nobody, not even its owner, can make it writeable again."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, bytes) and array.flags.c_contiguous and type(array) is np.ndarray:
        return array
    kept: npt.NDArray[Any] = np.ndarray(array.shape, array.dtype, array.tobytes())
    return kept


def is_unicode(value: Any) -> bool:
    """Whether it is a text that UTF-8 can hold."""
    return type(value) is str and encodable(value) == value


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
