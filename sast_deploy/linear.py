"""Exact integer products of one layer with whole arrays of inputs, for proofs and checks.

Products run in float64 where no partial sum reaches 2**53, so that they are exact, else in int64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.fixedpoint import shift, shift_array
from sast_deploy.program import Conv2d, Dense, Int32Array, Layer, Program, Readout, SumPool

FLOAT64_EXACT = 1 << 53
Int64Array = npt.NDArray[np.int64]
Weighted = Dense | Conv2d | Readout


def weighted_layers(program: Program) -> Iterator[tuple[int, Weighted]]:
    """(index in `layers`, layer) of every layer that has weights."""
    for index, layer in enumerate(program.layers):
        if not isinstance(layer, SumPool):
            yield index, layer


def weighted_sums(layer: Weighted, x: Int64Array, weight: Int32Array) -> Int64Array:
    """sum_j W_ij x_j of every output: x int64 (n, *in_shape) -> int64 (n, *out_shape).

    weight: the layer's own, or another of its shape. Delays and recurrent weights are not applied.
    """
    exact = _exact_type(weight, x)
    values, factors = x.astype(exact), weight.astype(exact)
    total = _convolve(layer, values, factors) if isinstance(layer, Conv2d) else _matrix(values, factors)
    return np.asarray(total).astype(np.int64)


def pooled(layer: SumPool, x: Int64Array, rounding: str) -> Int64Array:
    """shift(sum of every window, exponent): x int64 (n, C, H, W) -> int64 (n, C, H // kH, W // kW)."""
    (height, width), (rows, columns) = layer.kernel, layer.out_shape(x.shape[1:])[1:]
    whole = x[:, :, : rows * height, : columns * width]
    windows = whole.reshape(*x.shape[:2], rows, height, columns, width).sum(axis=(3, 5))
    return shift_array(windows, layer.exponent, rounding)


def input_maxima(program: Program) -> list[int]:
    """The largest input value of every layer: a count, a spike, or what a pool makes of either."""
    maxima, largest = [], program.input_max
    for layer in program.layers:
        maxima.append(largest)
        largest = _largest_output(layer, largest, program.arithmetic.shift_rounding)
    return maxima


def _largest_output(layer: Layer, largest: int, rounding: str) -> int:
    if isinstance(layer, SumPool):
        return shift(largest * layer.kernel[0] * layer.kernel[1], layer.exponent, rounding)
    return 1


def _exact_type(weight: Int32Array, x: Int64Array) -> type[np.float64] | type[np.int64]:
    largest = int(np.abs(x).max()) if x.size else 0
    bound = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max()) * largest
    return np.float64 if bound < FLOAT64_EXACT else np.int64


def _matrix(x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    product: npt.NDArray[Any] = x.reshape(len(x), -1) @ weight.T
    return product


def _convolve(layer: Conv2d, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One matrix product for every tap of the kernel, with the inputs that lie under it."""
    n, channels, height, width = x.shape
    (top, left), (down, right) = layer.padding, layer.stride
    padded = np.zeros((n, channels, height + 2 * top, width + 2 * left), x.dtype)
    padded[:, :, top : top + height, left : left + width] = x
    out_channels, rows, columns = layer.out_shape((channels, height, width))
    total = np.zeros((n, layer.groups, out_channels // layer.groups, rows * columns), x.dtype)
    kernels = weight.reshape(layer.groups, -1, *weight.shape[1:])
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            y, z = dy * layer.dilation[0], dx * layer.dilation[1]
            under = padded[
                :, :, y : y + (rows - 1) * down + 1 : down, z : z + (columns - 1) * right + 1 : right
            ]
            total += kernels[:, :, :, dy, dx] @ under.reshape(n, layer.groups, -1, rows * columns)
    return total.reshape(n, out_channels, rows, columns)
