"""Events to frames: compiled kernels that release Python's lock, so that threads work in parallel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled
from sast_deploy.base.errors import DataError
from sast_deploy.base.rules import Instance, Items, Maybe, Whole, refuse
from sast_deploy.data.events import (
    EVENT_BYTES,
    FIELDS,
    NMNIST_SENSOR,
    OVERFLOW_US,
    OVERFLOW_Y,
    Events,
    check_events,
    check_length,
    decode_nmnist,
    to_events,
)
from sast_deploy.data.options import FrameOptions

Frames = NDArray[np.uint8]
POLARITIES = 2
SENSOR = Items(Whole(1, 1 << 16), 2, 2)


def frames_from_events(
    events: NDArray[Any], sensor: tuple[int, int], options: FrameOptions | None = None,
    place: tuple[int, int] | None = None,
) -> Frames:
    """Events of one recording -> counts (time, 2, H, W), uint8, as `options` say (default: FrameOptions()).

    events: structured, in order of time, with fields x, y (pixels), t (microseconds) and p (0 OFF, 1 ON) of
    any integer type, as tonic gives them. sensor: (height, width) in pixels. place: of a window, as `windows`
    gives it, (start, length) in microseconds: binning "time" divides it; None: the recording's own span.

    Raises DataError: no events, other fields, off the sensor, back in time; frames larger than the sensor.

    >>> events = np.array([(0, 0, 5, 1), (1, 0, 9, 0)], [("x", int), ("y", int), ("t", int), ("p", int)])
    >>> sast.frames_from_events(events, (1, 2), sast.FrameOptions(steps=2)).tolist()
    [[[[0, 0]], [[1, 0]]], [[[0, 1]], [[0, 0]]]]
    """
    refuse(Maybe(Instance((FrameOptions,))).problems(options, "options"), None, DataError)
    found = checked_events(events, sensor)
    binner = Binner(sensor, options or FrameOptions())
    frames = np.empty(binner.shape, np.uint8)
    binner.from_events(found, frames, "events", place)
    return frames


def checked_events(events: NDArray[Any], sensor: tuple[int, int]) -> Events:
    """Somebody's events as dtype EVENT. Raises DataError: other fields, values off the sensor, none."""
    names = getattr(events, "dtype", np.dtype(int)).names or ()
    if not {*FIELDS} <= {*names} or events.ndim != 1:
        raise DataError(
            f"fields {', '.join(names) or 'none'}", where="events", expected="one row of x, y, t, p"
        )
    refuse(SENSOR.problems(sensor, "sensor"), None, DataError)
    found = to_events(events, "events")
    check_events(found, sensor, "events")
    return found


class Binner:
    """Turns recordings of one sensor into frames (T, 2, H, W) of unsigned bytes, as FrameOptions defines.

    Safe to share between threads: it holds constants only.

    Args:
        sensor: (height, width) of the recordings.
        options: with a size no larger than the sensor.

    Raises:
        DataError: frames larger than the sensor.
    """

    def __init__(self, sensor: tuple[int, int], options: FrameOptions) -> None:
        height, width = options.size or sensor
        if height > sensor[0] or width > sensor[1]:
            raise DataError(
                f"size = {height} x {width}", where="frame options",
                expected=f"at most the sensor's {sensor[0]} x {sensor[1]}",
            )
        self.sensor = sensor
        self.shape = (options.steps, POLARITIES, height, width)
        rows, columns = np.arange(sensor[0]) * height // sensor[0], np.arange(sensor[1]) * width // sensor[1]
        # Where an event goes within a step: (polarity, row, column) as one number, of p, y and x. Unsigned:
        # kernels look at the sign of other indices.
        places = np.arange(POLARITIES) * height * width, rows * width, columns
        self._places = tuple(part.astype(np.uint64) for part in places)
        self._clip = options.clip
        self._by_time = options.binning == "time"
        self._duration = options.duration_us or 0

    def from_events(
        self, events: Events, out: Frames, where: Path | str, place: tuple[int, int] | None = None
    ) -> int:
        """Check `events` (dtype EVENT) and write their frames to `out`; returns the number of events.

        place: start and length of the window that they are, in microseconds; None: from the first event on.
        """
        check_events(events, self.sensor, where)
        planes, rows, columns = self._places
        places = planes[events["p"]] + rows[events["y"]] + columns[events["x"]]
        first, duration = place or (int(events["t"][0]), self._duration)
        if place is not None and self._duration:
            raise DataError(
                f"duration_us = {self._duration} for windows of {duration} us", where=where,
                expected="one of them",
            )
        _count(places, events["t"], first, self._by_time, duration, self._clip, self._steps(out))
        return len(events)

    def from_nmnist(self, data: bytes, out: Frames, where: Path | str) -> int:
        """Write the frames of an N-MNIST file's bytes to `out`; returns the number of events."""
        check_length(len(data), where)
        if self.sensor != NMNIST_SENSOR:
            raise DataError(f"sensor {self.sensor}", where=where, expected=f"N-MNIST's {NMNIST_SENSOR}")
        raw = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES)
        options = self._by_time, self._duration, self._clip
        n_events = _count_nmnist(raw, *self._places, *options, self._steps(out))
        if n_events <= 0:
            check_events(decode_nmnist(data, where), self.sensor, where)  # the slow path words the error
            raise DataError("is malformed", where=where, expected="N-MNIST events")
        return int(n_events)

    def _steps(self, out: Frames) -> Frames:
        """`out` in zeros, as (steps, places)."""
        out[...] = 0
        return out.reshape(self.shape[0], -1)


@compiled()
def _count_nmnist(
    raw: Any, planes: Any, rows: Any, columns: Any, by_time: bool, duration: int, clip: int, out: Any
) -> int:
    """Count the events of N-MNIST bytes (n, 5) into out; how many, or -1 where one is off the sensor or late.

    Sensor and order are checked, so that nothing is written past the end.
    """
    n, late, previous = 0, 0, -1
    places, times = np.empty(len(raw), np.uint64), np.empty(len(raw), np.int64)
    for k in range(len(raw)):
        x, y, high = raw[k, 0], raw[k, 1], np.int64(raw[k, 2])
        if y == OVERFLOW_Y:
            late += OVERFLOW_US
            continue
        time = ((high & 0x7F) << 16) + (np.int64(raw[k, 3]) << 8) + raw[k, 4] + late
        if x >= len(columns) or y >= len(rows) or time < previous:
            return -1
        places[n], times[n] = planes[high >> 7] + rows[y] + columns[x], time
        previous = time
        n += 1
    if n:
        _count(places[:n], times[:n], times[0], by_time, duration, clip, out)
    return n


@compiled()
def _count(
    places: Any, times: Any, first: int, by_time: bool, duration: int, clip: int, out: Any
) -> None:
    """Count events (in order of time, each at its place) into out (steps, places), stopping at clip.

    first: when the first step begins, no later than the first event.

    Steps only ever grow: the next one is looked for from the last, which saves a division an event.
    """
    n, steps = len(times), out.shape[0]
    if duration > 0:
        n = int(np.searchsorted(times, first + duration))
    span = n
    if by_time:
        span = duration if duration > 0 else times[n - 1] - first + 1
    step = 0
    for k in range(n):
        passed = times[k] - first if by_time else k
        while passed * steps >= (step + 1) * span and step < steps - 1:
            step += 1
        if out[step, places[k]] < clip:
            out[step, places[k]] += np.uint8(1)
