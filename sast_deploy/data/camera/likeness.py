"""Simulated against real N-MNIST, image by image: a table that can fail and a picture.

File number i of N-MNIST shows MNIST image i (1-based), so both sides see the same digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sast_deploy.base.errors import DataError
from sast_deploy.base.files import file_digest
from sast_deploy.base.progress import track
from sast_deploy.data.camera.idx import Split
from sast_deploy.data.camera.matching import common_recordings, matched_recordings, part_starts, twin
from sast_deploy.data.camera.pixelmodel import PixelModel
from sast_deploy.data.camera.statistics import STEPS, EventStatistics, matched_cosine, statistics
from sast_deploy.data.events import read_nmnist
from sast_deploy.data.readers.nmnist import find_nmnist
from sast_deploy.data.readers.official import nmnist_provenance

TOLERANCE = 0.10  # largest relative difference of a row that counts
SUMMING = "what is compared"  # of a bar
MAX_RECORDINGS = 1000  # compared unless the caller wants another number


@dataclass(frozen=True)
class Row:
    """One quantity on both sides; `checked` rows must agree within TOLERANCE."""

    quantity: str
    real: float
    simulated: float
    checked: bool

    @property
    def ratio(self) -> float:
        """simulated / real; infinite where real is 0 and simulated is not."""
        if self.real == 0.0:
            return 1.0 if self.simulated == 0.0 else float("inf")
        return self.simulated / self.real

    @property
    def ok(self) -> bool:
        """Whether the row is within TOLERANCE, or is shown for information only."""
        return not self.checked or abs(self.ratio - 1.0) <= TOLERANCE


@dataclass(frozen=True, eq=False)
class Likeness:
    """The verdict, its rows and what the picture needs.

    Args:
        rows: the table.
        title: what was compared, one line.
        matched_cosine: mean cosine between real and simulated frames of the same image number.
        count_correlation: correlation of the event counts over the image numbers.
        map_correlation: correlation of the mean events of a (bin, polarity, row, column).
        real, simulated: the statistics.
        numbers, labels: image numbers and digits, in the order of the statistics.
    """

    rows: tuple[Row, ...]
    title: str
    matched_cosine: float
    count_correlation: float
    map_correlation: float
    real: EventStatistics
    simulated: EventStatistics
    numbers: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether every checked row is within 10 % of the real recordings."""
        return all(row.ok for row in self.rows)

    def verdict(self) -> tuple[str, str]:
        """Two lines: the similarities, and whether all is within 10 %."""
        failed = [row.quantity for row in self.rows if not row.ok]
        return (
            f"same image, real and simulated: frame cosine {self.matched_cosine:.3f}, "
            f"event count correlation {self.count_correlation:.3f}, "
            f"mean map correlation {self.map_correlation:.3f}",
            f"OUTSIDE 10 %: {', '.join(failed)}" if failed else "all checked quantities are within 10 %",
        )


def compare(
    real_root: Path,
    simulated_root: Path | None = None,
    *,
    mnist_dir: Path | None = None,
    split: Split = "Train",
    model: PixelModel | None = None,
    seed: int = 0,
    limit: int | None = MAX_RECORDINGS,
) -> Likeness:
    """Compare real N-MNIST recordings with simulated ones of the same image numbers.

    Args:
        real_root: folder with Train|Test/<label>/<id>.bin, or with NMNIST/ that has them.
        simulated_root: a simulated data set (`sast-deploy data simulate`); or
        mnist_dir: MNIST's idx files, simulated here and now with `model` and `seed`.
        split: "Train" or "Test".
        limit: at most so many recordings, evenly spaced over the list; None takes all.

    Raises:
        DataError: nothing to compare: folders without recordings or without a common image number, labels
            that contradict each other, neither or both of `simulated_root` and `mnist_dir`.
    """
    if mnist_dir is not None and simulated_root is None:
        found = part_starts(matched_recordings(real_root, mnist_dir, split), limit)
        simulated = (twin(m, split, model or PixelModel(), seed) for m in found)
        real = [(m.path, m.number, m.label) for m in found]
        against = f"MNIST images of the same numbers, simulated with seed {seed}"
    elif simulated_root is not None and mnist_dir is None:
        pairs = part_starts(common_recordings(real_root, simulated_root, split), limit)
        simulated = (read_nmnist(pair[1]) for pair in pairs)
        real = [(path, number, label) for path, _, number, label in pairs]
        against = str(simulated_root)
    else:
        raise DataError("give either a simulated data set or MNIST's idx files", where="compare")
    shown = track(simulated, "simulated recordings", len(real))
    return _likeness(
        statistics(read_nmnist(path) for path, _, _ in real),
        statistics(shown),
        title=f"{len(real)} recordings of {split} against {against}; they are {_origin(real_root)}",
        numbers=tuple(number for _, number, _ in real),
        labels=tuple(label for _, _, label in real),
    )


def recordings_digest(
    real_root: Path, simulated_root: Path | None, mnist_dir: Path | None, split: Split, limit: int | None
) -> str:
    """SHA-256 over what `compare` takes: numbers, labels, recordings and images. Raises DataError."""
    sha = hashlib.sha256()
    if mnist_dir is not None:
        for found in track(part_starts(matched_recordings(real_root, mnist_dir, split), limit), SUMMING):
            sha.update(f"{found.number} {found.label} {file_digest(found.path)}".encode())
            sha.update(found.image.tobytes())
    elif simulated_root is not None:
        common = part_starts(common_recordings(real_root, simulated_root, split), limit)
        for *paths, number, label in track(common, SUMMING):
            sha.update(f"{number} {label} {' '.join(file_digest(path) for path in paths)}".encode())
    return sha.hexdigest()


def _origin(root: Path) -> str:
    return nmnist_provenance(find_nmnist(root) or root)


def _likeness(
    real: EventStatistics,
    simulated: EventStatistics,
    title: str,
    numbers: tuple[int, ...],
    labels: tuple[int, ...],
) -> Likeness:
    maps = [one.frames.mean(axis=0).ravel() for one in (real, simulated)]
    few = len(numbers) < 2
    return Likeness(
        rows=_rows(real, simulated),
        title=title,
        matched_cosine=matched_cosine(real, simulated),
        count_correlation=float("nan") if few else float(np.corrcoef(real.counts, simulated.counts)[0, 1]),
        map_correlation=float(np.corrcoef(*maps)[0, 1]),
        real=real,
        simulated=simulated,
        numbers=numbers,
        labels=labels,
    )


def _rows(real: EventStatistics, simulated: EventStatistics) -> tuple[Row, ...]:
    def row(quantity: str, checked: bool, *values: float) -> Row:
        return Row(quantity, float(values[0]), float(values[1]), checked)

    both = (real, simulated)
    rows = [
        row("events per recording", True, *(s.counts.mean() for s in both)),
        row("ON / OFF events", True, *(s.on_off for s in both)),
        row(f"frame density, T={STEPS} (%)", True, *(100 * s.density for s in both)),
    ]
    for k in range(STEPS):
        rows.append(row(f"events in bin {k + 1} of {STEPS}", True, *(s.per_bin[k] for s in both)))
    rows.append(row("standard deviation of events", False, *(s.counts.std() for s in both)))
    rows.append(row("largest count of a frame", False, *(s.largest for s in both)))
    for k, name in enumerate(("1", "2", "3", "4", "5 or more")):
        rows.append(row(f"entries with {name} (%)", False, *(100 * s.occupancy[k] for s in both)))
    rows.append(row("median interval of a pixel (ms)", False, *(s.intervals_us[3] / 1000 for s in both)))
    return tuple(rows)
