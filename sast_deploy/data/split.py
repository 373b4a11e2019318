"""Stratified splits by seed: every class keeps its proportion on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sast_deploy.errors import DataError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Holdout:
    """How a test split comes about: `fraction` None takes the data set's own, else so much of each class is held."""

    fraction: float | None
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the seed counts only where it is used."""
        return {"holdout": self.fraction, "seed": self.seed if self.fraction is not None else None}


def stratified_split(labels: ArrayLike, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split sample indices into (kept, held), class by class, with about `fraction` of each class held.

    A class of n samples gives floor(n * fraction) to the held side, and the round(N * fraction) - sum of floors
    that remain go to the classes with the largest remainders (lowest class first), so the held side has
    round(N * fraction) samples as far as the classes allow. A class of two samples or more gives at least one
    and keeps at least one; a class of one sample keeps it. Which samples are held depends on
    `seed` alone, through NumPy's PCG64.

    Args:
        labels: (n,) integers.
        fraction: 0 < fraction < 1.
        seed: any non-negative integer.

    Returns:
        kept, held: sorted int64 index arrays that partition range(n).

    Raises:
        DataError: a fraction outside (0, 1), labels that are not a vector of integers, no samples, a split
            that would hold nothing.
    """
    classes = _checked(labels)
    if not 0.0 < fraction < 1.0:
        raise DataError(f"split fraction {fraction}", expected="a number between 0 and 1, both excluded")
    if seed < 0:
        raise DataError(f"split seed {seed}", expected="an integer of 0 or more")
    present, sizes = np.unique(classes, return_counts=True)
    shares = held_per_class(sizes, fraction)
    if shares.sum() == 0:
        raise DataError(
            f"a split of {len(classes)} samples in {len(present)} classes by {fraction} holds nothing",
            expected="a class of two samples or more",
        )
    generator = np.random.default_rng(seed)
    held = [
        generator.permutation(np.flatnonzero(classes == label))[:share]
        for label, share in zip(present, shares, strict=True)
    ]
    held_indices = np.sort(np.concatenate(held)).astype(np.int64)
    kept_indices = np.setdiff1d(np.arange(len(classes), dtype=np.int64), held_indices)
    return kept_indices, held_indices


def held_per_class(sizes: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """How many samples of each class are held (largest-remainder method), given the class sizes."""
    # Rounded to 9 digits so that 0.2 * 5 is 1 and not the float just below it.
    exact = np.round(sizes * fraction, 9)
    shares = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(shares.sum())
    by_remainder = np.argsort(-(exact - shares), kind="stable")
    shares[by_remainder[:missing]] += 1
    lowest = (sizes >= 2).astype(np.int64)
    return np.clip(shares, lowest, np.maximum(sizes - 1, 0))


def _checked(labels: ArrayLike) -> NDArray[np.int64]:
    classes = np.asarray(labels)
    if classes.ndim != 1 or classes.size == 0 or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            f"labels of shape {classes.shape} and type {classes.dtype}", expected="a vector of at least one integer"
        )
    return classes.astype(np.int64)
