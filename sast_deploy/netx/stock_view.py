"""The part of a .net file that stock `lava.lib.dl.netx.hdf5.Network` reads: /layer/<i>/...

Stock neurons count activation, bias and threshold in weight LSBs, each of which is 64 membrane LSBs, fire
on `>` and reset to zero. Where a layer has those 64ths too (`loihi-stock`: weight_exp >= 6, threshold and
bias multiples of 64), the file holds it exactly. Elsewhere one membrane LSB becomes one weight LSB: for
weight_exp >= 0 the weights are stored times 2**weight_exp, otherwise bias and threshold times
2**-weight_exp; the threshold is stored less one, which turns `>=` into `>` for integer membranes.
What stock NetX would leave out or alter in silence (`ignored`) has a type that it refuses, except for the
reset by subtraction, which only a strict file refuses; `stock_verdict.py` names what then differs.
Layout source: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sast_deploy.base.errors import CompileError
from sast_deploy.netx.foreign.altered_weights import stock_weights
from sast_deploy.program.lava_constants import (
    BIAS_MANT_MAX,
    GEOMETRY_MAX,
    MANTISSA_SHIFT,
    VTH_MANT_MAX,
    WEIGHT_MAX,
)
from sast_deploy.program.program import (
    Conv2d,
    Dense,
    Layer,
    Program,
    Readout,
    Shape,
    SpikingLayer,
    SumPool,
    Upsample,
    frozen_ints,
)
from sast_deploy.program.sums import transposed

STOCK_NEURON = b"CUBA"
STRICT_NEURON = b"SAST_LIF_SUBTRACT"
# Neurons of layers that stock NetX would alter in silence; it refuses both types.
REFUSED_NEURON = b"SAST_LIF"
INTEGRATOR = b"SAST_INTEGRATOR"  # of a readout
REFUSED_LAYERS = (b"pool", b"unpool")  # it skips any type but these and a few more that raise
# Of neurons; stock Lava computes in the type in which they are stored.
STATE = ("neuron/iDecay", "neuron/vDecay", "neuron/vThMant")

StockLayer = dict[str, Any]


def stock_layers(program: Program, strict_reset: bool, earlier: bool = False) -> list[StockLayer]:
    """Datasets of every /layer/<i> group, in order; keys are paths below the group.

    A pool right before the readout is folded into it by repeating its weights, since stock NetX has no
    pooling; any other pool, and an upsampling, is written as a layer type that stock NetX refuses. So is, by
    its neurons' type, a layer of which stock NetX ignores anything.

    earlier: as versions wrote it that knew of pools and leaky readouts only; files of theirs are read.

    Raises:
        CompileError: a weight times 2**weight_exp beyond what stock NetX loads unharmed.
    """
    layers: list[StockLayer] = [{"type": b"input", "shape": np.array(program.input_shape)}]
    shapes = program.shapes()
    for index, layer in enumerate(program.layers):
        after = shapes[index + 1]
        if isinstance(layer, SumPool):
            if not _folded(program, index):
                layers.append({"type": b"pool", "shape": np.array(after), "kernel": np.array(layer.kernel)})
        elif isinstance(layer, Upsample):
            kind = b"upsample" if earlier else b"unpool"
            layers.append({"type": kind, "shape": np.array(after), "factors": np.array(layer.factors)})
        else:
            refused = not earlier and bool(ignored(program, index))
            neuron = _neuron_type(program, strict_reset, refused)
            if isinstance(layer, Conv2d):
                layers.append(_conv(layer, after, program, neuron, index))
                continue
            full, before = _unfolded(program, index)
            if len(before) > 1:
                layers.append({"type": b"flatten"})
            if isinstance(full, Readout):
                layers.append(_readout(full, program, refused, index))
            else:
                layers.append(_dense(full, program, neuron, index))
    return layers


def ignored(program: Program, index: int) -> tuple[str, ...]:
    """What stock NetX would leave out or alter of a layer if it had types that it knows, one line each.

    Raises:
        CompileError: as `stock_layers`.
    """
    layer = program.layers[index]
    if isinstance(layer, SumPool):
        return () if _folded(program, index) else ("it has no pools",)
    if isinstance(layer, Upsample):
        return ("it has no upsamplings",)
    found = ["delays are ignored"] if layer.delay.any() else []
    if isinstance(layer, Conv2d):
        if max(*layer.stride, *layer.padding, *layer.dilation) > GEOMETRY_MAX:
            found.append(f"strides, padding and dilation above {GEOMETRY_MAX} wrap")
        if len(layer.bias) < len(layer.weight):
            found.append("one bias for several channels cannot be loaded")
    else:
        found += _altered(_stock_weight(_unfolded(program, index)[0], program, index)[0])
    if isinstance(layer, Readout):
        return (*found, *_of_readout(layer, program.layers[index - 1] if index else None))
    if isinstance(layer, Dense) and layer.recurrent is not None:
        found.append("recurrent weights are ignored")
    if (layer.reset_offset or program.reset_interval or program.steps) < program.steps:
        found.append(f"states are not cleared every {program.reset_interval} steps")
    return tuple(found)


def _altered(weight: np.ndarray) -> list[str]:
    try:
        (used,) = stock_weights(weight)
    except ValueError as error:
        return [str(error)]
    return [] if np.array_equal(used, weight) else [f"weights {weight.min()}..{weight.max()} are clipped"]


def _of_readout(layer: Readout, before: Layer | None) -> list[str]:
    found = [] if layer.sums else ["leak, filter and decoding are not those of a sum over time"]
    if isinstance(before, SumPool) and before.exponent:
        found.append(f"sums of the pool before it are not shifted by {before.exponent} bits")
    return found


def _folded(program: Program, index: int) -> bool:
    """Whether a pool is no layer of its own in the file: the readout behind it has its weights repeated."""
    return isinstance(program.layers[index + 1], Readout)


def _unfolded(program: Program, index: int) -> tuple[Any, Shape]:
    """A dense layer or readout as the file has it, and the shape of its inputs there."""
    layer, before, shapes = program.layers[index], program.layers[index - 1], program.shapes()
    if index and isinstance(layer, Readout) and isinstance(before, SumPool):
        return _unpooled(layer, before, shapes[index - 1], shapes[index]), shapes[index - 1]
    return layer, shapes[index]


def _neuron_type(program: Program, strict: bool, refused: bool) -> bytes:
    if strict and program.arithmetic.reset != "zero":
        return STRICT_NEURON
    return REFUSED_NEURON if refused else STOCK_NEURON


def _readout(layer: Readout, program: Program, refused: bool, index: int) -> StockLayer:
    weight, unit = _stock_weight(layer, program, index)
    stock: StockLayer = {"type": b"dense", "shape": np.array([len(weight)]), "weight": weight}
    if layer.sums and not refused:
        # Without a neuron group stock NetX builds a non-firing integrator that adds its bias once.
        bias = _scaled(layer.bias, unit) * program.steps
        return {**stock, "bias": _held(bias, BIAS_MANT_MAX, "bias times steps", index)}
    return {
        **stock,
        "bias": _held(_scaled(layer.bias, unit), BIAS_MANT_MAX, "bias", index),
        "neuron/type": INTEGRATOR,
        "neuron/iDecay": layer.u_decay.astype(np.int64),
        "neuron/vDecay": layer.v_decay.astype(np.int64),
        "neuron/decoding": layer.decoding.encode("ascii"),
    }


def _dense(layer: Dense, program: Program, neuron: bytes, index: int) -> StockLayer:
    weight, unit = _stock_weight(layer, program, index)
    stock: StockLayer = {"type": b"dense", "shape": np.array([len(weight)]), "weight": weight}
    return {**stock, **_neuron(layer, program, neuron, unit, index)}


def _conv(layer: Conv2d, shape: Shape, program: Program, neuron: bytes, index: int) -> StockLayer:
    weight, unit = _stock_weight(layer, program, index)
    geometry = {key: np.array(getattr(layer, key)) for key in ("stride", "padding", "dilation", "groups")}
    neurons = _neuron(layer, program, neuron, unit, index)
    return {"type": b"conv", "shape": np.array(shape), "weight": weight, **geometry, **neurons}


def _neuron(layer: SpikingLayer, program: Program, kind: bytes, unit: int, index: int) -> StockLayer:
    bias = _held(_scaled(layer.bias, unit), BIAS_MANT_MAX, "bias", index)
    strictly = 0 if program.arithmetic.comparison == ">" else 1
    vth = _held(_scaled(layer.vth, unit) - strictly, VTH_MANT_MAX, "threshold", index)
    return {
        "bias": bias,
        "neuron/type": kind,
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
    """Weights as stock NetX holds them, and `stock_unit`."""
    unit = stock_unit(layer, program)
    exponent = max(layer.weight_exp + min(unit, 0), 0)
    scaled = layer.weight.astype(np.int64) << exponent
    if exponent > 0 and np.abs(scaled).max() > WEIGHT_MAX:
        raise CompileError(
            f"weights reach {np.abs(scaled).max()} after their exponent {exponent}",
            where=f"layer {index}",
            expected=f"at most {WEIGHT_MAX}, or stock NetX alters them silently",
            todo="lower weight.exponent_max in the profile",
        )
    return scaled, unit


def stock_unit(layer: SpikingLayer | Readout, program: Program) -> int:
    """n: a membrane LSB is 2**n of the weight LSBs in the file; -6 where it is a stock neuron's own."""
    return -MANTISSA_SHIFT if _has_stock_fractions(layer, program) else max(-layer.weight_exp, 0)


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
