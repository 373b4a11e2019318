"""Events as a file has them, four columns of any numbers, and how they become events or a refusal.

    Columns --mended(RecordingOptions)--> Events, and what was odd

Whatever is not as `Events` must be has one option that mends it. Without the option it is refused, in a line
that names it; `Oddities` that only look collect such lines instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.data.events import EVENT, FIELDS, Events
from sast_deploy.data.options import RecordingOptions

MAX_EVENTS = 1 << 26  # of one recording
EXACT = 1 << 53  # up to which a float holds every integer
LATEST = 1 << 62  # so that the difference of two times is an int64
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
COUNTERS = (16, 23, 24, 28, 31, 32)  # bits of cameras' time counters
# Without a unit in the file, microseconds are implausible where a recording is shorter or longer, or has many
# events and fewer a second than the noise of a camera gives.
SHORTEST_US, LONGEST_US = 10_000, 3_600_000_000
MANY, FEWEST_A_SECOND = 100, 50


@dataclass(frozen=True, eq=False)
class Columns:
    """Events as a file has them.

    Fields:
        x, y, t, p: (n,) of any numbers.
        sensor: (H, W); None where the file does not say it.
        unit: of t; None where the file does not say it.
        notes: what else is worth telling about the file.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]
    sensor: tuple[int, int] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.t)

    def part(self, which: NDArray[Any]) -> Columns:
        """Some of the events: a mask, or their numbers in the order wanted."""
        return self.each(lambda _, values: values[which])

    def each(self, change: Callable[[str, NDArray[Any]], NDArray[Any]]) -> Columns:
        """With every column changed, by its name."""
        columns: dict[str, Any] = {name: change(name, getattr(self, name)) for name in FIELDS}
        return replace(self, **columns)


@dataclass
class Oddities:
    """What is wrong with a recording: the first is refused, or all are noted and mended as far as can be."""

    where: Path | str
    refusing: bool = True
    found: list[str] = field(default_factory=list)

    def meet(self, what: str, expected: str | None, todo: str | None) -> None:
        """Raise DataError, or note it."""
        if self.refusing:
            raise DataError(what, where=self.where, expected=expected, todo=todo)
        self.found.append("; ".join(filter(None, (what, todo))))


def mended(
    raw: Columns, options: RecordingOptions, odd: Oddities
) -> tuple[Events, tuple[int, int] | None]:
    """Events in order of time and on the sensor, dtype EVENT, and the sensor (H, W) if it is known.

    Raises DataError: no events, or what `odd` meets and no option mends.
    """
    if not len(raw):
        raise DataError("has no events", where=odd.where, expected="at least one")
    if len(raw) > MAX_EVENTS:
        raise DataError(f"{len(raw):,} events", where=odd.where, expected=f"at most {MAX_EVENTS:,}")
    for name in FIELDS:
        if len(getattr(raw, name)) != len(raw):
            what = f"{len(getattr(raw, name)):,} values of {name} and {len(raw):,} of t"
            raise DataError(what, where=odd.where, expected="as many of each")
    raw = raw.each(lambda name, values: _numbers(values, name, odd.where))
    raw = replace(raw, t=_microseconds(raw, options, odd), p=_polarities(raw, options, odd))
    raw = _in_time(raw, options, odd)
    raw, sensor = _on_sensor(raw, options, odd)
    events = np.empty(len(raw), EVENT)
    for name in FIELDS:
        events[name] = getattr(raw, name)
    return (events, sensor) if options.crop is None else _cropped(events, sensor, options.crop, odd.where)


def _numbers(values: NDArray[Any], name: str, where: Path | str) -> NDArray[Any]:
    """The column in int64, times that are no whole numbers in float64. Raises DataError."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} of type {values.dtype}", where=where, expected="numbers")
    if values.dtype.kind != "f":
        if values.dtype.kind == "u" and values.max() >= LATEST:
            raise DataError(f"{name} = {values.max()}", where=where, expected=f"below {LATEST}")
        return values.astype(np.int64, copy=False)
    wide = values.astype(np.float64, copy=False)
    bad = np.flatnonzero(~(np.abs(wide) < EXACT))
    if bad.size:
        what = f"event {bad[0]} has {name} = {wide[bad[0]]}"
        raise DataError(what, where=where, expected=f"a number below {EXACT}")
    whole = wide == np.rint(wide)
    if whole.all():
        return wide.astype(np.int64)
    if name != "t":
        first = int(np.flatnonzero(~whole)[0])
        raise DataError(f"event {first} has {name} = {wide[first]}", where=where, expected="whole numbers")
    return wide


def _microseconds(raw: Columns, options: RecordingOptions, odd: Oddities) -> NDArray[Any]:
    """Times in whole microseconds, int64."""
    times, unit = raw.t, options.time_unit or raw.unit
    if unit is None:
        if times.dtype.kind == "f":
            first = int(np.flatnonzero(times != np.rint(times))[0])
            odd.meet(
                f"event {first} has t = {times[first]:.9g}, and nothing says in which unit", None,
                "--time-unit s, or what else it is",
            )
            unit = "s"
        else:
            _doubt_unit(int(times.min()), int(times.max()), len(times), odd)
            unit = "us"
    elif unit == "us" and times.dtype.kind == "f":
        first = int(np.flatnonzero(times != np.rint(times))[0])
        odd.meet(f"event {first} has t = {times[first]:.9g}", "whole microseconds", "another --time-unit")
    scale = PER_SECOND["us"] / PER_SECOND[unit]
    largest = int(np.abs(times).max()) * max(scale, 1)
    if largest >= (EXACT if times.dtype.kind == "f" else LATEST):
        raise DataError(f"times up to {largest:.3g} us", where=odd.where, expected="a smaller --time-unit")
    if times.dtype.kind == "f":
        return np.rint(times * scale).astype(np.int64)
    return times * int(scale) if scale >= 1 else (times + 500) // 1000


def _doubt_unit(first: int, last: int, n: int, odd: Oddities) -> None:
    """Meet times that are hardly microseconds, of a file that does not say what they are."""
    span = last - first
    slow = n > MANY and span > n * PER_SECOND["us"] // FEWEST_A_SECOND
    if (n > MANY and span < SHORTEST_US) or span > LONGEST_US or slow:
        odd.meet(
            f"{n:,} events span {span:,} of an unsaid unit, and {span / PER_SECOND['us']:,.6g} s if it is "
            "microseconds", None, "say it: --time-unit s, ms, us or ns",
        )  # fmt: skip


def _polarities(raw: Columns, options: RecordingOptions, odd: Oddities) -> NDArray[Any]:
    """0 OFF, 1 ON. A format that says what its times are says that of polarities, too: one bit."""
    values, signed = raw.p, options.polarity == "signed" and raw.unit is None
    wrong = np.abs(values) != 1 if signed else (values < 0) | (values > 1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        if not signed and np.abs(values).max() <= 1:
            odd.meet(f"event {first} has polarity {values[first]}", "0 or 1", "--polarity signed for -1, 1")
        else:
            coding = "-1 or 1" if signed else "0 or 1"
            todo = "leave out --polarity signed" if signed else None
            odd.meet(f"event {first} has polarity {values[first]}", coding, todo)
    return (values > 0).astype(np.uint8)


def _in_time(raw: Columns, options: RecordingOptions, odd: Oddities) -> Columns:
    """Times that do not wrap, are not negative, and do not run backwards."""
    if options.unwrap is not None:
        full = 1 << options.unwrap
        counted = raw.t % full
        turns = np.cumsum(np.diff(counted, prepend=counted[0]) < -(full // 2))
        raw = replace(raw, t=counted + turns * full)
    if options.shift_time:
        raw = replace(raw, t=raw.t - raw.t.min())
    backwards = np.flatnonzero(np.diff(raw.t) < 0)
    if backwards.size and not options.sort:
        before, after = int(raw.t[backwards[0]]), int(raw.t[backwards[0] + 1])
        bits = next((n for n in COUNTERS if before < 1 << n and before - after > 1 << (n - 1)), None)
        wraps = f" (--unwrap {bits} if a counter of {bits} bits was full)" if bits else ""
        odd.meet(
            f"time runs backwards at {backwards.size:,} of {len(raw):,} events, first at event "
            f"{backwards[0] + 1}, from {before} to {after} us", None, f"--sort{wraps}",
        )  # fmt: skip
    if raw.t.min() < 0:
        first = int(np.flatnonzero(raw.t < 0)[0])
        todo = "--shift-time to count from the earliest event"
        odd.meet(f"event {first} has t = {raw.t[first]} us", "times from 0", todo)
    return raw.part(np.argsort(raw.t, kind="stable")) if backwards.size else raw


def _on_sensor(
    raw: Columns, options: RecordingOptions, odd: Oddities
) -> tuple[Columns, tuple[int, int] | None]:
    """The events on the sensor, and its size."""
    sensor = options.sensor or raw.sensor
    height, width = sensor or (1 << 16, 1 << 16)
    inside = (raw.x >= 0) & (raw.x < width) & (raw.y >= 0) & (raw.y < height)
    if inside.all():
        return raw, sensor
    if not options.drop_outside:
        first, largest = int(np.flatnonzero(~inside)[0]), (int(raw.y.max()), int(raw.x.max()))
        turned = min(raw.x.min(), raw.y.min()) >= 0 and largest[0] < width and largest[1] < height
        if turned:
            todo = "x and y may be exchanged (--columns y,x,t,p), or --sensor H W, not W H"
        else:
            todo = f"--sensor {largest[0] + 1} {largest[1] + 1} at least, or --drop-outside"
        odd.meet(
            f"{np.count_nonzero(~inside):,} of {len(raw):,} events lie beyond the sensor, first event "
            f"{first} at x = {raw.x[first]}, y = {raw.y[first]}", f"x below {width}, y below {height}", todo,
        )  # fmt: skip
    if not inside.any():
        raise DataError("no event lies on the sensor", where=odd.where, expected=f"{height} x {width} pixels")
    return raw.part(inside), sensor


def _cropped(
    events: Events, sensor: tuple[int, int] | None, crop: tuple[int, int, int, int], where: Path | str
) -> tuple[Events, tuple[int, int]]:
    """The events of a part of the sensor, counted from its corner."""
    top, left, height, width = crop
    if sensor is not None and (top + height > sensor[0] or left + width > sensor[1]):
        what = f"--crop {top} {left} {height} {width}"
        raise DataError(what, where=where, expected=f"a part of the sensor's {sensor[0]} x {sensor[1]}")
    x, y = events["x"].astype(np.int64) - left, events["y"].astype(np.int64) - top
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not inside.any():
        what = f"no event lies within --crop {top} {left} {height} {width}"
        raise DataError(what, where=where, expected="at least one")
    kept = events[inside].copy()
    kept["x"], kept["y"] = x[inside], y[inside]
    return kept, (height, width)
