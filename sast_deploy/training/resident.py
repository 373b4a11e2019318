"""Minibatches made on the device, where frames lie as unsigned bytes, are chosen, changed and scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.data import FrameSplit
from sast_deploy.training.augment import Changes
from sast_deploy.training.batches import Batch, BatchFeeder, Indices, feeder_of
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.network.sparse import Input
from sast_deploy.training.recipes import Recipe

SHARE = 0.5  # of the device's free memory that frames may take
CHUNK = 4096  # samples that go there at a time
# splitmix64's constants, as augment.py has them; torch has signed integers only, which wrap alike
GOLDEN, MIX1, MIX2 = (n - (1 << 64) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

_resident: WeakKeyDictionary[FrameSplit, Tensor] = WeakKeyDictionary()
_lock = Lock()


def device_room(device: torch.device) -> int:
    """Bytes of the device's memory that frames may take."""
    return round(SHARE * torch.cuda.mem_get_info(device)[0])


def make_feeder(split: FrameSplit, clip: int, device: torch.device, spec: NetworkSpec) -> BatchFeeder:
    """What feeds minibatches of `split`: from the GPU's memory where that holds all frames."""
    cuda, size = device.type == "cuda", math.prod(split.frames.shape)
    if not cuda or (split not in _resident and size > device_room(device)):
        return feeder_of(split, clip, device, spec)
    with _lock:  # once, for however many trainings
        if split not in _resident:
            frames = torch.empty(split.frames.shape, dtype=torch.uint8, device=device)
            for low in range(0, len(frames), CHUNK):
                part = slice(low, low + CHUNK)
                frames[part].copy_(torch.from_numpy(np.array(split.frames[part])))
            torch.cuda.synchronize(device)  # other streams may read it from now on
            _resident[split] = frames
    return ResidentFeeder(split.frames, split.labels, clip, device, _resident[split])


@dataclass(eq=False)
class ResidentFeeder(BatchFeeder):
    """A feeder whose frames lie on the device: `resident` (n, T, C, H, W) uint8."""

    resident: Tensor

    def batch(
        self, indices: Indices, recipe: Recipe | None = None, rng: np.random.Generator | None = None
    ) -> Batch:
        """As `BatchFeeder.batch`; those that are changed at random are made by the processor."""
        if recipe is not None and rng is not None and recipe.augments:
            return super().batch(indices, recipe, rng)
        labels = torch.from_numpy(np.ascontiguousarray(self.labels[indices]))
        counts = chosen(self.resident, torch.tensor(indices, device=self.device))
        return scaled(counts, self.clip), labels.to(self.device)

    def in_order(self, indices: Indices, size: int = 2048) -> Iterator[tuple[Input, Tensor]]:
        """All samples at `indices`, unchanged, in that order, more at a time than on a processor."""
        return super().in_order(indices, size)


def chosen(frames: Tensor, indices: Tensor) -> Tensor:
    """The samples at `indices` of frames (n, T, C, H, W) uint8, all on one device."""
    rows = frames.flatten(1)
    words = rows.view(torch.int64) if rows.shape[1] % 8 == 0 else rows  # eight counts a thread
    return words.index_select(0, indices).view(torch.uint8).reshape(-1, *frames.shape[1:])


def scaled(counts: Tensor, clip: int) -> Tensor:
    """Network input, (T, batch, C*H*W) float32 in [0, 1], of counts (batch, T, C, H, W)."""
    flat = counts.flatten(2).transpose(0, 1)
    return torch.mul(flat, 1.0 / clip, out=torch.empty(flat.shape, device=counts.device))


def change_numbers(changes: Changes) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """What `changed` takes: affine, drop, and the seeds as torch has them, signed."""
    return changes.affine, changes.drop, changes.seed.view(np.int64)


def changed(frames: Tensor, affine: Tensor, drop: Tensor, seed: Tensor, clip: int) -> Tensor:
    """Changed counts, (batch, T, C, H, W) int64 in 0..clip, of frames of that shape, uint8.

    What `augment.apply_changes` does, with the same random numbers, in torch operations on any device; counts
    that meet add up before they are clipped, exactly.
    """
    batch, steps, channels, height, width = frames.shape
    counts = _thinned(frames, drop, seed, clip).reshape(batch, steps * channels, height * width)
    targets = _targets(affine, height, width)[:, None].expand_as(counts)
    moved = counts.new_zeros(batch, steps * channels, height * width + 1).scatter_add_(2, targets, counts)
    return moved[..., :-1].clamp_(max=clip).reshape(frames.shape)


def _targets(affine: Tensor, height: int, width: int) -> Tensor:
    """Where each pixel's events go, (batch, H*W) int64; H*W: out of the frame."""
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    x = torch.arange(width, device=affine.device, dtype=torch.float64) - cx
    y = torch.arange(height, device=affine.device, dtype=torch.float64)[:, None] - cy
    nx, ny = (
        torch.floor(a[:, 0] * x + a[:, 1] * y + a[:, 2] + middle + 0.5)
        for a, middle in zip(affine[:, :, :, None, None].unbind(1), (cx, cy), strict=True)
    )
    inside = (nx >= 0) & (nx < width) & (ny >= 0) & (ny < height)
    return torch.where(inside, ny * width + nx, height * width).long().flatten(1)


def _thinned(frames: Tensor, drop: Tensor, seed: Tensor, clip: int) -> Tensor:
    """Counts (batch, ...) int64 of the events that are kept, each with probability 1 - drop.

    The n-th event of a sample takes the n-th number of its splitmix64 stream, as in augment.py.
    """
    counts = frames.flatten(1).long()
    before = counts.cumsum(1) - counts
    kept = torch.zeros_like(counts)
    for nth in range(clip):
        z = seed[:, None] + (before + (nth + 1)) * GOLDEN
        z = (z ^ _shifted(z, 30)) * MIX1
        z = (z ^ _shifted(z, 27)) * MIX2
        z = z ^ _shifted(z, 31)
        stays = _shifted(z, 11).double() * (1.0 / 9007199254740992.0) >= drop[:, None]
        kept += (counts > nth) & stays
    return kept


def _shifted(z: Tensor, bits: int) -> Tensor:
    """z >> bits as of an unsigned number."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
