"""Simulated against real N-MNIST, image by image: a table that can fail and a picture.

File number i of N-MNIST shows MNIST image i (1-based), so both sides see the same digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sast_deploy.base.errors import DataError
from sast_deploy.base.progress import track
from sast_deploy.data.camera.idx import Split
from sast_deploy.data.camera.matching import Pair, common_recordings, matched_recordings, part_starts
from sast_deploy.data.camera.pixelmodel import PixelModel
from sast_deploy.data.camera.statistics import STEPS, EventStatistics, matched_cosine, statistics
from sast_deploy.data.readers.nmnist import find_nmnist
from sast_deploy.data.readers.official import nmnist_provenance

TOLERANCE = 0.10  # largest relative difference of a row that counts
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
    """The rows of the verdict, and what the picture needs.

    Args:
        rows: the table.
        title: what was compared, one line.
        real, simulated: the statistics.
        numbers, labels: image numbers and digits, in the order of the statistics.
    """

    rows: tuple[Row, ...]
    title: str
    real: EventStatistics
    simulated: EventStatistics
    numbers: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether every checked row is within 10 % of the real recordings."""
        return all(row.ok for row in self.rows)

    @property
    def matched_cosine(self) -> float:
        """Mean cosine between real and simulated frames of the same image number."""
        return matched_cosine(self.real, self.simulated)

    @property
    def count_correlation(self) -> float:
        """Correlation of the event counts over the image numbers; NaN for fewer than two."""
        few = len(self.numbers) < 2
        return float("nan") if few else float(np.corrcoef(self.real.counts, self.simulated.counts)[0, 1])

    @property
    def map_correlation(self) -> float:
        """Correlation of the mean events of a (bin, polarity, row, column)."""
        return float(np.corrcoef(*(s.frames.mean(axis=0).ravel() for s in (self.real, self.simulated)))[0, 1])

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
    pairs, sensor = _pairs(real_root, simulated_root, mnist_dir, split, limit), model or PixelModel()
    others = (pair.simulated(sensor, seed) for pair in pairs)
    real = statistics(pair.events() for pair in pairs)
    simulated = statistics(track(others, "simulated recordings", len(pairs)))
    against = simulated_root or f"MNIST images of the same numbers, simulated with seed {seed}"
    origin = nmnist_provenance(find_nmnist(real_root) or real_root)
    title = f"{len(pairs)} recordings of {split} against {against}; they are {origin}"
    numbers, labels = tuple(pair.number for pair in pairs), tuple(pair.label for pair in pairs)
    return Likeness(_rows(real, simulated), title, real, simulated, numbers, labels)


def recordings_digest(
    real_root: Path, simulated_root: Path | None, mnist_dir: Path | None, split: Split, limit: int | None
) -> str:
    """SHA-256 over what `compare` takes: numbers, labels, recordings and images. Raises DataError."""
    sha = hashlib.sha256()
    for pair in track(_pairs(real_root, simulated_root, mnist_dir, split, limit), "what is compared"):
        sha.update(pair.content())
    return sha.hexdigest()


def _pairs(
    real_root: Path, simulated_root: Path | None, mnist_dir: Path | None, split: Split, limit: int | None
) -> list[Pair]:
    if mnist_dir is not None and simulated_root is None:
        return part_starts(matched_recordings(real_root, mnist_dir, split), limit)
    if simulated_root is not None and mnist_dir is None:
        return part_starts(common_recordings(real_root, simulated_root, split), limit)
    raise DataError("give either a simulated data set or MNIST's idx files", where="compare")


def _rows(real: EventStatistics, simulated: EventStatistics) -> tuple[Row, ...]:
    both = zip(_quantities(real), _quantities(simulated), strict=True)
    return tuple(Row(name, float(here), float(there), checked) for (name, checked, here), (*_, there) in both)


def _quantities(s: EventStatistics) -> list[tuple[str, bool, float]]:
    """(what, whether it is checked, how much) of one side."""
    used = zip(("1", "2", "3", "4", "5 or more"), s.occupancy, strict=True)
    return [
        ("events per recording", True, s.counts.mean()),
        ("ON / OFF events", True, s.on_off),
        (f"frame density, T={STEPS} (%)", True, 100 * s.density),
        *((f"events in bin {k + 1} of {STEPS}", True, events) for k, events in enumerate(s.per_bin)),
        ("standard deviation of events", False, s.counts.std()),
        ("largest count of a frame", False, s.largest),
        *((f"entries with {name} (%)", False, 100 * share) for name, share in used),
        ("median interval of a pixel (ms)", False, s.intervals_us[3] / 1000),
    ]
