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
_SENSOR = Items(Whole(1, 1 << 16), 2, 2)


def frames_from_events(
    events: NDArray[Any], sensor: tuple[int, int], options: FrameOptions | None = None
) -> Frames:
    """Events of one recording -> counts (time, 2, H, W), uint8, as `options` say (default: FrameOptions()).

    events: structured, in order of time, with fields x, y (pixels), t (microseconds) and p (0 OFF, 1 ON) of
    any integer type, as tonic gives them. sensor: (height, width) in pixels.

    Raises DataError: no events, other fields, off the sensor, back in time; frames larger than the sensor.

    >>> events = np.array([(0, 0, 5, 1), (1, 0, 9, 0)], [("x", int), ("y", int), ("t", int), ("p", int)])
    >>> sast.frames_from_events(events, (1, 2), sast.FrameOptions(steps=2)).tolist()
    [[[[0, 0]], [[1, 0]]], [[[0, 1]], [[0, 0]]]]
    """
    names = getattr(events, "dtype", np.dtype(int)).names or ()
    if not {*FIELDS} <= {*names} or events.ndim != 1:
        raise DataError(
            f"fields {', '.join(names) or 'none'}", where="events", expected="one row of x, y, t, p"
        )
    refuse(_SENSOR.problems(sensor, "sensor"), None, DataError)
    refuse(Maybe(Instance((FrameOptions,))).problems(options, "options"), None, DataError)
    binner = Binner(sensor, options or FrameOptions())
    frames = np.empty(binner.shape, np.uint8)
    binner.from_events(to_events(events, "events"), frames, "events")
    return frames


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
        self._rows = np.arange(sensor[0]) * height // sensor[0]
        self._columns = np.arange(sensor[1]) * width // sensor[1]
        self._clip = options.clip
        self._by_time = options.binning == "time"
        self._duration = options.duration_us or 0

    def from_events(self, events: Events, out: Frames, where: Path | str) -> int:
        """Check `events` (dtype EVENT) and write their frames to `out`; returns the number of events."""
        check_events(events, self.sensor, where)
        self._count(events["x"], events["y"], events["t"], events["p"], out)
        return len(events)

    def from_nmnist(self, data: bytes, out: Frames, where: Path | str) -> int:
        """Write the frames of an N-MNIST file's bytes to `out`; returns the number of events."""
        check_length(len(data), where)
        if self.sensor != NMNIST_SENSOR:
            raise DataError(f"sensor {self.sensor}", where=where, expected=f"N-MNIST's {NMNIST_SENSOR}")
        raw = np.frombuffer(data, np.uint8)
        n = len(raw) // EVENT_BYTES
        x, y, p = np.empty(n, np.uint8), np.empty(n, np.uint8), np.empty(n, np.uint8)
        t = np.empty(n, np.int64)
        n_events = _decode(raw, self.sensor[1], self.sensor[0], x, y, t, p)
        if n_events <= 0:
            check_events(decode_nmnist(data, where), self.sensor, where)  # the slow path words the error
            raise DataError("is malformed", where=where, expected="N-MNIST events")
        self._count(x[:n_events], y[:n_events], t[:n_events], p[:n_events], out)
        return int(n_events)

    def _count(self, x: Any, y: Any, t: Any, p: Any, out: Frames) -> None:
        out[...] = 0
        _accumulate(x, y, t, p, self._rows, self._columns, self._by_time, self._duration, self._clip, out)


@compiled()
def _decode(raw: Any, width: int, height: int, x: Any, y: Any, t: Any, p: Any) -> int:
    """Unpack N-MNIST bytes; the number of events, or -1 at the first one off the sensor or back in time."""
    n, late, previous = 0, 0, -1
    for start in range(0, len(raw) - EVENT_BYTES + 1, EVENT_BYTES):
        if raw[start + 1] == OVERFLOW_Y:
            late += OVERFLOW_US
            continue
        high, middle, low = np.int64(raw[start + 2]), np.int64(raw[start + 3]), np.int64(raw[start + 4])
        time = ((high & 0x7F) << 16) + (middle << 8) + low + late
        if raw[start] >= width or raw[start + 1] >= height or time < previous:
            return -1
        x[n], y[n], t[n], p[n] = raw[start], raw[start + 1], time, high >> 7
        previous = time
        n += 1
    return n


@compiled()
def _accumulate(
    x: Any, y: Any, t: Any, p: Any, rows: Any, columns: Any, by_time: bool, duration: int, clip: int, out: Any
) -> None:
    """Count events (in order of time, on the sensor) into out (T, 2, H, W), stopping at clip."""
    n, steps, first = len(t), out.shape[0], t[0]
    if duration > 0:
        n = np.searchsorted(t, first + duration)
    span = duration if duration > 0 else t[n - 1] - first + 1
    for k in range(n):
        step = (t[k] - first) * steps // span if by_time else k * steps // n
        row, column = rows[y[k]], columns[x[k]]
        if out[step, p[k], row, column] < clip:
            out[step, p[k], row, column] += np.uint8(1)
