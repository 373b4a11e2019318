"""Exact integer products of one layer with whole arrays of inputs, for proofs and checks.

Products run in float64 where no partial sum reaches 2**53, so that they are exact, else in int64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import shift_array
from sast_deploy.program.program import Conv2d, Dense, Int32Array, Program, Readout, Shape, SumPool

# Integers up to this magnitude, and so every partial sum below it in any order, are exact.
FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
Int64Array = npt.NDArray[np.int64]
Weighted = Dense | Conv2d | Readout
Spikes = Sequence[npt.NDArray[np.uint8]]


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


def real_sums(layer: Weighted, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`weighted_sums` in the arrays' own floating-point type, rounded as that type rounds.

    weight: real weights of the layer's shape; only the geometry is the layer's.
    """
    return _convolve(layer, x, weight) if isinstance(layer, Conv2d) else _matrix(x, weight)


def pooled(layer: SumPool, x: Int64Array, rounding: str) -> Int64Array:
    """shift(sum of every window, exponent): x int64 (n, C, H, W) -> int64 (n, C, H // kH, W // kW)."""
    (height, width), (rows, columns) = layer.kernel, layer.out_shape(x.shape[1:])[1:]
    whole = x[:, :, : rows * height, : columns * width]
    windows = whole.reshape(*x.shape[:2], rows, height, columns, width).sum(axis=(3, 5))
    return shift_array(windows, layer.exponent, rounding)


def input_maxima(program: Program) -> list[int]:
    """The largest magnitude of an input of every layer: a count, a spike, or what a pool makes of either."""
    return [max(-low, high) for low, high in program.input_ranges()]


def weighted_bound(weight: Int32Array, x_max: int) -> int:
    """max_i sum_j |W_ij| * x_max: no partial sum of any output exceeds it. weight (out, ...)."""
    return int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max()) * x_max


def _exact_type(weight: Int32Array, x: Int64Array) -> type[np.float64] | type[np.int64]:
    largest = int(np.abs(x).max()) if x.size else 0
    return np.float64 if weighted_bound(weight, largest) < FLOAT64_EXACT else np.int64


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


def layer_inputs(program: Program, frames: npt.NDArray[Any], spikes: Spikes) -> dict[int, Int64Array]:
    """int64 (samples, time, *in_shape) of every weighted layer, by its index.

    frames: the program's input (samples, time, C, H, W). spikes: of every spiking layer, (samples, time,
    neurons), C, H, W order.
    """
    shapes, trains, found = program.shapes(), iter(spikes), {}
    train = frames.astype(np.int64)
    for index, layer in enumerate(program.layers):
        if isinstance(layer, SumPool):
            flat = pooled(layer, train.reshape(-1, *shapes[index]), program.arithmetic.shift_rounding)
            train = flat.reshape(*frames.shape[:2], *shapes[index + 1])
            continue
        found[index] = train
        if not isinstance(layer, Readout):
            train = next(trains).astype(np.int64).reshape(*frames.shape[:2], *shapes[index + 1])
    return found


def sums_over_time(layer: Weighted, train: Int64Array, weight: Int32Array) -> Int64Array:
    """a_t without recurrence, delays applied: (samples, time, *in_shape) -> (samples, time, neurons)."""
    samples, steps, *in_shape = train.shape
    total: Int64Array | None = None
    for delay in np.unique(layer.delay):
        late = np.zeros_like(train)
        if delay < steps:
            late[:, delay:] = train[:, : steps - delay]
        delayed = np.where(layer.delay == delay, weight, 0) if len(np.unique(layer.delay)) > 1 else weight
        part = weighted_sums(layer, late.reshape(-1, *in_shape), delayed).reshape(samples, steps, -1)
        total = part if total is None else total + part
    return np.zeros((samples, steps, len(weight)), np.int64) if total is None else total


def fan_in(layer: Weighted, in_shape: Shape, neuron: int) -> list[tuple[int, int, int]]:
    """(input j, weight, delay) of every synapse of one neuron, C, H, W order, borders left out."""
    if not isinstance(layer, Conv2d):
        delays = np.broadcast_to(layer.delay, layer.weight.shape)[neuron].tolist()
        return list(zip(range(layer.weight.shape[1]), layer.weight[neuron].tolist(), delays, strict=True))
    out_shape, (_, height, width) = layer.out_shape(in_shape), in_shape
    o, row, column = (int(i) for i in np.unravel_index(neuron, out_shape))
    first = o // (out_shape[0] // layer.groups) * layer.weight.shape[1]
    found = []
    for c, dy, dx in np.ndindex(*layer.weight.shape[1:]):
        y = row * layer.stride[0] - layer.padding[0] + dy * layer.dilation[0]
        x = column * layer.stride[1] - layer.padding[1] + dx * layer.dilation[1]
        if 0 <= y < height and 0 <= x < width:
            found.append(
                (((first + c) * height + y) * width + x, int(layer.weight[o, c, dy, dx]), int(layer.delay[0]))
            )
    return found
