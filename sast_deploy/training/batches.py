"""Minibatches: unsigned-byte frames on disk become float inputs on the device, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.errors import UsageError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.data import FrameSplit
from sast_deploy.training.augment import (
    Changes,
    apply_changes,
    change_counts,
    draw_changes,
    network_input,
    time_first,
)
from sast_deploy.training.kernels.events import event_rows, listed_rows
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.network.sparse import EventInput, Input
from sast_deploy.training.recipes import Recipe

Batch = tuple[Tensor, Tensor]
Indices = NDArray[np.int64]


@dataclass(eq=False)
class BatchFeeder:
    """Reads chosen samples of frames (n, T, C, H, W) uint8, mapped or events or neither, as network input.

    A batch is (x, y): x (T, batch, C*H*W) float32 = count / clip in [0, 1], y (batch,) int64 labels.
    """

    frames: NDArray[np.uint8] | EventFrames
    labels: NDArray[np.int64]
    clip: int
    device: torch.device

    def batch(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> Batch:
        """The samples at `indices`, changed at random by `rng` where the recipe says so."""
        frames, changes = self.frames[indices], self._changes(len(indices), recipe, rng)
        x = network_input(frames, self.clip) if changes is None else apply_changes(frames, changes, self.clip)
        return torch.from_numpy(x).to(self.device), self._labels(indices)

    def inputs(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> tuple[Input, Tensor]:
        """As `batch`, in whatever form the network takes fastest."""
        return self.batch(indices, recipe, rng)

    def in_order(self, indices: Indices, size: int = 256) -> Iterator[tuple[Input, Tensor]]:
        """All samples at `indices`, unchanged, in that order, as `inputs`."""
        for start in range(0, len(indices), size):
            yield self.inputs(indices[start : start + size])

    def _labels(self, indices: Indices) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.labels[indices])).to(self.device)

    @staticmethod
    def _changes(batch: int, recipe: Recipe | None, rng: np.random.Generator | None) -> Changes | None:
        if recipe is None or rng is None or not recipe.augments:
            return None
        return draw_changes(recipe, batch, rng)


@dataclass(eq=False)
class EventFeeder(BatchFeeder):
    """For a fully connected network on the processor: `inputs` are lists of events, and x is never made."""

    def inputs(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> tuple[Input, Tensor]:
        """As `batch`, x by its events."""
        steps, unit = self.frames.shape[1], 1.0 / self.clip
        changes = self._changes(len(indices), recipe, rng)
        if changes is not None:
            counts = change_counts(self.frames, indices, changes, self.clip).reshape(steps * len(indices), -1)
            rows = event_rows(counts, np.arange(len(counts)), unit=unit)
        elif isinstance(self.frames, EventFrames):
            rows = listed_rows(self.frames, time_first(indices, steps), unit)
        else:
            frames = np.ascontiguousarray(self.frames).reshape(len(self.frames) * steps, -1)
            rows = event_rows(frames, time_first(indices, steps), unit=unit)
        return EventInput(steps, rows), self._labels(indices)


def feeder_of(split: FrameSplit, clip: int, device: torch.device, spec: NetworkSpec) -> BatchFeeder:
    """What feeds minibatches of `split`, from where it is, to such a network on `device`."""
    kind = EventFeeder if spec.kind == "fc" and device.type == "cpu" else BatchFeeder
    return kind(split.frames, split.labels, clip, device)


def minibatches(indices: Indices, size: int, rng: np.random.Generator) -> list[Indices]:
    """A shuffled cut of `indices` into the fewest parts of at most `size`, equal to within one sample."""
    return np.array_split(rng.permutation(indices), -(-len(indices) // size))


def pick_device(name: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else the CPU. Raises UsageError."""
    here = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    if name == "auto":
        return torch.device(here[-1])
    if name not in here:
        expected = " or ".join(("auto", *here))
        raise UsageError(f"device {name!r} is not here", where="--device", expected=expected)
    return torch.device(name)


@contextmanager
def fitting_threads(spec: NetworkSpec, device: torch.device) -> Iterator[None]:
    """One torch thread for fully connected networks on the CPU; restored afterwards.

    Events, the first layer and LIF recursions have threads of their own, which sleep when there is nothing to
    do (kernels/threads.py). The products that are left are so small that torch's threads wait for each other,
    computing, longer than they work: with two threads on two processors that others use too, a pass took 10
    times as long. The result does not depend on the number of processors either. Convolutions, whose products
    are large, keep torch's threads. On a GPU convolutions add in an order that is the same every time.
    """
    before, cudnn = torch.get_num_threads(), torch.backends.cudnn.deterministic
    if spec.kind == "fc" and device.type == "cpu":
        torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = cudnn or device.type == "cuda"
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = cudnn
