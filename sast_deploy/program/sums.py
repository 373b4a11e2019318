"""Exact integer products of one layer with whole arrays of inputs, for proofs and checks.

Products run in float64 where no partial sum reaches 2**53, so that they are exact, else in int64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import shift_array
from sast_deploy.program.geometry import taps
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Convolves,
    Dense,
    Int32Array,
    Program,
    Readout,
    Resampling,
    Shape,
    SumPool,
    Upsample,
    per_neuron,
)

# Integers up to these magnitudes, and so every partial sum below them in any order, are exact.
FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
Int64Array = npt.NDArray[np.int64]
Weighted = Dense | Conv2d | Readout
Spikes = Sequence[npt.NDArray[np.uint8]]


def weighted_layers(program: Program) -> Iterator[tuple[int, Weighted]]:
    """(index in `layers`, layer) of every layer that has weights."""
    for index, layer in enumerate(program.layers):
        if not isinstance(layer, Resampling):
            yield index, layer


def weighted_sums(layer: Weighted, x: Int64Array, weight: Int32Array) -> Int64Array:
    """sum_j W_ij x_j of every output: x int64 (n, *in_shape) -> int64 (n, *out_shape).

    weight: the layer's own, or another of its shape. Delays and recurrent weights are not applied.
    """
    exact = _exact_type(weight, x)
    return real_sums(layer, x.astype(exact), weight.astype(exact)).astype(np.int64)


def real_sums(layer: Any, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`weighted_sums` in the arrays' own floating-point type, rounded as that type rounds.

    layer: any with this geometry, integer or real. weight: real weights of its shape.
    """
    if isinstance(layer, Convolves):
        return _convolve(layer, x, weight)
    return np.asarray(x.reshape(len(x), -1) @ weight.T)


def resampled(layer: Resampling, x: npt.NDArray[np.integer[Any]], rounding: str) -> Int64Array:
    """Copies, or shift(sum of every window, exponent): integers (..., C, H, W) -> int64 (..., *out_shape)."""
    if isinstance(layer, Upsample):
        return copied(layer, x.astype(np.int64))
    return shift_array(window_sums(layer, x, np.int64), layer.exponent, rounding)


def window_sums(layer: Any, x: npt.NDArray[Any], kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """The sum of every window of a pool, of type `kind`: (..., C, H, W) -> (..., *out_shape)."""
    (height, width), (rows, columns) = layer.kernel, layer.out_shape(x.shape[-3:])[1:]
    whole = x[..., : rows * height, : columns * width]
    return np.asarray(
        whole.reshape(*x.shape[:-2], rows, height, columns, width).sum(axis=(-3, -1), dtype=kind)
    )


def copied(layer: Any, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copies of every value: (..., C, H, W) -> (..., *out_shape)."""
    return x.repeat(layer.factors[1], axis=-1).repeat(layer.factors[0], axis=-2)


def transposed(layer: Resampling, x: npt.NDArray[np.integer[Any]], in_shape: Shape) -> Int64Array:
    """Sums over each input's outputs, without the shift: integers (..., *out_shape) -> (..., *in_shape)."""
    twin = SumPool(layer.factors) if isinstance(layer, Upsample) else Upsample(layer.kernel)
    seen, sums = resampled(twin, x, "floor"), np.zeros((*x.shape[:-3], *in_shape), np.int64)
    sums[..., : seen.shape[-2], : seen.shape[-1]] = seen  # what fills no window leads nowhere
    return sums


def input_maxima(program: Program) -> list[int]:
    """The largest magnitude of an input of every layer: a count, a spike, or what a pool makes of either."""
    return [max(-low, high) for low, high in program.input_ranges()]


def weighted_bound(weight: Int32Array, x_max: int) -> int:
    """max_i sum_j |W_ij| * x_max: no partial sum of any output exceeds it. weight (out, ...)."""
    return int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max()) * x_max


def readout_reach(layer: Readout, arriving: int, steps: int) -> int:
    """A magnitude that no logit, membrane potential or product of its leak exceeds in so many steps.

    arriving: as in `integrated_reach`.
    """
    reach = integrated_reach(layer, arriving, steps)
    product = (reach + 1) << LEAK_BITS if layer.v_decay.any() else reach
    return max(product, reach * steps if layer.decoding == "mean" else reach)


def integrated_reach(layer: Readout, arriving: int, steps: int) -> int:
    """A magnitude that no membrane potential of a readout exceeds in so many steps.

    arriving: the largest magnitude of a weighted sum after its shift.
    """
    decays = (per_neuron(decay, len(layer.weight)).tolist() for decay in (layer.v_decay, layer.u_decay))
    reach = 0
    for bias, v, u in zip(layer.bias.tolist(), *decays, strict=True):
        current = min(leaky_reach(arriving, u, steps), -CURRENT.low) if u < NO_DECAY_FILTER else arriving
        reach = max(reach, leaky_reach(abs(bias) + current, v, steps))
    return reach


def leaky_reach(most: int, decay: int, steps: int) -> int:
    """A magnitude that nothing exceeds to which each of so many steps adds up to `most`, after the leak.

    A leak makes nothing larger, and its rounding adds less than 1: with k = 1 - decay / 4096 the magnitudes
    obey |m| <= k |m| + 1 + most, and so never leave (most + 1) / (1 - k).
    """
    ever = ((most + 1) << LEAK_BITS) // decay + 1 if decay else steps * most
    return min(steps * most, ever)


def _exact_type(weight: Int32Array, x: Int64Array) -> type[np.float64] | type[np.int64]:
    largest = int(np.abs(x).max()) if x.size else 0
    return np.float64 if weighted_bound(weight, largest) < FLOAT64_EXACT else np.int64


def _convolve(layer: Any, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One matrix product for every tap of the kernel, with the inputs that lie under it."""
    n, channels = x.shape[:2]
    out_channels, *size = layer.out_shape(x.shape[1:])
    total = np.zeros((n, layer.groups, out_channels // layer.groups, math.prod(size)), x.dtype)
    kernels = weight.reshape(layer.groups, -1, *weight.shape[1:])
    for dy, dx, inputs, outputs in taps(*layer.axes(x.shape[1:])):
        under = np.zeros((n, channels, *size), x.dtype)
        under[outputs] = x[inputs]
        total += kernels[:, :, :, dy, dx] @ under.reshape(n, layer.groups, -1, math.prod(size))
    return total.reshape(n, out_channels, *size)


def layer_inputs(
    program: Program, frames: npt.NDArray[Any], spikes: Spikes, kind: npt.DTypeLike = np.int64
) -> dict[int, npt.NDArray[Any]]:
    """(samples, time, *in_shape) of every weighted layer, by its index.

    frames: the program's input (samples, time, C, H, W). spikes: of every spiking layer, (samples, time,
    neurons), C, H, W order. kind: the type of the results; None: that of the frames, spikes and pools' sums.
    """
    shapes, trains, found = program.shapes(), iter(spikes), {}
    train: npt.NDArray[Any] = np.asarray(frames, kind)
    for index, layer in enumerate(program.layers):
        if isinstance(layer, Resampling):
            train = resampled(layer, train, program.arithmetic.shift_rounding)
            continue
        found[index] = train
        if not isinstance(layer, Readout):
            train = np.asarray(next(trains), kind).reshape(*frames.shape[:2], *shapes[index + 1])
    return found


def sums_over_time(
    layer: Any,
    train: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    product: Callable[[Any, Any, Any], npt.NDArray[Any]] = weighted_sums,
) -> npt.NDArray[Any]:
    """a_t without recurrence, delays applied: (samples, time, *in_shape) -> (samples, time, neurons).

    product: `weighted_sums` for integers, `real_sums` for real numbers.
    """
    samples, steps, *in_shape = train.shape
    total: npt.NDArray[Any] | None = None
    for delay in np.unique(layer.delay):
        late = np.zeros_like(train)
        if delay < steps:
            late[:, delay:] = train[:, : steps - delay]
        delayed = np.where(layer.delay == delay, weight, 0) if len(np.unique(layer.delay)) > 1 else weight
        part = product(layer, late.reshape(-1, *in_shape), delayed).reshape(samples, steps, -1)
        total = part if total is None else total + part
    assert total is not None  # a layer has one delay at least
    return total


def readout_sums(program: Program, frames: npt.NDArray[Any], spikes: Spikes) -> Int64Array:
    """a_t of the readout, int64 (samples, time, classes); frames and spikes as in `layer_inputs`."""
    index, readout = len(program.layers) - 1, program.layers[-1]
    assert isinstance(readout, Readout)
    return sums_over_time(readout, layer_inputs(program, frames, spikes)[index], readout.weight)


def fan_in(layer: Weighted, in_shape: Shape, neuron: int) -> list[tuple[int, int, int]]:
    """(input j, weight, delay) of every synapse of one neuron, C, H, W order, borders left out."""
    if not isinstance(layer, Conv2d):
        delays = np.broadcast_to(layer.delay, layer.weight.shape)[neuron].tolist()
        return list(zip(range(layer.weight.shape[1]), layer.weight[neuron].tolist(), delays, strict=True))
    (_, height, width), out_shape = in_shape, layer.out_shape(in_shape)
    o, *place = np.unravel_index(neuron, out_shape)
    ys, xs = (axis.under(at).tolist() for axis, at in zip(layer.axes(in_shape), place, strict=True))
    first = int(o) // (out_shape[0] // layer.groups) * layer.weight.shape[1]
    found = []
    for c, dy, dx in np.ndindex(*layer.weight.shape[1:]):
        y, x = ys[dy], xs[dx]
        if 0 <= y < height and 0 <= x < width:
            found.append(
                (((first + c) * height + y) * width + x, int(layer.weight[o, c, dy, dx]), int(layer.delay[0]))
            )
    return found
