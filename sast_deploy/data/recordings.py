"""What every data set looks like to the frame builder: named, labelled recordings and a way to frame one."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sast_deploy.base.errors import DataError

if TYPE_CHECKING:  # a run that finds its frames in the cache compiles nothing
    from sast_deploy.data.frames import Binner, Frames


MOST_FILES = 10_000_000
NAMES = "surrogateescape"  # of files, which need not be UTF-8
FrameOne = Callable[["Recording", "Binner", "Frames"], tuple[int, bytes]]


@dataclass(frozen=True)
class Recording:
    """One recording: `id` unique in its data set, `label` index of its class, `index` for the reader.

    source: what it is a part of, all of which lie in one split; "": of nothing.
    """

    id: str
    label: int
    index: int = 0
    source: str = ""


@dataclass(frozen=True)
class Recordings:
    """An opened data set.

    Fields:
        sensor: (height, width) in pixels.
        classes: the names of all classes.
        train, test: the recordings, sorted by id; test is None where the data set has no test split.
        frame: writes one recording's frames to an array; returns (number of events, SHA-256 of its content).
            Raises DataError for a recording that cannot be used.
        threads: how many threads may call `frame` at once.
        remark: what is to be known of them beside their source's provenance.
    """

    sensor: tuple[int, int]
    classes: tuple[str, ...]
    train: tuple[Recording, ...]
    test: tuple[Recording, ...] | None
    frame: FrameOne
    threads: int = 1
    remark: str = ""


@dataclass(frozen=True)
class Source:
    """A data set on the disk, not yet opened; each kind of recordings derives from it.

    Fields:
        root: the folder that, given as data root, leads to it again.
        dataset: its resolved name.
        provenance: one honest sentence on where it comes from.
        simulated: True where no camera was involved.
        default_size: (height, width) of its frames where none is asked for; None: the sensor's.
    """

    root: Path
    dataset: str
    provenance: str
    simulated: bool = False
    default_size: tuple[int, int] | None = None
    downloads: ClassVar[bool] = False  # whether `open` may change the files

    @property
    def place(self) -> Path:
        """What errors name."""
        return self.root

    def signature(self) -> str:
        """Digest of the names, sizes and times of its files; changes when any file changes."""
        raise NotImplementedError

    def open(self) -> Recordings:
        """List its recordings. Raises DataError."""
        raise NotImplementedError


def state_lines(folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """One line per file below `folder`, sorted: relative name, size, modification time and change time.

    above: device and number of the folders that lead here. Raises OSError where links lead in a circle.
    """
    state = folder.stat()
    path = (*above, (state.st_dev, state.st_ino))
    if path[-1] in above:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            yield from state_lines(Path(entry.path), f"{prefix}{entry.name}/", path)
        else:
            state = entry.stat()
            yield f"{prefix}{entry.name} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}\n"


def folder_signature(*folders: Path) -> str:
    """SHA-256 over the state of every file below the folders (those that exist). Raises DataError."""
    digest = hashlib.sha256()
    try:
        for folder in folders:
            digest.update(f"{folder.absolute()}\n".encode(errors=NAMES))
            for number, line in enumerate(state_lines(folder) if folder.is_dir() else ()):
                if number > MOST_FILES:
                    raise DataError(f"more than {MOST_FILES:,} files", where=folder, expected="a data set")
                digest.update(line.encode(errors=NAMES))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=error.filename) from error
    return digest.hexdigest()
