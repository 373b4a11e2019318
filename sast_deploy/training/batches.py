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
from sast_deploy.training.augment import apply_changes, draw_changes, network_input
from sast_deploy.training.network.network import NetworkSpec
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
        frames = self.frames[indices]
        if recipe is not None and rng is not None and recipe.augments:
            x = apply_changes(np.asarray(frames), draw_changes(recipe, len(indices), rng), self.clip)
        else:
            x = network_input(frames, self.clip)
        labels = torch.from_numpy(np.ascontiguousarray(self.labels[indices]))
        return torch.from_numpy(x).to(self.device), labels.to(self.device)

    def in_order(self, indices: Indices, size: int = 256) -> Iterator[Batch]:
        """All samples at `indices`, unchanged, in that order."""
        for start in range(0, len(indices), size):
            yield self.batch(indices[start : start + size])


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
    On a GPU convolutions add in an order that is the same every time.
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
