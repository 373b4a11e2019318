"""Frames as lists of events, in place of arrays that are mostly zeros."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.threads import in_order, processors

Dense = NDArray[np.uint8]
Shape = tuple[int, int, int, int, int]
Result = TypeVar("Result")
PART = 1 << 20  # entries or events that a thread is worth starting for


def index_type(shape: tuple[int, ...]) -> type[np.uint16] | type[np.int32]:
    """What holds a position in a row of C * H * W entries."""
    return np.uint16 if prod(shape[2:]) <= 1 << 16 else np.int32


@dataclass(frozen=True, eq=False)
class EventFrames:
    """Frames (samples, T, C, H, W) of unsigned bytes as the list of their entries that are not zero.

    A row is one step of one sample; row = sample * T + step. Within a row the events are sorted by
    (count, index), so that events of equal count lie together.

    Fields:
        shape: (samples, T, C, H, W).
        starts: (samples * T + 1,) int64: events starts[row] to starts[row + 1] - 1 are those of a row.
        index: (n,) flat position in (C, H, W) order; uint16 where C * H * W <= 65536, else int32.
        count: (n,) uint8, 1 or more.

    All three are read-only here, and may be mapped from files. Reads like an array: `np.asarray` and `dense`
    give the array, slices and integer arrays choose samples.

    Raises:
        DataError: fields that do not fit each other; says which row and event.
    """

    shape: Shape
    starts: NDArray[np.int64]
    index: NDArray[Any]
    count: Dense

    dtype = np.dtype(np.uint8)
    ndim = 5

    def __post_init__(self) -> None:
        self._hold()
        rows = len(self) * self.shape[1]
        if self.starts[0] != 0 or self.starts[-1] != len(self.index):
            raise DataError(
                f"starts from {self.starts[0]} to {self.starts[-1]}", where="event frames",
                expected=f"0 to {len(self.index)}, the number of events",
            )
        from sast_deploy.base.eventkernels import SOUND, check

        size = prod(self.shape[2:])
        found = _in_parts(rows, len(self.index), lambda first, last: check(
            self.starts, self.index, self.count, size, first, last))  # fmt: skip
        for what, row, event in found:
            if what != SOUND:
                raise self._wrong(what, row, event)

    def _hold(self) -> None:
        """Take the fields as plain read-only arrays. Raises DataError: other types or lengths."""
        try:
            shape = tuple(operator.index(n) for n in self.shape)
            events = len(self.index)
        except TypeError as error:
            found = f"shape {self.shape!r:.60} and index of {type(self.index).__name__}"
            raise DataError(found, where="event frames", expected="integers, and an array") from error
        if len(shape) != 5 or min(shape) < 0 or prod(shape[2:]) > np.iinfo(np.int32).max:
            raise DataError(f"shape {shape}", where="event frames", expected="(samples, time, C, H, W)")
        object.__setattr__(self, "shape", shape)
        wanted = {
            "starts": (np.int64, shape[0] * shape[1] + 1), "index": (index_type(shape), events),
            "count": (np.uint8, events),
        }  # fmt: skip
        for name, (kind, length) in wanted.items():
            array = np.ascontiguousarray(getattr(self, name)).view(np.ndarray)
            if array.flags.writeable:
                array = array.copy()  # whoever holds the other end could write to what has been checked
            if array.dtype != kind or array.shape != (length,):
                found = f"{name} of {array.dtype} {array.shape}"
                raise DataError(found, where="event frames", expected=f"{np.dtype(kind)} ({length},)")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def _wrong(self, what: int, row: int, event: int) -> DataError:
        from sast_deploy.base import eventkernels as kernels

        steps, size = self.shape[1], prod(self.shape[2:])
        where = f"event frames, sample {row // steps}, step {row % steps}"
        if what == kernels.BACKWARDS:
            found, expected = f"starts {self.starts[row]}, then {self.starts[row + 1]}", "growing numbers"
        elif what == kernels.EMPTY:
            found, expected = f"event {event} has count 0", "1 or more"
        elif what == kernels.OUTSIDE:
            found, expected = f"event {event} has index {self.index[event]}", f"0 to {size - 1}"
        elif what == kernels.UNSORTED:
            found, expected = f"event {event} is out of order", "events sorted by count, then index"
        else:
            found, expected = "two events with one index", "one event a position"
        return DataError(found, where=where, expected=expected)

    @classmethod
    def from_dense(cls, frames: Dense) -> EventFrames:
        """The events of an array (samples, T, C, H, W) of unsigned bytes. Raises DataError: another array."""
        from sast_deploy.base.eventkernels import WORD_BYTES, collect, tally

        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.ndim != 5:
            found = f"frames of {frames.dtype} {frames.shape}"
            raise DataError(found, where="event frames", expected="uint8 (samples, time, C, H, W)")
        shape: Shape = frames.shape
        rows = np.ascontiguousarray(frames).reshape(shape[0] * shape[1], prod(shape[2:])).view()
        rows.setflags(write=False)
        starts = np.zeros(len(rows) + 1, np.int64)
        _in_parts(len(rows), rows.size, lambda first, last: tally(
            rows[first:last], starts[first + 1 : last + 1]))  # fmt: skip
        np.cumsum(starts, out=starts)
        index, count = np.empty(starts[-1], index_type(shape)), np.empty(starts[-1], np.uint8)
        whole = rows.shape[1] % WORD_BYTES == 0 and rows.size
        words = rows.view(np.uint64) if whole else np.empty((len(rows), 0), np.uint64)
        words.setflags(write=False)
        _in_parts(len(rows), rows.size, lambda first, last: collect(
            rows[first:last], words[first:last], starts[first : last + 1], index, count))  # fmt: skip
        return cls._trusted(shape, starts, index, count)

    @classmethod
    def _trusted(cls, shape: Shape, starts: Any, index: Any, count: Any) -> EventFrames:
        """Without a look at every event: for parts of what has been checked, and what our kernels made."""
        made = object.__new__(cls)
        made.__dict__.update(shape=shape, starts=starts, index=index, count=count)
        for array in (starts, index, count):
            array.flags.writeable = False
        return made

    @classmethod
    def joined(cls, parts: Sequence[EventFrames]) -> EventFrames:
        """The samples of all parts, one or more, one after the other.

        Raises DataError: parts of unequal shape but for their number of samples.
        """
        for part in parts:
            if part.shape[1:] != parts[0].shape[1:]:
                shapes = f"{parts[0].shape} and {part.shape}"
                raise DataError(f"parts of {shapes}", where="event frames", expected="samples of one shape")
        before = np.cumsum([0, *(len(part.index) for part in parts)])
        starts = [part.starts[1:] + events for part, events in zip(parts, before, strict=False)]
        return cls._trusted(
            (sum(map(len, parts)), *parts[0].shape[1:]), np.concatenate([np.zeros(1, np.int64), *starts]),
            np.concatenate([part.index for part in parts]), np.concatenate([part.count for part in parts]),
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and unpickled ones are checked, and read-only, as all are."""
        return type(self), (self.shape, self.starts, self.index, self.count)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the lists, not of the array."""
        return self.starts.nbytes + self.index.nbytes + self.count.nbytes

    def max(self, initial: int = 0) -> int:
        """The largest entry, `initial` at least."""
        return int(self.count.max(initial=initial))

    @overload
    def __getitem__(self, samples: slice | NDArray[Any]) -> EventFrames: ...

    @overload
    def __getitem__(self, samples: int) -> Dense: ...

    def __getitem__(self, samples: slice | NDArray[Any] | int) -> EventFrames | Dense:
        """Chosen samples: a slice or an array of integers or truth values gives EventFrames, without a copy
        of events for a slice; an integer gives the array (T, C, H, W) of one sample.

        Raises IndexError, as an array does.
        """
        if isinstance(samples, slice):
            begin, end, stride = samples.indices(len(self))
            if stride == 1:
                return self._between(begin, max(begin, end))
            return self._gathered(np.arange(begin, end, stride))
        chosen = np.arange(len(self))[samples]
        return self._gathered(chosen) if np.ndim(chosen) else self._between(chosen, chosen + 1).dense()[0]

    def _between(self, begin: int, end: int) -> EventFrames:
        if end - begin == len(self):
            return self
        steps = self.shape[1]
        starts = self.starts[begin * steps : end * steps + 1]
        events = slice(starts[0], starts[-1])
        shape: Shape = (int(end - begin), *self.shape[1:])
        return self._trusted(shape, starts - starts[0], self.index[events], self.count[events])

    def _gathered(self, chosen: NDArray[np.int64]) -> EventFrames:
        from sast_deploy.base.eventkernels import gather

        if chosen.ndim != 1:
            raise IndexError(f"samples chosen by an array of {chosen.ndim} dimensions")
        steps = self.shape[1]
        events = int((self.starts[(chosen + 1) * steps] - self.starts[chosen * steps]).sum())
        starts = np.empty(len(chosen) * steps + 1, np.int64)
        index, count = np.empty(events, self.index.dtype), np.empty(events, np.uint8)
        gather(self.starts, self.index, self.count, steps, chosen, starts, index, count)
        return self._trusted((len(chosen), *self.shape[1:]), starts, index, count)

    def dense(self, out: Dense | None = None) -> Dense:
        """The frames as an array, uint8; written into `out` (C order, of `shape`) where that is given."""
        from sast_deploy.base.eventkernels import expand

        if out is None:
            out = np.zeros(self.shape, np.uint8)
        elif out.shape != self.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f"out of {out.dtype} {out.shape} in place of uint8 {self.shape} in C order")
        else:
            out.fill(0)
        rows = out.reshape(self.shape[0] * self.shape[1], prod(self.shape[2:]))
        _in_parts(len(rows), rows.size >> 3, lambda first, last: expand(
            self.starts[first : last + 1], self.index, self.count, rows[first:last]))  # fmt: skip
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("event frames become an array only by being expanded")
        return self.dense() if dtype is None else self.dense().astype(dtype, copy=False)


def _in_parts(rows: int, work: int, run: Callable[[int, int], Result]) -> list[Result]:
    """run(first, last) over all rows, by as many threads as processors where the work is worth it."""
    parts = min(processors(), max(1, work // PART), max(1, rows))
    cuts = [rows * part // parts for part in range(parts + 1)]
    if parts == 1:
        return [run(*cuts)]
    return list(in_order(lambda part: run(cuts[part], cuts[part + 1]), range(parts)))
