"""The tables of weights that the kernels read, the inputs that select their rows, and how both are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.fast.bounds import UINT8_MAX, Widths
from sast_deploy.engines.fast.emit import BYTES, LANES
from sast_deploy.engines.fast.events import WORD
from sast_deploy.program.program import Conv2d, Dense, Shape

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """The range of a layer's inputs, and the type in which they are stored."""

    low: int
    high: int

    @property
    def x_max(self) -> int:
        """The largest magnitude."""
        return max(-self.low, self.high)

    @property
    def stored_type(self) -> type[Any]:
        """uint8 where that holds them."""
        return np.int32 if self.low < 0 or self.high > UINT8_MAX else np.uint8


SPIKES = Inputs(0, 1)


def padded(size: int, multiple: int) -> int:
    """The next multiple at or above size."""
    return -(-size // multiple) * multiple


def stored_size(size: int) -> int:
    """Elements in which `size` inputs are stored: whole words, and room for a vector behind the last."""
    return padded(size, WORD) + BYTES


def conv_segments(layer: Conv2d, in_shape: Shape) -> tuple[Array, Array]:
    """Which units each output position and group sees, and the rows of the weight table they use.

    The row of channel c (within its group) at kernel position (dy, dx) of group g is
    ((g kH + dy) kW + dx) C + c. Neighbouring columns make one segment where that keeps rows in step.
    """
    height, width, axes = in_shape[1], in_shape[2], layer.axes(in_shape)
    ys, lefts = (axis.under(np.arange(axis.outputs)).tolist() for axis in axes)
    groups, unit, kernel = layer.groups, layer.weight.shape[1], layer.weight.shape[2:]
    run = kernel[1] if layer.dilation[1] == 1 and groups == 1 else 1  # kernel columns in one segment
    segment_of, segments = [0], []
    for row, column, g in np.ndindex(len(ys), len(lefts), groups):
        for dy, dx in np.ndindex(kernel[0], kernel[1] // run):
            y, left = ys[row][dy], lefts[column][dx]
            begin, end = max(left, 0), min(left + run, width)
            if 0 <= y < height and begin < end:
                first = (y * width + begin) * groups + g
                table_row = ((g * kernel[0] + dy) * kernel[1] + dx + begin - left) * unit
                segments.append((first, first + (end - begin), table_row - first * unit))
        segment_of.append(len(segments))
    return np.array(segment_of, np.int32), np.array(segments, np.int32).reshape(-1, 3)


def conv_table(layer: Conv2d) -> Array:
    """(groups kH kW C, O of a group) from (O, C, kH, kW)."""
    groups, (outputs, channels, *kernel) = layer.groups, layer.weight.shape
    grouped = layer.weight.reshape(groups, outputs // groups, channels, *kernel)
    table: Array = grouped.transpose(0, 3, 4, 2, 1).reshape(-1, outputs // groups)
    return table


def dense_tables(layer: Dense, in_shape: Shape, first: bool) -> tuple[list[Array], Array]:
    """A table (in, out) for each delay that occurs, and the delays."""
    delays = np.unique(layer.delay).astype(np.int64)
    chosen = [np.where(layer.delay == delay, layer.weight, 0) for delay in delays]
    return [input_order(weight, in_shape, first).T for weight in chosen], delays


def input_order(weight: Array, in_shape: Shape, first: bool) -> Array:
    """Columns of (out, C H W) in the order in which the inputs are stored: frames as is, maps (H, W, C)."""
    if first or len(in_shape) == 1:
        return weight
    stored: Array = weight.reshape(-1, *in_shape).transpose(0, 2, 3, 1).reshape(weight.shape)
    return stored


def weight_rows(tables: list[Array], widths: Widths) -> Array:
    """The tables, one after the other, then a row of zeros; every row in whole vectors."""
    table = np.concatenate(tables)
    rows = np.zeros((len(table) + 1, padded(table.shape[1], LANES)), widths.weight)
    rows[:-1, : table.shape[1]] = table
    return rows


def widest(segment_of: Array, segments: Array) -> int:
    """The most units that a place sees."""
    widths = np.concatenate([[0], np.cumsum(segments[:, 1] - segments[:, 0])])
    return int((widths[segment_of[1:]] - widths[segment_of[:-1]]).max())


def aligned(table: Array) -> Array:
    """A copy whose rows begin where cache lines do, as far as their length allows."""
    room = np.empty(table.nbytes + BYTES, np.uint8)
    start = -room.ctypes.data % BYTES
    copy: Array = room[start : start + table.nbytes].view(table.dtype).reshape(table.shape)
    copy[:] = table
    return copy
