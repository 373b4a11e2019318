"""Random small changes of training samples, applied to event counts: shift, rotate, zoom, shear, drop."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.training.recipes import Recipe

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's constants (Steele et al., OOPSLA 2014)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


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


def apply_changes(frames: NDArray[np.uint8], changes: Changes, clip: int) -> NDArray[np.float32]:
    """Changed network input, (T, batch, C*H*W) float32 in [0, 1], of frames (batch, T, C, H, W) uint8.

    Every event moves to the nearest new pixel; events that leave the frame are lost, counts that meet add
    up and are clipped at `clip` as in the data layer.
    """
    batch, steps, *shape = frames.shape
    out = np.zeros((steps, batch, *shape), np.float32)
    _scatter(frames, changes.affine, changes.drop, changes.seed, np.float32(1.0 / clip), out)
    return out.reshape(steps, batch, -1)


def network_input(frames: NDArray[np.uint8] | EventFrames, clip: int) -> NDArray[np.float32]:
    """Network input, (T, batch, C*H*W) float32 in [0, 1], of frames (batch, T, C, H, W) uint8."""
    if isinstance(frames, EventFrames):
        x = np.zeros((frames.shape[1], len(frames), prod(frames.shape[2:])), np.float32)
        _expand(frames.starts, frames.index, frames.count, np.float32(1.0 / clip), x)
        return x
    flat = frames.reshape(*frames.shape[:2], -1).swapaxes(0, 1)
    return np.asarray(np.multiply(flat, np.float32(1.0 / clip), dtype=np.float32, order="C"))


@compiled()
def _expand(starts, index, count, unit, x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """x[t, b] = the events of step t of sample b, counts times `unit`; x is 0 before."""
    steps, batch, _ = x.shape
    for b in range(batch):
        for t in range(steps):
            for k in range(starts[b * steps + t], starts[b * steps + t + 1]):
                x[t, b, index[k]] = np.float32(count[k]) * unit


@compiled()
def _thin(count, drop, state):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Keep each of `count` events with probability 1 - drop; returns (kept, next state)."""
    kept = 0
    for _ in range(count):
        state += _GOLDEN
        z = (state ^ (state >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        z ^= z >> np.uint64(31)
        if (z >> np.uint64(11)) * (1.0 / 9007199254740992.0) >= drop:
            kept += 1
    return kept, state


@compiled()
def _scatter(frames, affine, drop, seed, unit, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    batch, steps, channels, height, width = frames.shape
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    for b in range(batch):
        a = affine[b]
        state = seed[b]
        for t in range(steps):
            for c in range(channels):
                for y in range(height):
                    for x in range(width):
                        count = int(frames[b, t, c, y, x])
                        if count == 0:
                            continue
                        if drop[b] > 0.0:
                            count, state = _thin(count, drop[b], state)
                        nx = int(np.floor(a[0, 0] * (x - cx) + a[0, 1] * (y - cy) + a[0, 2] + cx + 0.5))
                        ny = int(np.floor(a[1, 0] * (x - cx) + a[1, 1] * (y - cy) + a[1, 2] + cy + 0.5))
                        if 0 <= nx < width and 0 <= ny < height:
                            out[t, b, c, ny, nx] = min(out[t, b, c, ny, nx] + unit * count, np.float32(1.0))
