"""What a nonzero input triggers: its fan-out into a layer, whole or into a block of its neurons.

Pools and upsamplings have no neurons: what enters one leads to whatever its window, or all its copies,
trigger in the layer behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sast_deploy.program.geometry import Axis, taps
from sast_deploy.program.program import Conv2d, Program, Resampling, Shape
from sast_deploy.program.sums import Int64Array, Weighted, transposed

Span = tuple[int, int]  # from, to: the second is left out
Between = tuple[Resampling, Shape, Shape]  # a layer without neurons, shapes before and behind it


@dataclass(frozen=True)
class Block:
    """Neurons of a layer (C, H, W): ranges of channels, rows and columns; of a dense one (n, 1, 1)."""

    channels: Span
    rows: Span
    columns: Span

    @property
    def neurons(self) -> int:
        """How many."""
        return int(np.prod([high - low for low, high in (self.channels, self.rows, self.columns)]))

    def of(self, values: Int64Array) -> Int64Array:
        """The block's part of values (C, H, W)."""
        return values[slice(*self.channels), slice(*self.rows), slice(*self.columns)]


def cube(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W), of a layer in a row (n, 1, 1)."""
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def whole(shape: Shape) -> Block:
    """All neurons of a layer."""
    channels, height, width = cube(shape)
    return Block((0, channels), (0, height), (0, width))


def weighted_with_sources(program: Program) -> Iterator[tuple[int, Weighted, list[Between]]]:
    """(index, layer, what stands right before it) of every layer with weights."""
    between: list[Between] = []
    shapes = program.shapes()
    for index, layer in enumerate(program.layers):
        if isinstance(layer, Resampling):
            between.append((layer, shapes[index], shapes[index + 1]))
        else:
            yield index, layer, between
            between = []


def fan_out(layer: Weighted, in_shape: Shape, nonzero_only: bool, block: Block | None = None) -> Int64Array:
    """int64 (inputs,): accumulations that one nonzero input triggers in a block (None: all), C, H, W order.

    nonzero_only: without weights that are zero. A dense layer's own spikes through its recurrent weights are
    not among them.
    """
    counted = layer.weight != 0 if nonzero_only else np.ones_like(layer.weight)
    low, high = (0, len(counted)) if block is None else block.channels
    if not isinstance(layer, Conv2d):
        return np.asarray(counted[low:high].sum(axis=0, dtype=np.int64))
    inputs, outputs = layer.weight.shape[1], len(counted) // layer.groups
    fan = np.zeros(in_shape, dtype=np.int64)
    for group in range(low // outputs, -(-high // outputs)):
        some = counted[max(low, group * outputs) : min(high, (group + 1) * outputs)]
        per_tap = some.sum(axis=0, dtype=np.int64)
        part = fan[group * inputs : (group + 1) * inputs]
        for dy, dx, under, at in taps(*layer.axes(in_shape)):
            y, x = under[1:] if block is None else _meeting(block, layer.axes(in_shape), under[1:], at[1:])
            part[:, y, x] += per_tap[:, dy, dx, None, None]
    return fan.ravel()


def _meeting(
    block: Block, axes: tuple[Axis, Axis], under: tuple[slice, slice], at: tuple[slice, slice]
) -> tuple[slice, slice]:
    """Rows and columns of the inputs that a tap's outputs inside the block meet."""
    found = []
    for axis, inputs, outputs, (low, high) in zip(axes, under, at, (block.rows, block.columns), strict=True):
        first, last = max(low, outputs.start), min(high, outputs.stop)
        start = inputs.start + (first - outputs.start) * axis.stride
        stop = start + max(0, last - first) * axis.stride
        found.append(slice(start, stop, axis.stride) if last > first else slice(0, 0))
    return found[0], found[1]


def through(between: list[Between], fan: Int64Array) -> Int64Array:
    """Fan-out seen by the neurons in front of pools and upsamplings, given that of what these give."""
    for layer, before, after in reversed(between):
        fan = transposed(layer, fan.reshape(after), before)
    return fan.ravel()
