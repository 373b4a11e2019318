"""Events of frames moved and dropped at random, sample by sample."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.training.kernels.threads import share
from sast_deploy.training.kernels.vectors import BITS, lowest_bit, nonzero_bits

OPERATIONS = 4  # of one pixel and step, about
AT_ONCE = 4  # random numbers

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's constants (Steele et al., OOPSLA 2014)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)

Counts = NDArray[np.uint8]


def changed_counts(
    frames: Counts | EventFrames,
    indices: NDArray[np.int64],
    affine: NDArray[np.float64],
    drop: NDArray[np.float64],
    seed: NDArray[np.uint64],
    clip: int,
) -> Counts:
    """Counts (T, batch, C*H*W) of the samples at `indices` of C-ordered frames (n, T, C, H, W), changed.

    affine (batch, 2, 3), drop and seed (batch,) as in `augment.Changes`. Counts that meet add up to `clip`.
    """
    steps, (height, width) = frames.shape[1], frames.shape[3:]
    size = prod(frames.shape[2:])
    out, cost = np.zeros((steps, len(indices), size), np.uint8), OPERATIONS * steps * size
    least = np.ceil(drop * 2.0**53).astype(np.uint64)  # of 53 random bits; the product is exact
    given = indices, (affine, least, seed), clip, (height, width), out
    if isinstance(frames, EventFrames):
        lists = frames.starts, frames.index, frames.count
        share(len(indices), lambda low, high: _change_listed(lists, *given, low, high), cost)
    else:
        rows = frames.reshape(-1, size)
        share(len(indices), lambda low, high: _change(rows, *given, low, high), cost)
    return out


@inlined
def _stays(state, least):  # type: ignore[no-untyped-def]  # pragma: no cover
    """1 where the random number of that state, 53 bits, is `least` or more."""
    z = (state ^ (state >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    z ^= z >> np.uint64(31)
    return np.uint64((z >> np.uint64(11)) >= least)


@inlined
def _thin(count, least, state):  # type: ignore[no-untyped-def]  # pragma: no cover
    """How many of `count` events stay, each by the next number of its stream, and the stream's next state.

    Numbers are made whether they are needed or not: how many are is no pattern that a processor could guess.
    """
    kept = np.uint64(0)
    for n in range(AT_ONCE):
        kept += _stays(state + np.uint64(n + 1) * _GOLDEN, least) & np.uint64(n < count)
    for n in range(AT_ONCE, count):
        kept += _stays(state + np.uint64(n + 1) * _GOLDEN, least)
    return np.int64(kept), state + np.uint64(count) * _GOLDEN


@compiled()
def _aim(a, size, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Where the events of each pixel of each channel go; -1: out of the frame."""
    height, width = size
    cx, cy, pixels = (width - 1) / 2.0, (height - 1) / 2.0, height * width
    for y in range(height):
        for x in range(width):
            nx = int(np.floor(a[0, 0] * (x - cx) + a[0, 1] * (y - cy) + a[0, 2] + cx + 0.5))
            ny = int(np.floor(a[1, 0] * (x - cx) + a[1, 1] * (y - cy) + a[1, 2] + cy + 0.5))
            inside = 0 <= nx < width and 0 <= ny < height
            target[y * width + x] = ny * width + nx if inside else -1
    for at in range(pixels, len(target)):
        target[at] = target[at - pixels] + pixels if target[at - pixels] >= 0 else -1


@inlined
def _move(count, least, state, clip, to, row):  # type: ignore[no-untyped-def]  # pragma: no cover
    if least > 0:
        count, state = _thin(count, least, state)
    if to >= 0:
        row[to] = min(row[to] + count, clip)
    return state


@compiled()
def _move_all(rows, source, target, least, state, clip, row):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Move the events of rows[source], in their order, to `row`; returns the next state."""
    size = rows.shape[1]
    whole = size // BITS * BITS
    for at in range(0, whole, BITS):
        bits = nonzero_bits(rows, source, at)
        while bits != 0:
            place = at + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            state = _move(int(rows[source, place]), least, state, clip, target[place], row)
    for place in range(whole, size):
        if rows[source, place] != 0:
            state = _move(int(rows[source, place]), least, state, clip, target[place], row)
    return state


@compiled()
def _change(rows, indices, draws, clip, size, out, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    target, (affine, least, seed) = np.empty(rows.shape[1], np.int32), draws
    for b in range(low, high):
        _aim(affine[b], size, target)
        state = seed[b]
        for t in range(out.shape[0]):
            state = _move_all(rows, indices[b] * out.shape[0] + t, target, least[b], state, clip, out[t, b])


@compiled()
def _change_listed(lists, indices, draws, clip, size, out, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    (starts, index, count), (affine, least, seed) = lists, draws
    target, row = np.empty(out.shape[2], np.int32), np.zeros((1, out.shape[2]), np.uint8)
    for b in range(low, high):
        _aim(affine[b], size, target)
        state = seed[b]
        for t in range(out.shape[0]):
            begin, end = starts[indices[b] * out.shape[0] + t], starts[indices[b] * out.shape[0] + t + 1]
            for n in range(begin, end):
                row[0, index[n]] = count[n]
            state = _move_all(row, 0, target, least[b], state, clip, out[t, b])
            for n in range(begin, end):
                row[0, index[n]] = 0
