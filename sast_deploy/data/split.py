"""Stratified splits by seed: every class keeps its proportion on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.data.recordings import whole_of

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Holdout:
    """Where the test split comes from: `fraction` None, the data set's own; else so much of each class."""

    fraction: float | None
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the seed counts only where it is used."""
        return {"holdout": self.fraction, "seed": self.seed if self.fraction is not None else None}


def stratified_split(labels: ArrayLike, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split sample indices into (kept, held), class by class, with about `fraction` of each class held.

    The held side gets round(N * fraction) of the N samples by the method of largest remainders: a class of
    n samples gives floor(n * fraction), those with the largest remainders one more (lowest class first).
    A class of two samples or more gives at least one and keeps at least one; a class of one sample keeps it.
    Which samples are held depends on the labels and `seed` alone, through NumPy's PCG64.

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


def split_by_recording(
    labels: ArrayLike, ids: Sequence[str], fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """`stratified_split` of recordings: all windows of one (see `window_id`) are kept, or all are held.

    Without windows it is `stratified_split` of the samples, to the last index.

    Args: labels: (n,) integers. ids: n names. fraction, seed: as there, of recordings.

    Raises DataError: as there.
    """
    found = _checked(labels)
    wholes = [whole_of(name) for name in ids]
    number: dict[str, int] = {}
    of = np.asarray([number.setdefault(whole, len(number)) for whole in wholes], np.int64)
    if len(number) == len(found):
        return stratified_split(found, fraction, seed)
    first = np.unique(of, return_index=True)[1]
    kept, held = stratified_split(found[first], fraction, seed)
    return np.flatnonzero(np.isin(of, kept)), np.flatnonzero(np.isin(of, held))


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
        found = f"labels of shape {classes.shape} and type {classes.dtype}"
        raise DataError(found, expected="a vector of at least one integer")
    return classes.astype(np.int64)
