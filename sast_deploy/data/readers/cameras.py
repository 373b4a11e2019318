"""Events as cameras and their software write them, in formats that no well-kept library reads well.

    N-MNIST .bin, SLAYER bs2    5 bytes an event; see sast_deploy/data/events.py
    AEDAT 2.0                   jAER: text lines that begin with #, then big-endian address and time, 32 bits
                                each; addresses of DVS128 and DAVIS (jaer: DVS128.java, DavisBaseCamera.java)
    AEDAT 3.1                   cAER: text lines, then packets of a header of 28 bytes and events of 8
                                (inivation: docs, "AEDAT 3.1 file format"; DVS128 Gesture's own files)
    Prophesee .dat              text lines that begin with %, 2 bytes, then time and address, 32 bits each
                                (Metavision docs, "DAT format"), the older event type 0 of N-CARS too
    Prophesee EVT 2.1           text lines, then words of 64 bits, each up to 32 events of a row (Metavision
                                docs, "EVT 2.1 format"; OpenEB: evt21_event_types.h)

x counts from the left and y from the top. jAER counts both from the other end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading import read_bytes
from sast_deploy.data.events import EVENT_BYTES, NMNIST_SENSOR, check_length, decode_nmnist
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.columns import MAX_EVENTS, Columns
from sast_deploy.data.readers.numbers import RECORDING

BYTES = (1 << 31) - 1  # of one file: what one read gives
HEADER_LINES, PAIR = 100_000, 8
# (H, W) by what jAER and cAER call the camera, in small letters.
CAMERAS = {
    "dvs128": (128, 128), "davis240": (180, 240), "davis346": (260, 346), "davis640": (480, 640),
    "davis208": (192, 208), "davis128": (128, 128),
}  # fmt: skip
PACKET = np.dtype([
    ("type", "<i2"), ("source", "<i2"), ("size", "<i4"), ("offset", "<i4"), ("overflow", "<i4"),
    ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4"),
])  # fmt: skip
POLARITY_EVENTS = 1
HEADER_END = b"#!END-HEADER\r\n"
TIME_HIGH, TIME_BITS, WORDS = 0x8, (1 << 28) - 1, 1 << 16
EVT21_KINDS = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)  # OFF, ON, time, trigger, others, continued
CD_TYPES = (0x00, 0x0C)  # of .dat: "2D" before 2018, "CD" since


def read_bin(path: Path, options: RecordingOptions) -> Columns:
    """N-MNIST's own files, with the ATIS's overflow marks."""
    events = decode_nmnist(read_bytes(path, RECORDING, BYTES), path)
    return Columns(events["x"], events["y"], events["t"], events["p"], NMNIST_SENSOR, "us")


def read_bs2(path: Path, options: RecordingOptions) -> Columns:
    """SLAYER's files: N-MNIST's five bytes of a larger sensor, without marks."""
    data = read_bytes(path, RECORDING, BYTES)
    check_length(len(data), path)
    raw = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).astype(np.int64)
    times = (raw[:, 2] & 0x7F) << 16 | raw[:, 3] << 8 | raw[:, 4]
    return Columns(raw[:, 0], raw[:, 1], times, raw[:, 2] >> 7, None, "us")


def read_dat(path: Path, options: RecordingOptions) -> Columns:
    """Prophesee's .dat of change-detection events."""
    data = read_bytes(path, RECORDING, BYTES)
    lines, start = header_lines(data, b"%", path)
    version = re.search(r"(?m)^% Version (\d+)\s*$", lines)
    if version is not None and version[1] != "2":
        raise DataError(f".dat of version {version[1][:9]}", where=path, expected="version 2")
    kind, size = (*data[start : start + 2], -1, -1)[:2]
    if kind not in CD_TYPES or size != PAIR:
        what = f"events of type {kind} and {size} bytes"
        raise DataError(what, where=path, expected=f"type {CD_TYPES[0]} or {CD_TYPES[1]}, of {PAIR} bytes")
    pairs = _pairs(data, start + 2, "<u4", path)
    times, address = pairs[:, 0].astype(np.int64), pairs[:, 1]
    sizes = {key: re.search(rf"(?m)^% {key} (\d{{1,5}})\s*$", lines) for key in ("Height", "Width")}
    height, width = (None if match is None else int(match[1]) for match in sizes.values())
    sensor = (height, width) if height and width else None
    return Columns(address & 0x3FFF, address >> 14 & 0x3FFF, times, address >> 28, sensor, "us")


def read_evt21(path: Path, options: RecordingOptions) -> Columns:
    """Prophesee's .raw of EVT 2.1, words in either order of halves; events before the first time are none."""
    data = read_bytes(path, RECORDING, BYTES)
    lines, start = header_lines(data, b"%", path)
    halves = _pairs(data, start, "<u4", path)
    place = _first_half(lines, halves, path)
    head, mask = halves[:, place], halves[:, 1 - place]
    kind = head >> 28
    timed = kind == TIME_HIGH
    above = (head[timed] & TIME_BITS).astype(np.int64)
    above += np.cumsum(np.diff(above, prepend=above[:1]) < -(TIME_BITS // 2)) * (TIME_BITS + 1)
    latest = np.cumsum(timed) - 1  # of each word, the time word before it
    words = np.flatnonzero((kind <= 1) & (latest >= 0))
    parts = [np.empty((0, 2), np.int64)]
    for chunk in np.array_split(words, len(words) // WORDS + 1):
        bits = np.unpackbits(mask[chunk].astype("<u4").view(np.uint8), bitorder="little").reshape(-1, 32)
        row, place_in_word = np.nonzero(bits)
        parts.append(np.stack([chunk[row], place_in_word], axis=1))
        if sum(map(len, parts)) > MAX_EVENTS:
            raise DataError(f"more than {MAX_EVENTS:,} events", where=path, expected="fewer")
    word, offset = np.concatenate(parts).T
    times = above[latest[word]] << 6 | (head[word] >> 22 & 0x3F).astype(np.int64)
    x = (head[word] >> 11 & 0x7FF).astype(np.int64) + offset
    return Columns(x, head[word] & 0x7FF, times, kind[word], _evt_sensor(lines), "us")


def _first_half(lines: str, halves: NDArray[np.uint32], path: Path) -> int:
    """Where in a word its head is: 1, or 0 in the legacy order; as the header says, else as words show."""
    said = re.search(r"(?m)^% (?:format EVT21;\S*endianness=|endianness )(little|legacy)", lines)
    if said is not None:
        return 1 if said[1] == "little" else 0
    known = [bool(np.isin(halves[:, place] >> 28, EVT21_KINDS).all()) for place in (0, 1)]
    if known[0] == known[1]:
        what = "EVT 2.1 in an order of bytes that neither its header nor its words tell"
        raise DataError(what, where=path, expected="a header with endianness=little or legacy")
    return known.index(True)


def _evt_sensor(lines: str) -> tuple[int, int] | None:
    """(H, W) as the lines of a .raw say it."""
    geometry = re.search(r"(?m)^% geometry (\d{1,5})x(\d{1,5})\s*$", lines)
    if geometry is not None:
        return int(geometry[2]), int(geometry[1])
    found = [re.search(rf"(?m)^% format \S*{key}=(\d{{1,5}})", lines) for key in ("height", "width")]
    return None if found[0] is None or found[1] is None else (int(found[0][1]), int(found[1][1]))


def read_aedat2(path: Path, options: RecordingOptions) -> Columns:
    """jAER's AEDAT 2.0 of a DVS128 or a DAVIS."""
    data = read_bytes(path, RECORDING, BYTES)
    lines, start = header_lines(data, b"#", path)
    pairs = _pairs(data, start, ">u4", path).astype(np.uint32)
    address, times = pairs[:, 0], pairs[:, 1].view(np.int32)
    named = re.search(r"(?mi)^# *AEChip: *\S*\.(\w+)\s*$", lines)
    chip = "" if named is None else named[1].lower()
    sensor = next((size for name, size in CAMERAS.items() if chip.startswith(name)), None)
    if named is None and len(address) and address.max() < 1 << 16:
        chip, sensor = "dvs128", CAMERAS["dvs128"]
        notes: tuple[str, ...] = ("names no camera; its addresses are a DVS128's",)
    else:
        notes = ()
    if sensor is None:
        what = f"AEDAT 2.0 of camera {chip[:40] or '(none named)'}"
        raise DataError(what, where=path, expected=f"one of {', '.join(CAMERAS)}")
    tick = re.search(r"(?mi)^# *Timestamps tick: *(\d+) *(\w+)", lines)
    if tick is not None and (tick[1], tick[2].lower()) != ("1", "us"):
        raise DataError(f"timestamps tick: {tick[1]} {tick[2]}", where=path, expected="1 us")
    decode = _dvs128 if chip.startswith("dvs128") else _davis
    x, y, p, kept = decode(address)
    height, width = sensor
    x, y = width - 1 - x.astype(np.int64), height - 1 - y.astype(np.int64)
    return Columns(x, y, times, p, sensor, "us", notes).part(kept)


def _dvs128(address: NDArray[np.uint32]) -> tuple[NDArray[Any], ...]:
    """x, y, p, and which are events of pixels; bit 15 marks others. An even address is ON."""
    return address >> 1 & 0x7F, address >> 8 & 0x7F, 1 - (address & 1), address & 0x8000 == 0


def _davis(address: NDArray[np.uint32]) -> tuple[NDArray[Any], ...]:
    """As `_dvs128`; bit 31 marks samples of frames and motion, bit 10 external inputs."""
    kept = address & 0x80000400 == 0
    return address >> 12 & 0x3FF, address >> 22 & 0x1FF, address >> 11 & 1, kept


def read_aedat3(path: Path, options: RecordingOptions) -> Columns:
    """cAER's AEDAT 3.1: its packets of polarity events; those of frames, motion and the like are skipped."""
    data = read_bytes(path, RECORDING, BYTES)
    end = data.find(HEADER_END)
    if end < 0:
        raise DataError("AEDAT 3.1 without the end of its header", where=path, expected="#!END-HEADER")
    lines, at, parts = data[:end].decode("utf-8", "replace"), end + len(HEADER_END), []
    if re.search(r"(?m)^#Format: RAW\s*$", lines) is None and "#Format:" in lines:
        raise DataError("AEDAT 3.1, packed", where=path, expected="#Format: RAW")
    while at < len(data):
        if at + PACKET.itemsize > len(data):
            raise DataError(f"is cut off at byte {at:,}, within a packet's header", where=path)
        head = np.frombuffer(data, PACKET, 1, at)[0]
        size, number, at = int(head["size"]), int(head["number"]), at + PACKET.itemsize
        if size < 1 or number < 0 or at + size * number > len(data):
            what = f"is cut off or damaged: a packet of {number:,} events of {size:,} bytes at byte {at:,}"
            raise DataError(what, where=path, expected=f"at most the {len(data) - at:,} bytes left")
        if head["type"] == POLARITY_EVENTS:
            if size != PAIR or head["offset"] != 4:
                raise DataError(f"polarity events of {size} bytes", where=path, expected=f"{PAIR}")
            pairs = np.frombuffer(data, "<u4", 2 * number, at).reshape(-1, 2)
            pairs = pairs[pairs[:, 0] & 1 == 1]  # the others are marked invalid
            late = max(int(head["overflow"]), 0) << 31
            parts.append((pairs[:, 0], pairs[:, 1].astype(np.int64) + late))
        at += size * number
    if not parts:
        raise DataError("AEDAT 3.1 without polarity events", where=path, expected="at least one")
    bits, times = (np.concatenate([part[index] for part in parts]) for index in range(2))
    source = re.search(r"(?m)^#Source \d+: *(\w+)", lines)
    camera = "" if source is None else source[1].lower()
    sensor = next((size for name, size in CAMERAS.items() if camera.startswith(name)), None)
    return Columns(bits >> 17, bits >> 2 & 0x7FFF, times, bits >> 1 & 1, sensor, "us")


def header_lines(data: bytes, mark: bytes, path: Path) -> tuple[str, int]:
    """The text of the lines at the beginning that begin with `mark`, and where they end. Raises DataError."""
    at = 0
    for _ in range(HEADER_LINES):
        if data[at : at + 1] != mark:
            break
        end = data.find(b"\n", at)
        if end < 0 and not _binary(data[at : at + 4096]):
            raise DataError("is cut off within its header", where=path, expected="events behind it")
        if _binary(data[at : end if end >= 0 else at + 4096]):
            break  # an event that begins as a line would
        last, at = data[at:end].strip(), end + 1
        if last == mark + b" end":
            break
    return data[:at].decode("utf-8", "replace"), at


def _binary(line: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\r\f\v" for byte in line)


def _pairs(data: bytes, start: int, dtype: str, path: Path) -> NDArray[Any]:
    """(n, 2) numbers of 32 bits. Raises DataError for a part of a pair at the end."""
    over = (len(data) - start) % PAIR
    if over:
        what = f"is cut off: {len(data) - start:,} bytes of events leave {over} over"
        raise DataError(what, where=path, expected=f"a multiple of {PAIR}")
    return np.frombuffer(data, dtype, offset=start).reshape(-1, 2)
