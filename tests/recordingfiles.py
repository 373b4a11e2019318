"""Event files of every format, written from public descriptions and by nothing that reads them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sast_deploy.data.events import EVENT, encode_nmnist

SENSOR = (34, 30)  # height, width of `some_events`
HEIGHT_AND_WIDTH = "% Version 2\n% Height 34\n% Width 30\n"


def some_events(
    n: int = 60, seed: int = 0, sensor: tuple[int, int] = SENSOR, span: int = 90_000
) -> np.ndarray:
    """n events in order of time, the first at 1000 us."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT)
    events["x"], events["y"] = rng.integers(0, sensor[1], n), rng.integers(0, sensor[0], n)
    events["t"] = 1000 + np.sort(rng.integers(0, span, n))
    events["t"][0], events["p"] = 1000, rng.integers(0, 2, n)
    return events


def bs2(events: np.ndarray) -> bytes:
    """As N-MNIST, x and y up to 255."""
    rows = []
    for x, y, t, p in events.tolist():
        rows.append(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]))
    return b"".join(rows)


def npy(array: Any) -> bytes:
    """What np.save writes."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def columns(events: np.ndarray, order: str = "xytp") -> np.ndarray:
    """(n, 4) int64."""
    return np.stack([events[name].astype(np.int64) for name in order], axis=1)


def text(events: np.ndarray, order: str = "xytp", mark: str = " ", header: str = "") -> bytes:
    """A line an event."""
    lines = [mark.join(map(str, row)) for row in columns(events, order).tolist()]
    return "\n".join([*filter(None, [header]), *lines, ""]).encode()


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    """What `fill` puts into a file."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def hdf5_group(events: np.ndarray, group: str = "events", names: str = "x y t p") -> bytes:
    """A dataset a column, packed."""

    def fill(file: h5py.File) -> None:
        for name, field in zip(names.split(), "xytp", strict=True):
            file.create_dataset(f"{group}/{name}", data=events[field], compression="gzip")

    return hdf5(fill)


def hdf5_records(events: np.ndarray, name: str = "CD/events") -> bytes:
    """One dataset of records, as Prophesee's."""
    kind = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    records = np.empty(len(events), kind)
    for field in "xytp":
        records[field] = events[field]

    def fill(file: h5py.File) -> None:
        file[name] = records
        file.attrs["geometry"] = f"{SENSOR[1]}x{SENSOR[0]}"

    return hdf5(fill)


def dat(events: np.ndarray, kind: int = 0x0C, header: str = HEIGHT_AND_WIDTH) -> bytes:
    """Prophesee's .dat."""
    head = f"% Data file containing CD events.\n{header}".encode() + bytes([kind, 8])
    return head + b"".join(struct.pack("<II", t, p << 28 | y << 14 | x) for x, y, t, p in events.tolist())


def aedat2(events: np.ndarray, chip: str = "DVS128", comment: str = "") -> bytes:
    """jAER's AEDAT 2.0, with an event of something else at the end. Events of the camera's whole sensor."""
    head = f"#!AER-DAT2.0\r\n# Timestamps tick: 1 us\r\n{comment}# AEChip: eu.some.chip.{chip}\r\n"
    rows = []
    for x, y, t, p in events.tolist():
        if chip == "DVS128":
            address = (127 - y) << 8 | (127 - x) << 1 | (1 - p)
        else:
            address = (259 - y) << 22 | (345 - x) << 12 | p << 11
        rows.append(struct.pack(">Ii", address, t))
    other = struct.pack(">Ii", 0x8000 if chip == "DVS128" else 0x80000000, int(events["t"][-1]))
    return head.encode() + b"".join(rows) + other


def aedat3(events: np.ndarray, source: str = "DVS128", per_packet: int = 25) -> bytes:
    """cAER's AEDAT 3.1: polarity packets, an invalid event, and a packet of special events between them."""
    head = f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {source}\r\n#!END-HEADER\r\n".encode()
    rows = [struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t) for x, y, t, p in events.tolist()]
    rows.insert(3, struct.pack("<Ii", 5 << 17 | 1 << 1, 0))
    packets = [_packet3(0, [struct.pack("<Ii", 1, 0)])]
    for start in range(0, len(rows), per_packet):
        packets.append(_packet3(1, rows[start : start + per_packet]))
    return head + b"".join(packets)


def _packet3(kind: int, rows: list[bytes], overflow: int = 0) -> bytes:
    return struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, len(rows), len(rows), len(rows)) + b"".join(rows)


def aedat4(events: np.ndarray, sensor: tuple[int, int] = SENSOR) -> bytes:
    """iniVation's AEDAT 4, not packed: two FlatBuffers, IOHeader and EventPacket, byte by byte."""
    info = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        '<node name="0" path="/mainloop/Recorder/outInfo/0/">'
        '<attr key="compression" type="string">NONE</attr>'
        '<attr key="typeIdentifier" type="string">EVTS</attr>'
        '<node name="info" path="/mainloop/Recorder/outInfo/0/info/">'
        f'<attr key="sizeX" type="int">{sensor[1]}</attr><attr key="sizeY" type="int">{sensor[0]}</attr>'
        "</node></node></node></dv>"
    ).encode()
    # root offset, identifier, vtable of three fields, padding; table: vtable's offset, compression, string's
    # offset, data table's position; string
    header = struct.pack("<I4s", 20, b"IOHE") + struct.pack("<HHHHHH", 10, 20, 4, 12, 8, 0)
    header += struct.pack("<iiIq", 12, 0, 12, -1)
    header += struct.pack("<I", len(info)) + info + bytes(4 - len(info) % 4)
    rows = b"".join(struct.pack("<qhhBxxx", t, x, y, p) for x, y, t, p in events.tolist())
    # root offset, identifier, vtable of one field, padding; table: vtable's offset, vector's offset; padding,
    # length, structs at a multiple of 8
    packet = struct.pack("<I4s", 16, b"EVTS") + struct.pack("<HHHH", 6, 8, 4, 0) + struct.pack("<iI", 8, 8)
    packet += struct.pack("<II", 0, len(events)) + rows
    packet = struct.pack("<I", len(packet)) + packet
    stream = struct.pack("<ii", 0, len(packet)) + packet
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + stream


def evt_header(version: str, sensor: tuple[int, int] = SENSOR) -> bytes:
    """The lines that a .raw file begins with."""
    return f"% evt {version}\n% geometry {sensor[1]}x{sensor[0]}\n% end\n".encode()


def evt2(events: np.ndarray) -> bytes:
    """Prophesee EVT 2: 32 bits a word."""
    words, high = [], -1
    for x, y, t, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return evt_header("2.0") + np.array(words, "<u4").tobytes()


def evt21(events: np.ndarray) -> bytes:
    """Prophesee EVT 2.1: 64 bits a word, each a vector of one event here."""
    words, high = [], -1
    for x, y, t, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 60 | high << 32)
        words.append(p << 60 | (t & 63) << 54 | x // 32 * 32 << 43 | y << 32 | 1 << x % 32)
    return evt_header("2.1") + np.array(words, "<u8").tobytes()


def evt3(events: np.ndarray) -> bytes:
    """Prophesee EVT 3: 16 bits a word, every part of every event written out."""
    words = []
    for x, y, t, p in events.tolist():
        words += [0x8 << 12 | t >> 12, 0x6 << 12 | t & 0xFFF, y, 0x2 << 12 | p << 11 | x]
    return evt_header("3.0") + np.array(words, "<u2").tobytes()


def event_stream(events: np.ndarray, sensor: tuple[int, int] = SENSOR) -> bytes:
    """Event Stream 2, DVS: times as differences below 127, y from the bottom."""
    parts, last = [b"Event Stream" + bytes([2, 0, 0, 1]) + struct.pack("<HH", sensor[1], sensor[0])], 0
    for x, y, t, p in events.tolist():
        full, left = divmod(t - last, 127)
        parts.append(b"\xff" * full + struct.pack("<BHH", left << 1 | p, x, sensor[0] - 1 - y))
        last = t
    return b"".join(parts)


Maker = Callable[[np.ndarray], bytes]
# Name with its ending -> (what writes it, the sensor its events are of, the command line's options for it)
EVERY: dict[str, tuple[Maker, tuple[int, int], tuple[str, ...]]] = {
    "nmnist.bin": (encode_nmnist, (34, 34), ()),
    "slayer.bs2": (bs2, SENSOR, ("--sensor", "34", "30")),
    "records.npy": (npy, SENSOR, ("--sensor", "34", "30")),
    "columns.npy": (lambda e: npy(columns(e)), SENSOR, ("--sensor", "34", "30", "--columns", "x,y,t,p")),
    "plain.txt": (text, SENSOR, ("--sensor", "34", "30", "--columns", "x,y,t,p")),
    "names.csv": (lambda e: text(e, "tpxy", ",", "t,p,x,y"), SENSOR, ("--sensor", "34", "30")),
    "group.h5": (hdf5_group, SENSOR, ("--sensor", "34", "30")),
    "records.hdf5": (hdf5_records, SENSOR, ()),
    "dvs128.aedat": (aedat2, (128, 128), ()),
    "davis.aedat": (lambda e: aedat2(e, "Davis346blue"), (260, 346), ()),
    "caer.aedat": (aedat3, (128, 128), ()),
    "dv.aedat4": (aedat4, SENSOR, ()),
    "cd.dat": (dat, SENSOR, ()),
    "two.raw": (evt2, SENSOR, ()),
    "twoone.raw": (evt21, SENSOR, ()),
    "three.raw": (evt3, SENSOR, ()),
    "stream.es": (event_stream, SENSOR, ()),
}


def write_every(folder: Path, n: int = 60) -> dict[str, np.ndarray]:
    """A file of each format; name -> its events."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, (name, (make, sensor, _)) in enumerate(EVERY.items()):
        found[name] = some_events(n, seed, sensor)
        (folder / name).write_bytes(make(found[name]))
    return found
