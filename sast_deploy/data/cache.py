"""Frames on disk: one read-only folder per content digest, found by the state of the recordings' files.

    <cache>/index/<signature>.json      signature -> digest
    <cache>/frames/<digest>/            meta.json and for each split its events, as EventFrames holds them:
                                        train.starts.npy, train.index.npy, train.count.npy;
                                        or, where an array takes less room and before version 2, train.npy
    <cache>/turns/                      what processes lock that want the same frames at the same time

The *digest* names the frames: SHA-256 over every recording's name, label and bytes, the frame options, the
split and the codec version; it is the same on every machine. The *signature* finds it without reading a
recording: SHA-256 over path, size, modification and change time of every file, and the same options. The
kernel gives a changed file a new change time whatever its other times say, so the signature is new and the
recordings are read again. Folders are complete when they appear (written under another name, then renamed);
every chunk of frames carries a CRC-32 that is checked when the folder is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError, OutputError
from sast_deploy.base.eventframes import EventFrames, index_type
from sast_deploy.base.files import default_cache_dir, new_folder, remove_stale, turn, write_text
from sast_deploy.base.progress import say
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.arrays import read_npy
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.rules import COUNT, Choice, Items, Table, Text, Whole, refuse
from sast_deploy.base.threads import in_order
from sast_deploy.data.options import MAX_CLASSES, FrameOptions

CachedFrames = NDArray[np.uint8] | EventFrames
FORMAT_VERSION = 2  # 1 had arrays only
CODEC_VERSION = 1  # raise it when the same recordings and options give other frames than before
SPLITS = ("train", "test")
CHUNK = 256  # samples per checksum
INDEX_BYTES = 1 << 16
CACHED = Expected("frames as they were written", DataError)
_DIGEST = Text(64, "/\0.", blank=False)
ARRAY, EVENTS = "array", "events"
LISTS = ("starts", "index", "count")
_SPLIT = Table({
    "shape": Items(Whole(0, 1 << 32), 5, 5), "crc32": Items(Whole(0, (1 << 32) - 1), 0, 1 << 24),
    "labels": Items(Whole(0, MAX_CLASSES - 1), 0, 1 << 28), "ids": Items(Text(), 0, 1 << 28),
    "n_events": COUNT, "coding": Choice((ARRAY, EVENTS)),
}, ("coding",))  # fmt: skip
INDEX = Table({"digest": _DIGEST}, open=True)
META = Table({
    "format_version": Whole(1, FORMAT_VERSION), "digest_of_rest": _DIGEST, "digest": _DIGEST,
    "options": FrameOptions.rule(), "classes": Items(Text(1024), 1, MAX_CLASSES),
    "remark": Text(4096), **dict.fromkeys(SPLITS, _SPLIT),
}, ("remark",))  # fmt: skip


def digest_of(value: Any) -> str:
    """SHA-256 of plain values, through JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def notice(text: str) -> None:
    """A remark on the data, for people."""
    say(f"sast-deploy: {text}")


@dataclass(frozen=True, eq=False)
class Entry:
    """An opened cache folder: `meta` (plain values) and memory-mapped `frames` per split that was opened."""

    meta: dict[str, Any]
    frames: dict[str, CachedFrames]


class FrameCache:
    """The cache under one folder; see the module's text. Several processes may use it at once."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = Path(folder) if folder is not None else default_cache_dir()
        self._told: set[str] = set()

    def find(self, signature: str, splits: Collection[str] = SPLITS) -> Entry | None:
        """The entry for this signature; None if there is none, or if it is damaged (said on stderr).

        splits: those that are opened and looked at.
        """
        path = self.folder / "index" / f"{signature}.json"
        if not path.exists():
            return None
        try:
            index = read_json(path, CACHED, INDEX_BYTES)
            refuse(INDEX.problems(index, ""), path, DataError)
        except DataError:
            self._tell("the cached frames' index is damaged; building the frames again")
            return None
        entry = self._frames_folder(index["digest"])
        return self._open(entry, splits) if entry.is_dir() else None

    def store(self, signature: str, digest: str, built: Path) -> Entry:
        """Move the finished folder `built` to its name and enter it in the index; returns it opened."""
        target = self._frames_folder(digest)
        with _caching(self.folder), turn(target.parent, math.inf):
            existing = self._open(target) if target.is_dir() else None
            if existing is None:
                self._replace(target, built)
                existing = self._open(target)
        if existing is None:
            raise OutputError("frames differ from what was written", where=target, expected="a sound disk")
        write_text(self.folder / "index" / f"{signature}.json", json.dumps({"digest": digest}))
        return existing

    @contextlib.contextmanager
    def alone(self, dataset: str, root: Path) -> Iterator[bool]:
        """One process at a time opens a data set and builds its frames; the others wait, and say so.

        Yields whether it waited. The kernel ends the turn of a process that is killed. Raises OutputError.
        """
        # A few folders that stay: one that is removed while somebody waits for it would be held twice.
        folder = self.folder / "turns" / digest_of([dataset, os.path.realpath(root)])[:2]
        waited = False

        def wait() -> None:
            nonlocal waited
            waited = True
            notice(f"another process is preparing {dataset} from {root}; waiting for it")

        with contextlib.ExitStack() as stack:
            with _caching(self.folder):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(turn(folder, math.inf, wait))
            yield waited

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A new folder to build in; removed at the end unless `store` has moved it. Raises OutputError."""
        frames = self.folder / "frames"
        with _caching(self.folder):
            frames.mkdir(parents=True, exist_ok=True)
            self._sweep(frames)
            folder = new_folder(frames, ".building-")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _frames_folder(self, digest: str) -> Path:
        return self.folder / "frames" / digest

    @staticmethod
    def _replace(target: Path, built: Path) -> None:
        """Rename `built` to `target`; a damaged folder there is moved aside first and removed."""
        with _caching(target):
            if target.exists():
                damaged = new_folder(target.parent, ".damaged-")
                os.replace(target, damaged / "old")
                shutil.rmtree(damaged, ignore_errors=True)
            os.replace(built, target)

    @staticmethod
    def _sweep(frames: Path) -> None:
        """Remove folders that a killed process left behind a day ago or earlier."""
        for pattern in (".building-*", ".damaged-*"):
            for folder in frames.glob(pattern):
                remove_stale(folder)

    def _tell(self, text: str) -> None:
        """A notice, once: what is damaged is looked at again when it is this process's turn to build."""
        if text not in self._told:
            notice(text)
        self._told.add(text)

    def _open(self, folder: Path, splits: Collection[str] = SPLITS) -> Entry | None:
        """Open and check a folder; None and a line on stderr if anything in it is not as written."""
        try:
            meta = read_json(folder / "meta.json", CACHED)
            refuse(META.problems(meta, ""), folder / "meta.json", DataError)
            if meta.pop("digest_of_rest") != digest_of(meta):
                raise ValueError("meta.json was altered")
            frames = {}
            for split in SPLITS:
                _check_samples(meta, split)
            for split in splits:
                frames[split] = open_frames(folder, split, meta[split])
                check_frames(frames[split], meta[split])
        except (DataError, ValueError) as error:
            self._tell(f"cached frames in {folder} are damaged ({error}); building them again")
            return None
        return Entry(meta, frames)


@contextlib.contextmanager
def growing_file(
    path: Path, dtype: Any, row: tuple[int, ...] = ()
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """A new .npy file of rows of that shape, and what appends rows. Raises OutputError where writing fails.

    Written, not memory-mapped: a full disk makes a write fail, but kills whoever fills a mapping. Not synced:
    what a crash spoils has a wrong checksum.
    """
    rows, write_header = 0, cast(Any, np.lib.format.write_array_header_1_0)

    def header() -> None:  # NumPy leaves room in it for a number that grows
        file.seek(0)
        write_header(file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, *row)})

    def append(array: NDArray[Any]) -> None:
        nonlocal rows
        file.write(array.data)
        rows += len(array)

    with _caching(path), open(path, "wb") as file:
        header()
        yield append
        header()


@contextlib.contextmanager
def event_files(folder: Path, name: str, shape: tuple[int, ...]) -> Iterator[Callable[[EventFrames], None]]:
    """The files of a split's events, and what appends samples to them. Raises OutputError."""
    kinds = np.int64, index_type(shape), np.uint8
    with contextlib.ExitStack() as files:
        starts, index, count = (
            files.enter_context(growing_file(folder / f"{name}.{each}.npy", kind))
            for each, kind in zip(LISTS, kinds, strict=True)
        )
        events = 0
        starts(np.zeros(1, np.int64))

        def append(chunk: EventFrames) -> None:
            nonlocal events
            starts(chunk.starts[1:] + events)
            index(chunk.index)
            count(chunk.count)
            events += len(chunk.index)

        yield append


def open_frames(folder: Path, split: str, record: dict[str, Any]) -> CachedFrames:
    """The frames of a split, mapped. Raises DataError: they are not there, or cannot be what was written."""
    if record.get("coding", ARRAY) == ARRAY:
        return read_npy(folder / f"{split}.npy", CACHED)
    return EventFrames(record["shape"], *(read_npy(folder / f"{split}.{name}.npy", CACHED) for name in LISTS))


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write meta.json with its own digest. Raises OutputError."""
    meta = {"format_version": FORMAT_VERSION, **meta}
    write_text(folder / "meta.json", json.dumps({**meta, "digest_of_rest": digest_of(meta)}))


def _check_samples(meta: dict[str, Any], split: str) -> None:
    """Raise ValueError unless there is an id and label for every sample, and frames of the options' shape."""
    record, classes, options = meta[split], len(meta["classes"]), meta["options"]
    shape = [record["shape"][0], options.get("steps"), 2, *(options.get("size") or ())]
    if record["shape"] != shape:
        raise ValueError(f"frames {record['shape']}, options for {shape}")
    if not len(record["labels"]) == len(record["ids"]) == record["shape"][0]:
        raise ValueError(f"{len(record['labels'])} labels of {record['shape'][0]} samples")
    if record["labels"] and max(record["labels"]) >= classes:
        raise ValueError(f"label {max(record['labels'])} of {classes} classes")


def check_frames(frames: CachedFrames, record: dict[str, Any]) -> None:
    """Raise ValueError unless `frames` have the shape and the checksums of `record`."""
    if list(frames.shape) != record["shape"] or frames.dtype != np.uint8:
        raise ValueError(f"shape {frames.shape} instead of {record['shape']}")
    starts = range(0, len(frames), CHUNK)
    if list(in_order(lambda start: checksum(frames[start : start + CHUNK]), starts)) != record["crc32"]:
        raise ValueError("the checksum of the frames differs")


def checksum(chunk: CachedFrames) -> int:
    """CRC-32 of an array's bytes, or of those of all lists of events one after the other."""
    if isinstance(chunk, np.ndarray):
        return zlib.crc32(chunk.data)
    return reduce(lambda crc, name: zlib.crc32(getattr(chunk, name).data, crc), LISTS, 0)


@contextlib.contextmanager
def _caching(path: Path) -> Iterator[None]:
    """Raises OutputError, which names the way out, for what the system refuses."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"frames cannot be cached: {error.strerror or error}", where=path,
            expected="a writable folder with free space", todo="set SAST_CACHE_DIR or --cache-dir to one",
        ) from error
