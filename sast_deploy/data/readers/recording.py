"""One recording of one's own: which format it is, known by its content; its events; windows of them.

    read_events  path, RecordingOptions -> events, sensor, RecordingFacts      what is wrong is refused
    look_at         path, RecordingOptions -> RecordingFacts                      what is wrong is told
    windows         events, window_us, stride_us -> Windows
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading import open_regular
from sast_deploy.base.reading.files import (
    GZIP_MARK,
    HDF5_MARK,
    HEAD_BYTES,
    LFS_MARK,
    NPY_MARK,
    ZIP_MARK,
    looks_like_text,
)
from sast_deploy.base.rules import Instance, Maybe, Whole, refuse
from sast_deploy.data.events import Events
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.cameras import (
    read_aedat2,
    read_aedat3,
    read_bin,
    read_bs2,
    read_dat,
    read_evt21,
)
from sast_deploy.data.readers.columns import Columns, Oddities, mended
from sast_deploy.data.readers.decoding import read_aedat4, read_event_stream, read_evt
from sast_deploy.data.readers.numbers import (
    RECORDING,
    read_hdf5_events,
    read_npy_events,
    read_text_events,
)

MOST_WINDOWS = 1_000_000  # of one recording
HEADER_BYTES = 1 << 14
OTHERS = (GZIP_MARK + b"\x08", ZIP_MARK, LFS_MARK)  # how no events of five bytes begin


@dataclass(frozen=True)
class Format:
    """A kind of file. mark: how it begins; "" where only the name's ending tells. library: what reads it."""

    name: str
    mark: bytes
    ending: str
    library: str
    read: Callable[[Path, RecordingOptions], Columns]


FORMATS = (
    Format("AEDAT 4", b"#!AER-DAT4.0\r\n", "", "faery", read_aedat4),
    Format("AEDAT 3.1", b"#!AER-DAT3.1\r\n", "", "own", read_aedat3),
    Format("AEDAT 2.0", b"#!AER-DAT2.0", "", "own", read_aedat2),
    Format("Event Stream", b"Event Stream", "", "faery", read_event_stream),
    Format("HDF5", HDF5_MARK, "", "h5py", read_hdf5_events),
    Format(".npy", NPY_MARK, "", "NumPy", read_npy_events),
    Format("Prophesee EVT", b"%", "", "faery", read_evt),
    Format("Prophesee EVT 2.1", b"%", "", "own", read_evt21),
    Format("Prophesee .dat", b"%", "", "own", read_dat),
    Format("N-MNIST .bin", b"", ".bin", "own", read_bin),
    Format("SLAYER bs2", b"", ".bs2", "own", read_bs2),
    Format("text", b"", "", "NumPy", read_text_events),
)
_BY_NAME = {each.name: each for each in FORMATS}
_EVT = re.compile(rb"(?m)^% (?:evt |format EVT)([0-9.]{1,3})")


@dataclass(frozen=True)
class RecordingFacts:
    """What a file holds.

    Fields:
        format: its name. library: what read it.
        bytes, events: their numbers; the events are those behind all options.
        sensor: (H, W) in pixels; None where nothing says it.
        first_us, last_us: times of the first and the last event.
        off, on: events of either polarity.
        notes: what is worth telling. odd: what is wrong, and the option that mends it.

    >>> sast.read_events("events.npy", sast.RecordingOptions(columns=("x", "y", "t", "p")))[2].format
    '.npy'
    """

    format: str
    library: str
    bytes: int
    events: int
    sensor: tuple[int, int] | None
    first_us: int
    last_us: int
    off: int
    on: int
    notes: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a recording: the events of [start_us, start_us + length_us) from its first event on.

    Fields:
        start_us, length_us: microseconds; start_us counts from the recording's first event.
        events: dtype EVENT, a view, perhaps of none; times are the recording's.
        place: (time of its start, length), as `frames_from_events` takes it.

    >>> sast.windows(events, 5)[0].length_us
    5
    """

    start_us: int
    length_us: int
    events: Events
    place: tuple[int, int]


def find_format(path: Path) -> Format:
    """The format of a file, by its first bytes, and by its name where they cannot tell.

    Raises DataError: no regular file, or of no format.
    """
    with open_regular(path, RECORDING) as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(b"%"):  # lines in any order
            head += file.read(HEADER_BYTES)
    if head.startswith(b"%"):
        versions = {match.replace(b".", b"") for match in _EVT.findall(head)}
        name = "Prophesee EVT 2.1" if b"21" in versions else "Prophesee EVT" if versions else "Prophesee .dat"
        return _BY_NAME[name]
    for each in FORMATS:
        if each.mark and head.startswith(each.mark):
            return each
    if head.startswith(b"#!AER-DAT"):
        version = head[9:12].decode("latin-1")
        raise DataError(f"AEDAT {version}", where=path, expected="AEDAT 2.0, 3.1 or 4.0")
    ending = Path(path).suffix.lower()
    for each in FORMATS:
        if each.ending and each.ending == ending and head.strip(b"\0") and not head.startswith(OTHERS):
            return each
    if head.strip() and looks_like_text(head):
        return _BY_NAME["text"]
    RECORDING.refuse_kind(path)


def read_events(
    path: str | os.PathLike[str], options: RecordingOptions | None = None
) -> tuple[Events, tuple[int, int] | None, RecordingFacts]:
    """The events of a recording in any format that is known by its content; docs/recordings.md has them.

    Returns:
        events: dtype EVENT: x from the left, y from the top, t in microseconds in order, p 0 OFF or 1 ON.
        sensor: (H, W), or that of the crop; None where neither file nor options say it.
        facts: what the file is.

    Raises:
        DataError: no such format, a damaged file, or what is wrong with its events, and the option of
            `RecordingOptions` that would mend it. InstallationError: faery is missing.

    >>> options = sast.RecordingOptions(columns=("x", "y", "t", "p"))
    >>> events, sensor, facts = sast.read_events("events.npy", options)
    >>> facts.events
    4
    """
    return _read(Path(path), options or RecordingOptions(), True)


def look_at(path: str | os.PathLike[str], options: RecordingOptions | None = None) -> RecordingFacts:
    """What a recording is, and all that is odd about it. Raises DataError where it cannot be read at all."""
    return _read(Path(path), options or RecordingOptions(), False)[2]


def _read(
    path: Path, options: RecordingOptions, refusing: bool
) -> tuple[Events, tuple[int, int] | None, RecordingFacts]:
    refuse(Instance((RecordingOptions,)).problems(options, "options"), None, DataError)
    kind = find_format(path)
    odd = Oddities(path, refusing)
    raw = kind.read(path, options)
    events, sensor = mended(raw, options, odd)
    notes = (*raw.notes, *_notes(raw, options, len(events), sensor))
    on = int(np.count_nonzero(events["p"]))
    times = int(events["t"][0]), int(events["t"][-1])
    facts = RecordingFacts(
        kind.name, kind.library, path.stat().st_size, len(events), sensor, *times, len(events) - on, on,
        notes, tuple(odd.found),
    )  # fmt: skip
    return events, sensor, facts


def _notes(
    raw: Columns, options: RecordingOptions, kept: int, sensor: tuple[int, int] | None
) -> tuple[str, ...]:
    found = []
    if options.sensor and raw.sensor and options.sensor != raw.sensor:
        found.append(f"the file says a sensor of {raw.sensor[0]} x {raw.sensor[1]}")
    if kept < len(raw):
        found.append(f"{len(raw) - kept:,} of {len(raw):,} events left out")
    if sensor is None:
        x, y = int(raw.x.max()), int(raw.y.max())
        found.append(f"nothing says the sensor's size; x goes up to {x}, y to {y} (--sensor H W)")
    return tuple(found)


def windows(events: Any, window_us: int, stride_us: int | None = None) -> list[Window]:
    """Windows of a recording, in order: k * stride_us to k * stride_us + window_us from the first event on.

    Those that end behind the last event are left out, except the first. A window may have no events.

    Args:
        events: dtype EVENT, in order of time, at least one.
        window_us: their length, in microseconds.
        stride_us: from the start of one to that of the next; None: window_us.

    Raises DataError: no events, more than a million windows.

    >>> [len(window.events) for window in sast.windows(events, 3, 2)]
    [1, 1, 1]
    """
    whole = Whole(1, 2**40)
    refuse(whole.problems(window_us, "window_us"), None, DataError)
    refuse(Maybe(whole).problems(stride_us, "stride_us"), None, DataError)
    if not len(events):
        raise DataError("has no events", where="events", expected="at least one")
    times, stride = events["t"], stride_us or window_us
    first = int(times[0])
    span = int(times[-1]) - first + 1
    count = max((span - window_us) // stride + 1, 1)
    if count > MOST_WINDOWS:
        raise DataError(f"{count:,} windows of one recording", expected=f"at most {MOST_WINDOWS:,}")
    starts = first + stride * np.arange(count, dtype=np.int64)
    bounds = zip(np.searchsorted(times, starts), np.searchsorted(times, starts + window_us), strict=True)
    return [
        Window(int(start) - first, window_us, events[low:high], (int(start), window_us))
        for start, (low, high) in zip(starts, bounds, strict=True)
    ]
