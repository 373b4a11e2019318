"""A FloatNetwork run as its equations say (`compiler/floatnet.py`), in NumPy: what integers are held against.

Layer by layer, the sums of all steps at once. Inputs may be any real numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError
from sast_deploy.compiler.floatnet import (
    FloatDense,
    FloatNetwork,
    FloatReadout,
    FloatResampling,
    FloatSpiking,
    FloatUpsample,
)
from sast_deploy.program.sums import copied, real_sums, sums_over_time, window_sums

ROOM = 1 << 23  # values of the widest layer that are held at once, all steps
Numbers = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class FloatTrace:
    """One spiking layer at every step, each (samples, time, neurons), neurons in C, H, W order.

    current: c. membrane: u, after the reset and before the comparison of that step. spikes: uint8, 0 or 1.
    """

    current: Numbers
    membrane: Numbers
    spikes: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FloatRecord:
    """The outcome of a run.

    counts: of every spiking layer, int64 (samples, neurons): spikes over all steps. logits: (samples,
    classes). traces: of every spiking layer, in order; None when not asked for. readout: m of a readout,
    (samples, time, classes); None when not asked for, or without one.
    """

    counts: tuple[npt.NDArray[np.int64], ...]
    logits: Numbers
    traces: tuple[FloatTrace, ...] | None = None
    readout: Numbers | None = None

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """int64 (samples,): index of the largest logit; the lowest index wins a tie."""
        best: npt.NDArray[np.int64] = np.argmax(self.logits, axis=1)
        return best


def run_float(
    network: FloatNetwork,
    inputs: npt.ArrayLike,
    dtype: npt.DTypeLike = np.float64,
    trace: bool = False,
) -> FloatRecord:
    """Run every sample of `inputs`, real numbers (samples, time, C, H, W) or (samples, time, n).

    They are what frames hold, so they are divided by `input_clip`; the number of steps is theirs. dtype:
    float64 or float32, in which everything is computed.

    Raises DataError: inputs of another shape, or that are no numbers.
    """
    x = _checked(network, inputs)
    size = samples_at_once(network, x.shape[1])
    return _joined([_run(network, x[at : at + size].astype(dtype), trace) for at in range(0, len(x), size)])


def samples_at_once(network: FloatNetwork, steps: int) -> int:
    """How many samples of so many steps are held at once."""
    widest = max(math.prod(shape) for shape in network.shapes())
    return max(1, ROOM // (widest * steps))


def _checked(network: FloatNetwork, inputs: npt.ArrayLike) -> npt.NDArray[Any]:
    x, shape = np.asarray(inputs), network.input_shape
    fits = x.ndim in (3, 5) and x.size and (x.ndim == 3 or x.shape[2:] == shape)
    if not fits or x.dtype.kind not in "buif" or math.prod(x.shape[2:]) != math.prod(shape):
        expected = f"numbers (samples, time, {', '.join(map(str, shape))})"
        raise DataError(f"inputs {x.dtype} {x.shape}", expected=expected)
    return x.reshape(*x.shape[:2], *shape)


def _run(network: FloatNetwork, x: Numbers, trace: bool) -> FloatRecord:
    train, shapes = x / x.dtype.type(network.input_clip), network.shapes()
    counts: list[npt.NDArray[np.int64]] = []
    traces: list[FloatTrace] = []
    for layer, shape in zip(network.layers, shapes[1:], strict=True):
        if isinstance(layer, FloatResampling):
            train = _resampled(layer, train)
            continue
        sums = sums_over_time(layer, train, layer.weight.astype(x.dtype), real_sums)
        if isinstance(layer, FloatReadout):
            ones = np.ones(1) if layer.leak is None else layer.leak
            m = integrate(sums, ones, _kappa(layer.current_leak), layer.bias)
            kept = (tuple(traces), m) if trace else (None, None)
            return FloatRecord(tuple(counts), _decoded(layer, m), *kept)
        found = _fire(network, layer, sums)
        counts.append(found.spikes.sum(axis=1, dtype=np.int64))
        train = found.spikes.reshape(*x.shape[:2], *shape).astype(x.dtype)
        traces += [found] if trace else []
    return FloatRecord(tuple(counts), counts[-1].astype(x.dtype), tuple(traces) if trace else None)


def _resampled(layer: FloatResampling, train: Numbers) -> Numbers:
    if isinstance(layer, FloatUpsample):
        return copied(layer, train)
    return np.asarray(window_sums(layer, train, train.dtype) / train.dtype.type(layer.area))


def _fire(network: FloatNetwork, layer: FloatSpiking, sums: Numbers) -> FloatTrace:
    """The neurons of a layer, step by step; sums: (samples, time, neurons), without recurrence."""
    leak, kappa, bias, theta = _each(
        sums, network.leak(layer), _kappa(layer.current_leak), layer.bias, layer.threshold
    )
    back = layer.recurrent if isinstance(layer, FloatDense) else None
    fires = np.greater_equal if network.comparison == ">=" else np.greater
    current, membrane, spikes = np.empty_like(sums), np.empty_like(sums), np.zeros(sums.shape, np.uint8)
    c = u = s = np.zeros_like(sums[:, 0])
    for t in range(sums.shape[1]):
        arriving = sums[:, t] if back is None else sums[:, t] + s @ back.T.astype(sums.dtype)
        c = kappa * c + arriving
        if network.reset == "zero":
            u = leak * u * (1 - s) + c + bias
        elif network.reset_order == "before-leak":
            u = leak * (u - theta * s) + c + bias
        else:
            u = leak * u + c + bias - theta * s
        s = fires(u, theta).astype(sums.dtype)
        current[:, t], membrane[:, t], spikes[:, t] = c, u, s
    return FloatTrace(current, membrane, spikes)


def integrate(
    sums: Numbers, leak: npt.NDArray[Any], current_leak: npt.NDArray[Any], bias: npt.NDArray[Any]
) -> Numbers:
    """m of a readout whose sums a are (samples, time, classes); parameters (1,) or (classes,)."""
    leak, kappa, bias = _each(sums, leak, current_leak, bias)
    membrane = np.empty_like(sums)
    c = m = np.zeros_like(sums[:, 0])
    for t in range(sums.shape[1]):
        c = kappa * c + sums[:, t]
        m = leak * m + c + bias
        membrane[:, t] = m
    return membrane


def _decoded(layer: FloatReadout, membrane: Numbers) -> Numbers:
    if layer.decoding == "max":
        return np.asarray(membrane.max(axis=1))
    if layer.decoding == "mean":
        return np.asarray(membrane.mean(axis=1))
    forgets = layer.leak is not None and bool((layer.leak < 1).any())
    return np.asarray(membrane[:, -1] / (1 if forgets else membrane.shape[1]))


def _each(sums: Numbers, *parameters: npt.NDArray[Any]) -> Iterator[Numbers]:
    """Each (neurons,), in the type of the sums, from one value or one per neuron or channel."""
    for values in parameters:
        yield values.astype(sums.dtype).repeat(sums.shape[-1] // len(values))


def _kappa(current_leak: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    return np.zeros(1, np.float32) if current_leak is None else current_leak


def _joined(parts: list[FloatRecord]) -> FloatRecord:
    """Records of some samples each, one after another."""
    kept = [part.traces for part in parts if part.traces is not None]
    names = [each.name for each in fields(FloatTrace)]
    traces = tuple(
        FloatTrace(*(np.concatenate([getattr(one, name) for one in layer]) for name in names))
        for layer in zip(*kept, strict=True)
    )
    readouts = [part.readout for part in parts if part.readout is not None]
    return FloatRecord(
        tuple(np.concatenate(layer) for layer in zip(*(part.counts for part in parts), strict=True)),
        np.concatenate([part.logits for part in parts]),
        traces if kept else None,
        np.concatenate(readouts) if readouts else None,
    )
