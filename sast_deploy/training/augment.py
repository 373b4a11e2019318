"""Random small changes of training samples, applied to event counts: shift, rotate, zoom, shear, drop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.training.kernels.changes import changed_counts
from sast_deploy.training.kernels.events import listed_rows
from sast_deploy.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class Changes:
    """What happens to each sample of a minibatch.

    Attributes:
        affine: (batch, 2, 3) float64; new (x, y) = affine @ (x - cx, y - cy, 1) + (cx, cy), in pixels, with
            (cx, cy) the middle of the frame.
        drop: (batch,) float64, probability that an event is dropped.
        seed: (batch,) uint64, of the drops.
    """

    affine: NDArray[np.float64]
    drop: NDArray[np.float64]
    seed: NDArray[np.uint64]


def draw_changes(recipe: Recipe, batch: int, rng: np.random.Generator) -> Changes:
    """Draw one change per sample, uniformly within the recipe's limits."""
    angle = np.deg2rad(recipe.rotate) * rng.uniform(-1, 1, batch)
    zoom = 1.0 + recipe.scale * rng.uniform(-1, 1, (batch, 2))
    shear = recipe.shear * rng.uniform(-1, 1, batch)
    shift = recipe.shift * rng.uniform(-1, 1, (batch, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    affine = np.empty((batch, 2, 3))
    affine[:, 0, 0], affine[:, 0, 1] = zoom[:, 0] * cos, zoom[:, 0] * (shear * cos - sin)
    affine[:, 1, 0], affine[:, 1, 1] = zoom[:, 1] * sin, zoom[:, 1] * (shear * sin + cos)
    affine[:, :, 2] = shift
    return Changes(
        affine, recipe.drop * rng.uniform(0, 1, batch), rng.integers(0, 2**63, batch, dtype=np.uint64)
    )


def apply_changes(
    frames: NDArray[np.uint8] | EventFrames, changes: Changes, clip: int
) -> NDArray[np.float32]:
    """Changed network input, (T, batch, C*H*W) float32 in [0, 1], of frames (batch, T, C, H, W) uint8.

    Every event moves to the nearest new pixel; events that leave the frame are lost, counts that meet add
    up and are clipped at `clip` as in the data layer.
    """
    counts = change_counts(frames, np.arange(len(frames)), changes, clip)
    return np.asarray(np.multiply(counts, np.float32(1.0 / clip), dtype=np.float32))


def change_counts(
    frames: NDArray[np.uint8] | EventFrames, indices: NDArray[np.int64], changes: Changes, clip: int
) -> NDArray[np.uint8]:
    """`apply_changes`, still as counts, to the samples at `indices` of frames (n, T, C, H, W)."""
    held = frames if isinstance(frames, EventFrames) else np.ascontiguousarray(frames)
    return changed_counts(held, indices, changes.affine, changes.drop, changes.seed, clip)


def network_input(frames: NDArray[np.uint8] | EventFrames, clip: int) -> NDArray[np.float32]:
    """Network input, (T, batch, C*H*W) float32 in [0, 1], of frames (batch, T, C, H, W) uint8."""
    if isinstance(frames, EventFrames):
        steps = frames.shape[1]
        rows = listed_rows(frames, time_first(np.arange(len(frames)), steps), 1.0 / clip)
        return rows.dense().reshape(steps, len(frames), -1)
    flat = frames.reshape(*frames.shape[:2], -1).swapaxes(0, 1)
    return np.asarray(np.multiply(flat, np.float32(1.0 / clip), dtype=np.float32, order="C"))


def time_first(samples: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Where, among rows (sample, step), those of (step, sample) are, for the chosen samples."""
    return (samples * steps + np.arange(steps)[:, None]).reshape(-1)
