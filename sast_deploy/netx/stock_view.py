"""The part of a .net file that stock `lava.lib.dl.netx.hdf5.Network` reads: /layer/<i>/...

Stock neurons count activation, bias and threshold in weight LSBs, each of which is 64 membrane LSBs, fire
on `>` and reset to zero. Where a layer has those 64ths too (`loihi-stock`: weight_exp >= 6, threshold and
bias multiples of 64), the file holds it exactly. Elsewhere one membrane LSB becomes one weight LSB: for
weight_exp >= 0 the weights are stored times 2**weight_exp, otherwise bias and threshold times
2**-weight_exp; the threshold is stored less one, which turns `>=` into `>` for integer membranes.
Layout source: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sast_deploy.base.errors import CompileError
from sast_deploy.program.lava_constants import BIAS_MANT_MAX, MANTISSA_SHIFT, VTH_MANT_MAX, WEIGHT_MAX
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, Shape, SumPool, Upsample, frozen_ints
from sast_deploy.program.sums import transposed

STOCK_NEURON = b"CUBA"
STRICT_NEURON = b"SAST_LIF_SUBTRACT"
INTEGRATOR = b"SAST_INTEGRATOR"  # a readout that is no plain sum over time; stock NetX refuses it

StockLayer = dict[str, Any]


def stock_layers(program: Program, strict_reset: bool) -> list[StockLayer]:
    """Datasets of every /layer/<i> group, in order; keys are paths below the group.

    A pool right before the readout is folded into it by repeating its weights, since stock NetX has no
    pooling; any other pool, and an upsampling, is written as a layer type that stock NetX refuses. So is a
    readout that leaks, filters or decodes other than by its last membrane potential, by its neurons' type:
    stock NetX's own integrator does neither, and adds its bias once.

    Raises:
        CompileError: a weight times 2**weight_exp beyond what stock NetX loads unharmed.
    """
    layers: list[StockLayer] = [{"type": b"input", "shape": np.array(program.input_shape)}]
    shapes = program.shapes()
    for index, layer in enumerate(program.layers):
        before, after = shapes[index], shapes[index + 1]
        if isinstance(layer, SumPool):
            if isinstance(program.layers[index + 1], Readout):
                continue
            layers.append({"type": b"pool", "shape": np.array(after), "kernel": np.array(layer.kernel)})
        elif isinstance(layer, Upsample):
            layers.append({"type": b"upsample", "shape": np.array(after), "factors": np.array(layer.factors)})
        elif isinstance(layer, Conv2d):
            layers.append(_conv(layer, after, program, strict_reset, index))
        else:
            previous = program.layers[index - 1] if index else None
            if isinstance(layer, Readout) and isinstance(previous, SumPool):
                before, layer = shapes[index - 1], _unpooled(layer, previous, shapes[index - 1], before)
            if len(before) > 1:
                layers.append({"type": b"flatten"})
            layers.append(_dense(layer, program, strict_reset, index))
    return layers


def stock_loads(program: Program) -> bool:
    """Whether stock NetX can load the file at all: it has no pool, no upsampling and no leaky readout."""
    layers = stock_layers(program, strict_reset=False)
    types = {layer["type"] for layer in layers} | {layer.get("neuron/type") for layer in layers}
    return types.isdisjoint((b"pool", b"upsample", INTEGRATOR))


def _dense(layer: Dense | Readout, program: Program, strict: bool, index: int) -> StockLayer:
    weight, unit = _stock_weight(layer, program, index)
    stock: StockLayer = {"type": b"dense", "shape": np.array([len(weight)]), "weight": weight}
    if isinstance(layer, Readout) and not layer.sums:
        return {
            **stock,
            "bias": _held(_scaled(layer.bias, unit), BIAS_MANT_MAX, "bias", index),
            "neuron/type": INTEGRATOR,
            "neuron/iDecay": layer.u_decay.astype(np.int64),
            "neuron/vDecay": layer.v_decay.astype(np.int64),
            "neuron/decoding": layer.decoding.encode("ascii"),
        }
    if isinstance(layer, Readout):
        # Without a neuron group stock NetX builds a non-firing integrator that adds its bias once.
        bias = _scaled(layer.bias, unit) * program.steps
        return {**stock, "bias": _held(bias, BIAS_MANT_MAX, "bias times steps", index)}
    return {**stock, **_neuron(layer, program, strict, unit, index)}


def _conv(layer: Conv2d, shape: Shape, program: Program, strict: bool, index: int) -> StockLayer:
    weight, unit = _stock_weight(layer, program, index)
    geometry = {key: np.array(getattr(layer, key)) for key in ("stride", "padding", "dilation", "groups")}
    neuron = _neuron(layer, program, strict, unit, index)
    return {"type": b"conv", "shape": np.array(shape), "weight": weight, **geometry, **neuron}


def _neuron(layer: Dense | Conv2d, program: Program, strict: bool, unit: int, index: int) -> StockLayer:
    bias = _held(_scaled(layer.bias, unit), BIAS_MANT_MAX, "bias", index)
    strictly = 0 if program.arithmetic.comparison == ">" else 1
    vth = _held(_scaled(layer.vth, unit) - strictly, VTH_MANT_MAX, "threshold", index)
    refuse = strict and program.arithmetic.reset != "zero"
    return {
        "bias": bias,
        "neuron/type": STRICT_NEURON if refuse else STOCK_NEURON,
        "neuron/iDecay": layer.u_decay.astype(np.int64),
        "neuron/vDecay": layer.v_decay.astype(np.int64),
        "neuron/vThMant": vth,
        "neuron/refDelay": np.array(1),
        "neuron/gradedSpike": np.array(False),
        "neuron/resetMode": program.arithmetic.reset.encode("ascii"),
    }


def _stock_weight(
    layer: Dense | Conv2d | Readout, program: Program, index: int
) -> tuple[np.ndarray, int]:
    """Weights as stock NetX holds them, and n: a membrane LSB is 2**n of its weight LSBs."""
    exact = _has_stock_fractions(layer, program)
    exponent = layer.weight_exp - (MANTISSA_SHIFT if exact else 0)
    if exponent < 0:
        return layer.weight.astype(np.int64), -exponent
    scaled = layer.weight.astype(np.int64) << exponent
    if np.abs(scaled).max() > WEIGHT_MAX:
        raise CompileError(
            f"weights reach {np.abs(scaled).max()} after their exponent {exponent}",
            where=f"layer {index}",
            expected=f"at most {WEIGHT_MAX}, or stock NetX alters them silently",
            todo="lower weight.exponent_max in the profile",
        )
    return scaled, -MANTISSA_SHIFT if exact else 0


def _has_stock_fractions(layer: Dense | Conv2d | Readout, program: Program) -> bool:
    """Whether a membrane LSB is a stock neuron's own, so that every rounding is the same."""
    biases = [layer.bias] if isinstance(layer, Readout) else [layer.bias, layer.vth]
    whole = not any((values & ((1 << MANTISSA_SHIFT) - 1)).any() for values in biases)
    return whole and layer.weight_exp >= MANTISSA_SHIFT and program.arithmetic.comparison == ">"


def _scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """values * 2**exponent, int64; exact, since to the right only multiples of 2**-exponent are shifted."""
    wide = values.astype(np.int64)
    return wide << exponent if exponent >= 0 else wide >> -exponent


def _held(values: np.ndarray, limit: int, what: str, index: int) -> np.ndarray:
    """`values`, all of which stock NetX can hold."""
    for neuron in np.flatnonzero(np.abs(values) > limit)[:1]:
        raise CompileError(
            f"the {what} of neuron {neuron} is {values[neuron]} weight LSBs for stock NetX",
            where=f"layer {index}",
            expected=f"at most {limit}",
            todo="raise weight.exponent_min or state.headroom in the profile",
        )
    return values


def _unpooled(readout: Readout, pool: SumPool, fine: Shape, coarse: Shape) -> Readout:
    """The readout that does from unpooled spikes what `readout` does after `pool`."""
    full = transposed(pool, readout.weight.reshape(-1, *coarse), fine)
    return replace(readout, weight=frozen_ints(full.reshape(len(full), -1)))
