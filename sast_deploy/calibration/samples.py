"""Labelled frames that calibration may look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames


@dataclass(frozen=True, eq=False)
class Samples:
    """frames: uint8 (n, T, C, H, W), counts as the program reads them. labels: int64 (n,)."""

    frames: npt.NDArray[np.uint8] | EventFrames
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse an empty set, and labels that are not one per sample."""
        if not 0 < len(self.frames) == len(self.labels):
            found = f"{len(self.frames)} samples with {len(self.labels)} labels"
            raise DataError(found, where="calibration", expected="at least one sample, one label each")

    def __len__(self) -> int:
        return len(self.labels)


def subsample(samples: Samples, count: int, seed: int) -> Samples:
    """`count` samples at random without repetition, in their order; all of them where there are no more."""
    if len(samples) <= count:
        return samples
    return draw(samples.frames, samples.labels, np.arange(len(samples)), count, seed)


def draw(
    frames: npt.NDArray[np.uint8] | EventFrames,
    labels: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    count: int,
    seed: int,
) -> Samples:
    """`count` of the samples `indices`, as `subsample` draws them, without copying the others."""
    chosen = indices
    if len(indices) > count:
        chosen = indices[np.sort(np.random.default_rng(seed).choice(len(indices), count, replace=False))]
    return Samples(np.ascontiguousarray(frames[chosen]), labels[chosen])
