"""Event recordings in memory and N-MNIST's binary file format, strictly checked.

N-MNIST `.bin`, five bytes an event, in order of time:

    byte 0: x      byte 1: y      byte 2: bit 7 polarity, bits 6..0 time bits 22..16
    byte 3: time bits 15..8       byte 4: time bits 7..0       (time in microseconds)

An event with y = 240 is no event but the ATIS camera's time overflow mark: it and all that follow it are
2^13 us later than their bytes say. Sources: Orchard et al. 2015, Read_Ndataset.m; tonic.io.read_mnist_file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.files import atomic_path
from sast_deploy.base.reading import Expected, read_bytes

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "u1")])
FIELDS = ("x", "y", "t", "p")
NMNIST_SENSOR = (34, 34)  # height, width
EVENT_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_US = 2**13
MAX_TIME_US = 2**23 - 1
MAX_BYTES = 64 << 20  # of one recording; N-MNIST's have up to 100 kB
EXPECTED = Expected("a readable event file", DataError)

Events = NDArray[Any]  # structured, dtype EVENT


def read_nmnist(path: Path) -> Events:
    """Events of one N-MNIST file, dtype EVENT, times in microseconds.

    Raises:
        DataError: unreadable file, length not divisible by 5, no events, coordinates off the 34 x 34 sensor,
            time running backwards; names the file, the event, the value and the limit.
    """
    events = decode_nmnist(read_event_bytes(path), path)
    check_events(events, NMNIST_SENSOR, path)
    return events


def read_event_bytes(path: Path | str) -> bytes:
    """The bytes of an event file. Raises DataError if it cannot be read or is far larger than a recording."""
    return read_bytes(path, EXPECTED, MAX_BYTES)


def decode_nmnist(data: bytes, where: Path | str) -> Events:
    """Decode N-MNIST bytes; `where` names them in errors. Checks the length only."""
    check_length(len(data), where)
    raw = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES)
    overflow = raw[:, 1] == OVERFLOW_Y
    high = (raw[:, 2] & 0x7F).astype(np.int64) << 16
    times = high | raw[:, 3].astype(np.int64) << 8 | raw[:, 4]
    times += OVERFLOW_US * np.cumsum(overflow)
    events = np.empty(len(raw), EVENT)
    events["x"], events["y"], events["t"], events["p"] = raw[:, 0], raw[:, 1], times, raw[:, 2] >> 7
    kept: Events = events[~overflow]
    return kept


def check_length(n_bytes: int, where: Path | str) -> None:
    """Raise DataError unless a file of `n_bytes` bytes holds a whole number of N-MNIST events."""
    if n_bytes % EVENT_BYTES:
        raise DataError(
            f"{n_bytes} bytes leave {n_bytes % EVENT_BYTES} over",
            where=where, expected=f"a length divisible by {EVENT_BYTES}, the bytes of one event",
        )


def check_events(events: Events, sensor: tuple[int, int], where: Path | str) -> None:
    """Raise DataError unless events exist, lie on the sensor (height, width), in order of time, p 0 or 1."""
    if len(events) == 0:
        raise DataError("has no events", where=where, expected="at least one")
    for name, limit in (("x", sensor[1]), ("y", sensor[0]), ("p", 2)):
        outside = np.flatnonzero(events[name] >= limit)
        if outside.size:
            first = int(outside[0])
            value = f"event {first} has {name} = {events[name][first]}"
            raise DataError(value, where=where, expected=f"0 to {limit - 1}")
    times, backwards = events["t"], np.flatnonzero(np.diff(events["t"]) < 0)
    if backwards.size:
        before, first = times[backwards[0]], int(backwards[0]) + 1
        raise DataError(
            f"time runs backwards: event {first} has t = {times[first]} us", where=where,
            expected=f"at least {before} us, the time of the event before",
        )


def to_events(raw: Any, where: Path | str) -> Events:
    """Structured events with integer fields x, y, t, p as dtype EVENT.

    Raises DataError: other types, values that EVENT cannot hold.
    """
    events = np.empty(raw["t"].size, EVENT)
    for name in FIELDS:
        values = np.ravel(raw[name])
        if values.dtype.kind not in "iub":
            what = f"{name} of type {values.dtype}"
            raise DataError(what, where=where, expected="integers (t in microseconds)")
        limits = np.iinfo(EVENT[name])
        outside = np.flatnonzero((values < int(limits.min)) | (values > int(limits.max)))
        if outside.size:
            what = f"event {outside[0]} has {name} = {values[outside[0]]}"
            raise DataError(what, where=where, expected=f"{limits.min} to {limits.max}")
        events[name] = values
    return events


def encode_nmnist(events: Events, where: Path | str = "events") -> bytes:
    """The N-MNIST bytes of `events`; the inverse of reading them.

    Raises:
        DataError: as `read_nmnist`, and for times outside 0..2^23 - 1 us, which the format cannot hold.
    """
    check_events(events, NMNIST_SENSOR, where)
    first, last = int(events["t"][0]), int(events["t"][-1])
    if first < 0 or last > MAX_TIME_US:
        limits = f"0 to {MAX_TIME_US} us (23 bits)"
        raise DataError(f"times from {first} to {last} us", where=where, expected=limits)
    raw = np.empty((len(events), EVENT_BYTES), np.uint8)
    times = events["t"]
    raw[:, 0], raw[:, 1] = events["x"], events["y"]
    raw[:, 2] = events["p"].astype(np.int64) << 7 | times >> 16
    raw[:, 3], raw[:, 4] = times >> 8 & 0xFF, times & 0xFF
    return raw.tobytes()


def write_nmnist(path: Path, events: Events) -> None:
    """Write `events` as an N-MNIST file, atomically. Raises DataError as `encode_nmnist`, and OutputError."""
    data = encode_nmnist(events, path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
