"""A program without some neurons of a layer, what they added on average kept in the biases behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.program import (
    PER_NEURON,
    Conv2d,
    Dense,
    Int32Array,
    Program,
    Readout,
    Resampling,
    SpikingLayer,
    frozen_ints,
    per_neuron,
)
from sast_deploy.program.sums import Int64Array


def importance(program: Program, index: int, rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(channels,): how much the next layer learns from the spikes of each neuron or channel of layer `index`.

        importance_n = ||W_n||_2 std(s_n)

    as in training's pruning, the standard deviation of a spike of rate p being sqrt(p (1 - p)); W_n the
    weights by which n reaches the next layer. rates (channels,): mean spikes per neuron and step. Raises as
    `without`.
    """
    behind = _next(program, index)
    weight = _by_channel(program, index, program.layers[behind].weight.astype(np.float64))  # type: ignore[union-attr]
    return np.asarray(np.sqrt((weight**2).sum(axis=(0, 2)) * rates * (1 - rates)))


def without(program: Program, index: int, removed: Int64Array, rates: npt.NDArray[np.float64]) -> Program:
    """The program without neurons (of a dense layer) or channels (of a convolution) of spiking layer `index`.

    What they gave the next layer on average goes into its bias, rounded. Raises ValueError: nothing would be
    left, or the layer behind is a convolution in groups or of its own.
    """
    layer, behind = program.layers[index], _next(program, index)
    kept = np.setdiff1d(np.arange(len(rates)), removed)
    if not len(kept):
        raise ValueError("no neuron would be left")
    layers = list(program.layers)
    layers[index] = _narrowed(layer, kept)
    layers[behind] = _fed_by(program, index, behind, kept, removed, rates)
    return replace(program, layers=tuple(layers))


def _next(program: Program, index: int) -> int:
    """The number of the next layer with weights."""
    later = range(index + 1, len(program.layers))
    return next(number for number in later if not isinstance(program.layers[number], Resampling))


def _narrowed(layer: Any, kept: Int64Array) -> SpikingLayer:
    if not isinstance(layer, Dense | Conv2d) or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"neurons of a {layer.kind} layer in groups cannot be removed one by one")
    parts: dict[str, Any] = {"weight": frozen_ints(layer.weight[kept])}
    for name in PER_NEURON:
        values = getattr(layer, name)
        if len(values) > 1:
            parts[name] = frozen_ints(per_neuron(values, len(layer.weight))[kept])
    if isinstance(layer, Dense):
        if layer.recurrent is not None:
            parts["recurrent"] = frozen_ints(layer.recurrent[np.ix_(kept, kept)])
        if layer.delay.ndim == 2:
            parts["delay"] = frozen_ints(layer.delay[kept])
    return replace(layer, **parts)


def _fed_by(
    program: Program, index: int, behind: int, kept: Int64Array, removed: Int64Array,
    rates: npt.NDArray[np.float64],
) -> Dense | Conv2d | Readout:  # fmt: skip
    """The layer behind, without the removed inputs, their mean in its bias."""
    layer = program.layers[behind]
    assert isinstance(layer, Dense | Conv2d | Readout)
    grouped = _by_channel(program, index, layer.weight)
    weight = grouped[:, kept].reshape(len(layer.weight), -1, *layer.weight.shape[2:])
    bias = _shifted(program, index, behind, removed, rates)
    parts: dict[str, Any] = {"weight": frozen_ints(weight), "bias": bias}
    delay = getattr(layer, "delay", None)
    if delay is not None and delay.size > 1:
        grown = np.broadcast_to(delay, layer.weight.shape)
        parts["delay"] = frozen_ints(_by_channel(program, index, grown)[:, kept].reshape(weight.shape))
    return replace(layer, **parts)


def _shifted(
    program: Program, index: int, behind: int, removed: Int64Array, rates: npt.NDArray[np.float64]
) -> Int32Array:
    """The bias with what the removed neurons added on average, in membrane LSBs, within its 32 bits."""
    layer: Any = program.layers[behind]
    gain = float(np.prod([_gain(program.layers[n]) for n in range(index + 1, behind)]))
    mean = (_by_channel(program, index, layer.weight)[:, removed].sum(axis=2) * rates[removed]).sum(axis=1)
    added = np.rint(mean * gain * 2.0**layer.weight_exp).astype(np.int64)
    return frozen_ints(per_neuron(layer.bias, len(added)) + added)


def _gain(layer: Any) -> float:
    """What a pool makes of its inputs' mean."""
    return float(layer.area * 2.0**layer.exponent)


def _by_channel(program: Program, index: int, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights (out, channels of layer `index`, the rest). Raises ValueError."""
    if getattr(program.layers[_next(program, index)], "groups", 1) != 1:
        raise ValueError("the layer behind is a convolution in groups")
    return weight.reshape(len(weight), program.shapes()[index + 1][0], -1)
