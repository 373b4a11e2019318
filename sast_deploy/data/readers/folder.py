"""A folder of recordings of one's own as a data set: `folder:PATH`.

    PATH/<class>/<recording>                      without a test split: --holdout
    PATH/train/<class>/..., PATH/test/<class>/...
    PATH/labels.csv                               `folder:PATH/labels.csv`: file,label or file,label,split

Recordings may be of any mixture of formats. Windows are cut within a recording, and all windows of a
recording lie on one side of the split.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sast_deploy.base.errors import DataError, about
from sast_deploy.base.progress import task
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.rules import shown
from sast_deploy.base.text import counted
from sast_deploy.base.threads import in_order, processors
from sast_deploy.data.cache import SPLITS, digest_of, notice
from sast_deploy.data.events import Events
from sast_deploy.data.options import MAX_CLASSES, RecordingOptions
from sast_deploy.data.readers.recording import read_events, windows
from sast_deploy.data.recordings import Recording, Recordings, Source, folder_signature

if TYPE_CHECKING:  # a run that finds its frames in the cache compiles nothing
    from sast_deploy.data.frames import Binner, Frames

LIST_BYTES = 64 << 20
LISTED = Expected("a CSV file with columns file, label and perhaps split", DataError)
LAYOUT = "<class>/<recording>, train|test/<class>/<recording>, or folder:PATH/labels.csv"
KEPT = 16 << 20  # events that are kept between the first look at recordings and their frames
LABEL, REMARK = 1024, 4096  # letters
READERS = 1  # raise it when the same files and options give other events than before


@dataclass(frozen=True)
class Entry:
    """A recording of the data set: its path below the root, its class and its split."""

    name: str
    label: str
    split: str


@dataclass(frozen=True)
class FolderSource(Source):
    """The recordings of a folder, or of a list in it, read and cut by `options`."""

    options: RecordingOptions = field(default_factory=RecordingOptions)

    @property
    def place(self) -> Path:
        """The folder or the list."""
        return self.root / self.dataset.partition(":")[2]

    def signature(self) -> str:
        """Digest of the state of all files in the folder, and of how they are read. Raises DataError."""
        folder = self.place.parent if _is_list(self.place) else self.place
        return digest_of([folder_signature(folder), self.options.to_dict(), READERS])

    def open(self) -> Recordings:
        """Read every recording once: which can be used, how large the sensor is, how many windows there are.

        Raises:
            DataError: no recordings, one that cannot be used (unless they are skipped), sensors that differ.
        """
        entries = listed(self.place) if _is_list(self.place) else found(self.place)
        shelf = _Shelf(self.place.parent if _is_list(self.place) else self.place, self.options)
        looked = _look(entries, shelf)
        classes = in_natural_order({entry.label for entry in entries})
        split: dict[str, list[Recording]] = {name: [] for name in SPLITS}
        pieces: list[tuple[str, int]] = []
        for entry, names in zip(entries, looked.names, strict=True):
            for index, name in enumerate(names):
                made = Recording(name, classes.index(entry.label), len(pieces), entry.name)
                split[entry.split].append(made)
                pieces.append((entry.name, index))
        train, test = (tuple(split[name]) for name in SPLITS)
        if not train:
            raise DataError("has no recordings to train with", where=self.place, expected=LAYOUT)

        def frame(recording: Recording, binner: Binner, out: Frames) -> tuple[int, bytes]:
            name, index = pieces[recording.index]
            piece = shelf.pieces(name)[index]
            content = hashlib.sha256(f"{piece.place}".encode() + piece.events.tobytes()).digest()
            return binner.from_events(piece.events, out, shelf.folder / name, piece.place), content

        return Recordings(looked.sensor, classes, train, test or None, frame, processors(), looked.remark)


def _is_list(place: Path) -> bool:
    return place.suffix.lower() == ".csv"


def found(folder: Path) -> tuple[Entry, ...]:
    """The recordings of class folders, sorted by name. Raises DataError."""
    inside = _folders(folder)
    parts = {name.lower(): name for name in inside}
    if "train" not in parts:
        if "test" in parts:
            raise DataError("has a test folder and no train folder", where=folder, expected=LAYOUT)
        return tuple(_of_classes(folder, "", inside, "train"))
    if strange := [name for low, name in parts.items() if low not in SPLITS]:
        raise DataError(f"has {shown(strange[0])} beside train and test", where=folder, expected=LAYOUT)
    splits = [(name, f"{parts[name]}/") for name in SPLITS if name in parts]
    return tuple(
        each for name, prefix in splits
        for each in _of_classes(folder, prefix, _folders(folder / prefix), name)
    )  # fmt: skip


def _folders(folder: Path) -> list[str]:
    return [each.name for each in _entries(folder) if each.is_dir()]


def _of_classes(folder: Path, prefix: str, classes: Iterable[str], split: str) -> Iterator[Entry]:
    for label in classes:
        for each in _entries(folder / prefix / label):
            if each.is_dir():
                where = folder / prefix / label
                raise DataError(f"has a folder {shown(each.name)}", where=where, expected="recordings only")
            yield Entry(f"{prefix}{label}/{each.name}", label, split)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden files apart, sorted by name. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return sorted((each for each in entries if each.name[0] != "."), key=lambda each: each.name)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=folder, expected="a folder") from error


def listed(path: Path) -> tuple[Entry, ...]:
    """The recordings of a list, files in its folder or below it, sorted by name. Raises DataError."""
    content = read_bytes(path, LISTED, LIST_BYTES)
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no CSV ({error})", where=path, expected=LISTED.what) from error
    names = [name.strip().lower() for name in lines[0]] if lines else []
    if not {"file", "label"} <= {*names} <= {"file", "label", "split"} or len({*names}) < len(names):
        raise DataError(f"columns {shown(names)}", where=path, expected="file,label or file,label,split")
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        entry = _listed_entry(names, [cell.strip() for cell in line], number, path)
        if entry.name in entries:
            raise DataError(f"line {number} names {shown(entry.name)} again", where=path, expected="it once")
        entries[entry.name] = entry
    return tuple(entries[name] for name in sorted(entries))


def _listed_entry(names: list[str], line: list[str], number: int, path: Path) -> Entry:
    if len(line) != len(names):
        raise DataError(f"line {number} has {len(line)} columns", where=path, expected=f"{len(names)}")
    cells = dict(zip(names, line, strict=True))
    name, label, split = os.path.normpath(cells["file"]), cells["label"], cells.get("split", "train").lower()
    outside = os.path.isabs(name) or name.split("/")[0] == ".."
    if not cells["file"] or len(name) > LABEL or outside or "\0" in name:
        what = f"line {number} has file {shown(cells['file'])}"
        raise DataError(what, where=path, expected=f"a file below {path.parent}")
    if not label or len(label) > LABEL:
        what = f"line {number} has label {shown(label)}"
        raise DataError(what, where=path, expected=f"1 to {LABEL} letters")
    if split not in SPLITS:
        raise DataError(f"line {number} has split {shown(split)}", where=path, expected="train or test")
    return Entry(name, label, split)


def in_natural_order(labels: set[str]) -> tuple[str, ...]:
    """Names of classes: by number where all are numbers, else by letter. Raises DataError: too many."""
    if len(labels) > MAX_CLASSES:
        raise DataError(f"{len(labels):,} classes", expected=f"at most {MAX_CLASSES:,}")
    if all(label.isascii() and label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


@dataclass(frozen=True, eq=False)
class Piece:
    """A recording, or a window of one that has events. place: of `Window`, None for a whole recording."""

    name: str
    events: Events
    place: tuple[int, int] | None


class _Shelf:
    """The recordings of a folder as pieces; those read last stay in memory. For many threads."""

    def __init__(self, folder: Path, options: RecordingOptions) -> None:
        self.folder, self.options = folder, options
        self._kept: OrderedDict[str, list[Piece]] = OrderedDict()
        self._lock, self._room = threading.Lock(), KEPT

    def read(self, name: str) -> tuple[tuple[int, int], list[Piece], int]:
        """The sensor (H, W), the pieces, and how many windows without events there were. Raises DataError."""
        path = self.folder / name
        events, sensor, _ = read_events(path, self.options)
        if sensor is None:
            x, y = events["x"].max(), events["y"].max()
            what = f"nothing says the sensor's size; x goes up to {x}, y to {y}"
            raise DataError(what, where=path, todo="--sensor H W")
        if self.options.window_us is None:
            parts, empty = [Piece(name, events, None)], 0
        else:
            with about(path, DataError):
                cut = windows(events, self.options.window_us, self.options.stride_us)
            parts = [
                Piece(f"{name}@{each.start_us}-{each.start_us + each.length_us}us", each.events, each.place)
                for each in cut if len(each.events)
            ]  # fmt: skip
            empty = len(cut) - len(parts)
        self._keep(name, parts)
        return sensor, parts, empty

    def pieces(self, name: str) -> list[Piece]:
        """Those of a recording that was read before. Raises DataError: it has changed meanwhile."""
        with self._lock:
            kept = self._kept.get(name)
        return self.read(name)[1] if kept is None else kept

    def _keep(self, name: str, parts: list[Piece]) -> None:
        with self._lock:
            self._room += sum(len(piece.events) for piece in self._kept.pop(name, ()))
            self._kept[name] = parts
            self._room -= sum(len(piece.events) for piece in parts)
            while self._room < 0 and len(self._kept) > processors():
                _, old = self._kept.popitem(last=False)
                self._room += sum(len(piece.events) for piece in old)


@dataclass(frozen=True)
class _Looked:
    """What the first look found: the sensor, the pieces' names of each recording, a remark for people."""

    sensor: tuple[int, int]
    names: tuple[tuple[str, ...], ...]
    remark: str


def _look(entries: tuple[Entry, ...], shelf: _Shelf) -> _Looked:
    """Raises DataError: as `FolderSource.open`."""
    if not entries:
        raise DataError("has no recordings", where=shelf.folder, expected=LAYOUT)
    sensors: dict[tuple[int, int], str] = {}
    names: list[tuple[str, ...]] = []
    bad: list[DataError] = []
    empties = 0

    def look(entry: Entry) -> tuple[tuple[int, int], tuple[str, ...], int] | DataError:
        try:
            sensor, parts, empty = shelf.read(entry.name)
        except DataError as error:
            if shelf.options.skip_bad:
                return error
            raise
        return sensor, tuple(part.name for part in parts), empty

    with task("reading recordings", len(entries)) as under_way:
        for entry, result in zip(entries, under_way.each(in_order(look, entries)), strict=True):
            if isinstance(result, DataError):
                bad.append(result)
                names.append(())
                continue
            sensors.setdefault(result[0], entry.name)
            names.append(result[1])
            empties += result[2]
    return _Looked(_one_sensor(sensors, bad, shelf), tuple(names), _remark(entries, bad, empties))


def _one_sensor(
    sensors: dict[tuple[int, int], str], bad: list[DataError], shelf: _Shelf
) -> tuple[int, int]:
    if not sensors:
        what = f"none of {len(bad)} recordings can be used; the first: {bad[0]}"
        raise DataError(what, where=shelf.folder)
    if len(sensors) > 1:
        (one, name), (other, another) = list(sensors.items())[:2]
        raise DataError(
            f"{another} is of {other[0]} x {other[1]} pixels, {name} of {one[0]} x {one[1]}",
            where=shelf.folder, expected="one sensor",
            todo="--crop TOP LEFT H W to a part that all have, or --sensor H W",
        )
    return next(iter(sensors))


def _remark(entries: tuple[Entry, ...], bad: list[DataError], empties: int) -> str:
    """What was left out, also said at once."""
    said = []
    if bad:
        said.append(f"{len(bad)} of {counted(len(entries), 'recording')} skipped, the first: {bad[0]}")
    if empties:
        said.append(f"{counted(empties, 'window')} without events left out")
    for each in said:
        notice(each)
    return "; ".join(said)[:REMARK]
