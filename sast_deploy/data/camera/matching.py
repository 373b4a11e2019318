"""Which recordings belong together: file number i of N-MNIST shows MNIST image i (1-based)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.files import file_digest
from sast_deploy.data.camera.idx import Split, read_mnist
from sast_deploy.data.camera.pixelmodel import PixelModel, simulate_recording
from sast_deploy.data.camera.saccade import recording_key
from sast_deploy.data.camera.sessions import session_model
from sast_deploy.data.events import Events, read_nmnist
from sast_deploy.data.readers.nmnist import find_nmnist, list_split, refuse_simulated

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Pair:
    """A real recording, and what is held against it.

    Fields:
        path: the real recording.
        split, number, label: of the MNIST image that it shows; number is 1-based.
        other: that image, (28, 28) uint8, or a recording that was simulated of it.
    """

    path: Path
    split: Split
    number: int
    label: int
    other: NDArray[np.uint8] | Path

    def events(self) -> Events:
        """The real events. Raises DataError."""
        return read_nmnist(self.path)

    def simulated(self, model: PixelModel, seed: int) -> Events:
        """The other recording; of an image the one that `simulate_mnist` makes. Raises DataError."""
        if isinstance(self.other, Path):
            return read_nmnist(self.other)
        model, key = session_model(model, self.number, self.split), recording_key(self.number, self.split)
        return simulate_recording(self.other, seed=seed, number=key, model=model)

    def content(self) -> bytes:
        """What tells this pair from others. Raises DataError."""
        head = f"{self.number} {self.label} {file_digest(self.path)}"
        if isinstance(self.other, Path):
            return f"{head} {file_digest(self.other)}".encode()
        return head.encode() + self.other.tobytes()


def matched_recordings(real_root: Path, mnist_dir: Path, split: Split) -> list[Pair]:
    """The real recordings of a split with the MNIST images they show, by number.

    Raises:
        DataError: no recordings, a number that MNIST does not have, a label that MNIST contradicts.
    """
    images, labels = read_mnist(mnist_dir, split)
    found = []
    for number, (path, label) in sorted(_real(real_root, split).items()):
        if not 1 <= number <= len(images):
            expected = f"1 to {len(images)}, as in MNIST"
            raise DataError(f"recording number {number}", where=path, expected=expected)
        if labels[number - 1] != label:
            expected = f"{labels[number - 1]}, MNIST's label of image {number}"
            raise DataError(f"label {label}", where=path, expected=expected)
        found.append(Pair(path, split, number, label, images[number - 1]))
    return found


def common_recordings(real_root: Path, simulated_root: Path, split: Split) -> list[Pair]:
    """The real recordings whose numbers the simulated folder has, by number. Raises DataError."""
    if os.path.realpath(real_root) == os.path.realpath(simulated_root):
        raise DataError("the same folder twice", where=simulated_root, expected="a simulated data set")
    real, simulated = _real(real_root, split), _numbered(simulated_root, split)
    common = sorted(set(real) & set(simulated))
    if not common:
        raise DataError(f"no image number of {split} is in {real_root} too", where=simulated_root,
                        expected="a simulation of MNIST's images")  # fmt: skip
    for number in common:
        if real[number][1] != simulated[number][1]:
            raise DataError(f"label {simulated[number][1]}", where=simulated[number][0],
                            expected=f"{real[number][1]}, the real label of number {number}")  # fmt: skip
    return [Pair(real[n][0], split, n, real[n][1], simulated[n][0]) for n in common]


def _real(root: Path, split: Split) -> dict[int, tuple[Path, int]]:
    """`_numbered` of camera recordings. Raises DataError for a simulated data set."""
    folder = find_nmnist(root) or root
    refuse_simulated(folder)
    return _numbered(root, split)


def _numbered(root: Path, split: Split) -> dict[int, tuple[Path, int]]:
    """Image number -> (file, label) of the recordings of a split."""
    folder = find_nmnist(root) or root
    if not (folder / split).is_dir():
        raise DataError(f"no folder {split}", where=root, expected=f"{split}/<label>/<id>.bin")
    numbered = {}
    for recording in list_split(folder, split):
        path = folder / recording.id
        if not path.stem.isdecimal():
            raise DataError(f"file name {path.name}", where=path.parent, expected="<image number>.bin")
        numbered[int(path.stem)] = (path, recording.label)
    if not numbered:
        raise DataError(f"no recordings in {split}", where=root, expected=f"{split}/<label>/<id>.bin")
    return numbered


def part_starts(items: list[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, each the first of as many equal parts.

    Not `record.evenly_spread`, which reaches to the last: the figures that are written down were measured so.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit {limit}", where="compare", expected="1 or more")
    if limit is None or len(items) <= limit:
        return items
    return [items[i * len(items) // limit] for i in range(limit)]
