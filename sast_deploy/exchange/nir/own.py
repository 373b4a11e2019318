"""What a NIR file of ours says beside its graph: one JSON text under metadata["sast_deploy"].

    format, version   what it is
    reading           how the graph is read, so that no option is needed
    network           steps, input_clip, input_max, classes, name
    program           of integers: arithmetic, and what the nodes' real numbers do not hold; its digest

The numbers themselves stand in the nodes, in membrane LSBs: what is a whole number there is an integer here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn

import nir
import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import ExchangeError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.rules import INT32, Choice, Items, Table, Text, Whole, bounded, refuse
from sast_deploy.base.settings import ruled
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatPool,
    FloatReadout,
)
from sast_deploy.exchange.nir.reading import Reading
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import (
    LABEL,
    LEAK_BITS,
    NO_DECAY_FILTER,
    PER_NEURON,
    SIZE_MAX,
    STEPS_MAX,
    Conv2d,
    Dense,
    Layer,
    Program,
    Readout,
    SumPool,
    layer_label,
    per_neuron,
)

KEY, VERSION = "sast_deploy", 1
NIR_FORMAT = "sast-deploy-nir"
EXPECTED = Expected("metadata that `sast-deploy export` wrote", ExchangeError)
_RULES = {name: rule for name, rule in ruled(Arithmetic).items() if name != "state"}
_FORMAT = {"state_bits": Whole(2, 32), "state_fraction_bits": Whole(0, 31)}
_LAYER = Table({
    "exponent": Whole(-31, 31), "offset": Whole(0, STEPS_MAX), "delay": Items(Whole(1, SIZE_MAX), 1, 2),
    "single": Items(Choice(PER_NEURON), 0, len(PER_NEURON)),
})  # fmt: skip
_PROGRAM = Table({
    "arithmetic": Table({**_RULES, **_FORMAT}), "layers": Items(_LAYER, 1),
    "input_min": Whole(INT32.min + 1, 0), "digest": Text(64),
})  # fmt: skip
_OWN = Table(
    {
        "format": Choice((NIR_FORMAT,)), "version": Whole(1, 1 << 30), "reading": Reading.rule(),
        "name": LABEL, "steps": Whole(1, STEPS_MAX), "input_clip": Whole(1, INT32.max),
        "input_max": Whole(1, INT32.max), "classes": Items(LABEL, 1, SIZE_MAX), "program": _PROGRAM,
    },
    {"program"},
)  # fmt: skip


def told_of(
    network: FloatNetwork, name: str, reading: Reading, program: Program | None
) -> dict[str, str]:
    """The graph's metadata."""
    own: dict[str, Any] = {
        "format": NIR_FORMAT, "version": VERSION, "reading": reading.to_dict(), "name": name,
        "steps": network.steps, "input_clip": network.input_clip, "input_max": network.input_max,
        "classes": list(network.classes),
    }  # fmt: skip
    if program is not None:
        own["program"] = _of_program(program)
    return {KEY: json.dumps(own, sort_keys=True, allow_nan=False)}


def own_metadata(graph: nir.NIRGraph, where: str) -> dict[str, Any] | None:
    """What a graph of ours says of itself; None for another's. Raises ExchangeError."""
    text = graph.metadata.get(KEY)
    if text is None:
        return None
    found = parse_json(text if isinstance(text, str) else "", f"{where} metadata", EXPECTED)
    if isinstance(found, dict) and isinstance(found.get("version"), int) and found["version"] > VERSION:
        raise ExchangeError(
            f"has metadata of version {found['version']}", where=where, expected=f"{VERSION}",
            todo="update sast-deploy",
        )  # fmt: skip
    refuse(bounded(_OWN, found), f"{where} metadata", ExchangeError)
    return dict(found)


def as_real(program: Program) -> FloatNetwork:
    """The program's numbers as real ones, in membrane LSBs; without the rounding of its leaks, and its ends.

    Raises ExchangeError: what a FloatNetwork does not have, or float32 does not hold.
    """
    if program.reset_interval:
        _refuse("clears its states within a sample (reset_interval)", "0")
    layers, area = [], 1
    for index, layer in enumerate(program.layers):
        if isinstance(layer, SumPool):
            if layer.exponent:
                _refuse(f"layer {index}: a pool that shifts its sums by {layer.exponent}", "plain sums")
            area *= layer.area
        layers.append(_real_layer(layer, area, index))
        area = area if isinstance(layer, SumPool) else 1
    rules = program.arithmetic
    try:
        return FloatNetwork(
            layers, program.input_shape, program.steps, None, 1, program.input_max, program.classes,
            rules.reset, rules.reset_order, rules.comparison,
        )  # fmt: skip
    except ValueError as error:
        _refuse(str(error), "what a FloatNetwork has")


def _real_layer(layer: Layer, area: int, index: int) -> FloatLayer:
    if isinstance(layer, SumPool):
        return FloatPool(layer.kernel)
    if not isinstance(layer, Dense | Conv2d | Readout):
        _refuse(layer_label(index, layer), "layers that NIR has")
    unit, rows = 2.0**layer.weight_exp, len(layer.weight)
    real: dict[str, Any] = {"weight": layer.weight * (unit * area), "bias": layer.bias, "delay": layer.delay}
    filtered = (layer.u_decay < NO_DECAY_FILTER).any()
    real["leak"] = 1 - layer.v_decay / NO_DECAY_FILTER
    real["current_leak"] = 1 - layer.u_decay / NO_DECAY_FILTER if filtered else None
    if isinstance(layer, Readout):
        return _exact(FloatReadout, {**real, "decoding": layer.decoding}, index)
    real["threshold"] = per_neuron(layer.vth, rows)
    if isinstance(layer, Dense):
        back = None if layer.recurrent is None else layer.recurrent * unit
        return _exact(FloatDense, {**real, "recurrent": back}, index)
    geometry = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    return _exact(FloatConv2d, {**real, **geometry}, index)


def _exact(kind: Any, real: dict[str, Any], index: int) -> FloatLayer:
    try:
        layer: FloatLayer = kind(**real)
    except ValueError as error:
        _refuse(f"layer {index}: {error}", "what a FloatNetwork has")
    for name, values in real.items():
        if isinstance(values, np.ndarray) and (getattr(layer, name) != values).any():
            _refuse(f"layer {index}: {name} of more than 24 bits", "what float32 holds")
    return layer


def _of_program(program: Program) -> dict[str, Any]:
    rules = {name: getattr(program.arithmetic, name) for name in _RULES}
    state = program.arithmetic.state
    rules |= {"state_bits": state.bits, "state_fraction_bits": state.fraction_bits}
    layers = [_of_layer(layer) for layer in program.layers if not isinstance(layer, SumPool)]
    return {
        "arithmetic": rules, "layers": layers, "input_min": program.input_min, "digest": program.digest(),
    }  # fmt: skip


def _of_layer(layer: Any) -> dict[str, Any]:
    rows = len(layer.weight)
    single = [name for name in PER_NEURON if rows > 1 and len(getattr(layer, name, range(rows))) == 1]
    return {
        "exponent": layer.weight_exp, "offset": getattr(layer, "reset_offset", 0),
        "delay": list(layer.delay.shape), "single": single,
    }  # fmt: skip


def restored(network: FloatNetwork, own: Mapping[str, Any], where: str) -> Program:
    """The integer program of a network that was read from a file of ours. Raises ExchangeError."""
    told = own["program"]
    rules = {name: told["arithmetic"][name] for name in _RULES}
    try:
        form = QFormat(*(told["arithmetic"][name] for name in _FORMAT))
        arithmetic = Arithmetic(state=form, **rules)
        each, area = iter(told["layers"]), 1
        layers: list[Layer] = []
        for layer in network.layers:
            if isinstance(layer, FloatPool):
                layers.append(SumPool(layer.kernel))
                area *= layer.area
                continue
            layers.append(_whole_layer(layer, next(each), area, arithmetic))
            area = 1
        program = Program(
            own["name"], network.input_shape, network.input_max, network.steps, network.classes, arithmetic,
            tuple(layers), 0, told["input_min"],
        )  # fmt: skip
    except (ValueError, StopIteration) as error:
        raise ExchangeError(f"holds no program of ours: {error}", where=where) from None
    if program.digest() != told["digest"]:
        raise ExchangeError(
            "was altered: its integers do not match the digest in its metadata", where=where,
            todo="export it again, or read it in real numbers, with sast.from_nir",
        )  # fmt: skip
    return program


def _whole_layer(layer: Any, told: Mapping[str, Any], area: int, rules: Arithmetic) -> Layer:
    unit, single = 2.0 ** told["exponent"], told["single"]

    def whole(values: Any, name: str = "") -> npt.NDArray[np.int32]:
        rounded = np.rint(np.asarray(values, np.float64))
        if np.abs(rounded - values).max() > 1e-3 or np.abs(rounded).max() > INT32.max:
            raise ValueError(f"{name or 'weights'} that are no integers")
        array = rounded.astype(np.int32)
        if name in single and (array != array[0]).any():
            raise ValueError(f"{name} that differ, of a layer that has one")
        return array[:1] if name in single else array

    def decay(kept: Any, name: str) -> npt.NDArray[np.int32]:
        values = np.zeros(len(layer.weight)) if kept is None else np.asarray(kept, np.float64)
        return whole((1 - values) * (1 << LEAK_BITS), name)

    delay = np.ascontiguousarray(np.broadcast_to(layer.delay, told["delay"]), np.int32)
    v_decay = decay(np.ones(len(layer.weight)) if layer.leak is None else layer.leak, "v_decay")
    common = {
        "weight": whole(layer.weight / (unit * area)), "bias": whole(layer.bias, "bias"),
        "weight_exp": told["exponent"], "v_decay": v_decay, "delay": delay,
        "u_decay": decay(layer.current_leak, "u_decay"),
    }  # fmt: skip
    if isinstance(layer, FloatReadout):
        return Readout(**common, decoding=layer.decoding)
    met = np.ceil if rules.comparison == ">=" else np.floor  # a threshold may stand between two integers
    common |= {"vth": whole(met(layer.threshold), "vth"), "reset_offset": told["offset"]}
    if isinstance(layer, FloatDense):
        back = None if layer.recurrent is None else whole(layer.recurrent / unit)
        return Dense(**common, recurrent=back)
    geometry = {each.name: getattr(layer, each.name) for each in fields(layer)}
    return Conv2d(**common, **{name: geometry[name] for name in ("stride", "padding", "dilation", "groups")})


def _refuse(found: str, expected: str) -> NoReturn:
    raise ExchangeError(f"NIR cannot express the program: {found}", expected=expected)


