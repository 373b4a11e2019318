"""Minibatches: unsigned-byte frames on disk become float inputs on the device, one batch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.errors import UsageError
from sast_deploy.training.augment import (
    Changes,
    apply_changes,
    change_counts,
    draw_changes,
    network_input,
)
from sast_deploy.training.kernels.events import event_rows
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.network.sparse import EventInput, Input
from sast_deploy.training.recipes import Recipe

Batch = tuple[Tensor, Tensor]
Indices = NDArray[np.int64]


@dataclass(eq=False)
class BatchFeeder:
    """Reads chosen samples of frames (n, T, C, H, W) uint8, which may be a memory map, as network input.

    A batch is (x, y): x (T, batch, C*H*W) float32 = count / clip in [0, 1], y (batch,) int64 labels.
    events: whether `inputs` are lists of events, for a fully connected network on the processor.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    clip: int
    device: torch.device
    events: bool = False

    def batch(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> Batch:
        """The samples at `indices`, changed at random by `rng` where the recipe says so."""
        frames, changes = np.asarray(self.frames[indices]), _changes(len(indices), recipe, rng)
        x = network_input(frames, self.clip) if changes is None else apply_changes(frames, changes, self.clip)
        return torch.from_numpy(x).to(self.device), self._labels(indices)

    def inputs(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> tuple[Input, Tensor]:
        """The same as `batch`, x as its events where these are wanted: no dense copy of it is made then."""
        if not self.events or self.device.type != "cpu":
            return self.batch(indices, recipe, rng)
        frames, steps = np.ascontiguousarray(self.frames), self.frames.shape[1]
        changes = _changes(len(indices), recipe, rng)
        if changes is None:
            counts, order = frames, (indices * steps + np.arange(steps)[:, None]).reshape(-1)
        else:
            counts = change_counts(frames, indices, changes, self.clip)
            order = np.arange(steps * len(indices))
        rows = counts.reshape(-1, math.prod(frames.shape[2:]))
        x = EventInput(steps, event_rows(rows, order, unit=1.0 / self.clip))
        return x, self._labels(indices)

    def in_order(self, indices: Indices, size: int = 256) -> Iterator[tuple[Input, Tensor]]:
        """All samples at `indices`, unchanged, in that order, as `inputs`."""
        for start in range(0, len(indices), size):
            yield self.inputs(indices[start : start + size])

    def _labels(self, indices: Indices) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.labels[indices])).to(self.device)


def _changes(batch: int, recipe: Recipe | None, rng: np.random.Generator | None) -> Changes | None:
    if recipe is None or rng is None or not recipe.augments:
        return None
    return draw_changes(recipe, batch, rng)


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

    After the first layer, which has threads of its own (sparse.py), their products are so small that torch's
    threads wait for each other longer than they work: with two threads on two processors that others use too,
    an epoch took 10 to 20 times as long. The result no longer depends on the number of processors either.
    """
    before = torch.get_num_threads()
    if spec.kind == "fc" and device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
