"""What drop, noise and margins ask of a network: its answers to samples, changed or not, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import track
from sast_deploy.data import FrameSplit
from sast_deploy.training.augment import Changes, change_counts
from sast_deploy.training.batches import Indices

SMOOTH, HARD = "surrogate", "hard"  # kinds of spikes
Classes = Mapping[str, NDArray[np.int64]]  # kind of spikes -> class of each sample


class Subject(Protocol):
    """A network and the samples that it is shown, in order."""

    @property
    def forwards(self) -> tuple[str, ...]:
        """Kinds of spikes that it has: SMOOTH and HARD, or HARD alone."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The true class of each of the samples that indices are of."""

    def __len__(self) -> int:
        """How many samples are shown."""

    def each_part(self, work: Callable[[Indices], None], description: str) -> None:
        """Call work(indices) for every batch's sample indices; no gradients."""

    def inputs(self, part: Indices, changes: Changes | None = None) -> Any:
        """Those samples, changed where it says so, in the form that `classes` and `margins` take."""

    def classes(self, x: Any) -> Classes:
        """The class that the network predicts for each sample, with each kind of spikes."""

    def margins(self, x: Any) -> Iterator[tuple[str, int, Tensor]]:
        """(kind of spikes, spiking layer, u - theta of some of the samples, float32), layers in order."""

    def altered(self, change: Callable[[Tensor], Tensor]) -> Subject:
        """The same samples, with `change` of every layer's weights, in order; biases and thresholds stay."""


def in_batches(
    indices: Indices, size: int, work: Callable[[Indices], None], description: str
) -> None:
    """Call work(part) for every `size` of the indices, in order."""
    starts = range(0, len(indices), size)
    for part in track([indices[start : start + size] for start in starts], description):
        work(part)


def counts_of(
    split: FrameSplit, part: Indices, changes: Changes | None, most: int, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Counts (samples, T, C, H, W) of some samples; changed ones up to `most`, of frames of `shape`."""
    if changes is None:
        return np.asarray(split.frames[part])
    counts = change_counts(split.frames, part, changes, most)
    return counts.swapaxes(0, 1).reshape(len(part), -1, *shape)


def chosen_samples(split: FrameSplit, shape: tuple[int, ...], indices: Indices | None) -> Indices:
    """`indices`, or those of all samples. Raises UsageError: none, or frames not of `shape` (T, C, H, W)."""
    chosen = np.arange(len(split.labels)) if indices is None else indices
    if split.frames.shape[1:] != shape or not len(chosen):
        found = f"{len(chosen)} frames of shape {split.frames.shape[1:]}"
        raise UsageError(found, where="analysis", expected=f"one or more of shape {shape}")
    return chosen
