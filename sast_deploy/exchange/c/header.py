"""The headers of a C program: sizes, types and packed weights; known answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.exchange.c.layout import Layout, Placed
from sast_deploy.exchange.subject import Answers
from sast_deploy.program.program import PER_NEURON, Conv2d, Readout, Resampling, SumPool

LINE = 108  # letters
_ROUNDING = {"toward-zero": "TOWARD_ZERO", "floor": "FLOOR", "half-up": "HALF_UP", "half-even": "HALF_EVEN"}
_RESET = {
    ("subtract", "after-leak"): "SUBTRACT_AFTER_LEAK", ("subtract", "before-leak"): "SUBTRACT_BEFORE_LEAK",
    ("zero", "after-leak"): "TO_ZERO",
}  # fmt: skip
_DECODING = {"last": "LAST", "max": "LARGEST", "mean": "SUM"}
_KIND = {"dense": "DENSE", "conv": "CONV", "pool": "POOL", "upsample": "UPSAMPLE", "readout": "READOUT"}


def weights_header(layout: Layout, name: str, digest: str) -> str:
    """NAME_weights.h: macros and types; and, where SAST_TABLES is defined, all constants."""
    guard = f"{name.upper()}_WEIGHTS_H"
    tables = [line for number, each in enumerate(layout.layers) for line in _tables(number, each)]
    rows = ",\n".join(_row(number, each) for number, each in enumerate(layout.layers))
    return "\n".join([
        f"/* {name}_weights.h: one network in integers, written by sast-deploy from the program with digest",
        f"   {digest}. */",
        f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>", "",
        *(f"#define SAST_{key} {value}" for key, value in _macros(layout)), "",
        *(f"typedef {kind} sast_{key};" for key, kind in _types(layout)), "",
        "#endif", "", "#ifdef SAST_TABLES", *tables,
        "", f"static const sast_layer layers[SAST_LAYERS] = {{\n{rows}\n}};", "#endif", "",
    ])  # fmt: skip


def known_header(answers: Answers, layout: Layout) -> str:
    """known.h: inputs, and every value that they lead to."""
    samples, steps = answers.frames.shape[:2]
    frames = answers.frames.reshape(samples, steps, -1)
    states = "[KNOWN_SAMPLES][KNOWN_STEPS][SAST_STATES]"
    parts = [
        "/* known.h: inputs of the network and what sast-deploy's specification makes of them. */",
        f"#define KNOWN_SAMPLES {samples}", f"#define KNOWN_STEPS {steps}", "",
        _array("sast_value known_frames[KNOWN_SAMPLES][KNOWN_STEPS][SAST_INPUTS]", frames), "",
        _array(f"sast_state known_membranes{states}", _some(answers.membranes)), "",
        _array(f"uint8_t known_spikes{states}", _some(answers.spikes)), "",
        _array("sast_logit known_logits[KNOWN_SAMPLES][SAST_CLASSES]", answers.logits), "",
    ]  # fmt: skip
    return "\n".join(parts)


def _some(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A 0 where there are none: no array of C is empty."""
    return values if values.shape[-1] else np.zeros((*values.shape[:-1], 1), values.dtype)


def _macros(layout: Layout) -> Iterator[tuple[str, object]]:
    program, widths, rules = layout.program, layout.widths, layout.program.arithmetic
    last = program.layers[-1]
    yield "INPUTS", int(np.prod(program.input_shape))
    yield "INPUT_MIN", program.input_min
    yield "INPUT_MAX", program.input_max
    yield "INPUT_BYTES", 1 if program.byte_inputs else 4
    yield "STEPS", program.steps
    yield "STEPS_MAX", f"{widths.steps}u"
    yield "CLASSES", len(program.classes)
    yield "LAYERS", len(program.layers)
    yield "NEURONS", layout.neurons
    yield "STATES", max(layout.neurons, 1)
    yield "SUMS", max(layout.sums, 1)
    yield "VALUES", max(layout.values, 1)
    yield "CURRENTS", max(layout.currents, 1)
    yield "STATE_BITS", rules.state.bits
    yield "STATE_LOW", literal(rules.state.lowest(rules.overflow))
    yield "STATE_HIGH", rules.state.high
    yield "OVERFLOW", "WRAP" if rules.overflow == "wrap" else "SATURATE"
    yield "LEAK_ROUNDING", _ROUNDING[rules.leak_rounding]
    yield "SHIFT_ROUNDING", _ROUNDING[rules.shift_rounding]
    yield "RESET", _RESET[rules.reset, rules.reset_order]
    yield "FIRES_AT_THRESHOLD", int(rules.comparison == ">=")
    yield "RESET_INTERVAL", f"{program.reset_interval}u"
    yield "DECODING", _DECODING[last.decoding] if isinstance(last, Readout) else "SPIKE_COUNTS"
    yield "WEIGHT_BITS", widths.weight
    per_byte = f"(((n) * {widths.weight} + 7) / 8)" if widths.weight < 8 else "(n)"
    yield "ROW(n)", per_byte


def _types(layout: Layout) -> Iterator[tuple[str, str]]:
    widths = layout.widths
    yield "weight", "uint8_t" if widths.weight < 8 else f"int{widths.weight}_t"
    yield "value", "uint8_t" if widths.bytes else f"int{widths.value}_t"
    yield "decay", "int16_t"
    yield "unsigned", f"uint{widths.wide}_t"
    for name in ("sum", "wide", "logit", "state", "current", "bias", "vth"):
        yield name, f"int{getattr(widths, name)}_t"


def _tables(number: int, placed: Placed) -> Iterator[str]:
    """The constants of one layer."""
    for name, (kind, values) in placed.arrays.items():
        yield _array(f"{kind} layer{number}_{name}[{values.size}]", values)


def _row(number: int, placed: Placed) -> str:
    """The layer's entry in the table of layers; what is not named is 0."""
    layer, arrays = placed.layer, placed.arrays
    fields: dict[str, object] = {
        "kind": _KIND[layer.kind], "in": _three(placed.in_shape), "out": _three(placed.out_shape),
        "values": placed.values, "groups": 1,
    }  # fmt: skip
    if isinstance(layer, Resampling):
        kernel = layer.kernel if isinstance(layer, SumPool) else layer.factors
        fields |= {"exponent": layer.exponent, "kernel": _list(kernel)}
    else:
        fields |= {
            "exponent": layer.weight_exp, "delay": int(layer.delay.flat[0]), "slots": placed.slots,
            "sums": placed.sums, "currents": placed.currents, "filtered": int(placed.filtered),
            "reset_offset": getattr(layer, "reset_offset", 0),
            "delay_each_synapse": int(layer.delay.ndim > 1),
        }  # fmt: skip
        fields |= {f"{each}_each": int(arrays[each][1].size > 1) for each in PER_NEURON if each in arrays}
        fields |= {each: f"layer{number}_{each}" for each in arrays}
    if isinstance(layer, Conv2d):
        fields |= {"kernel": _list(layer.weight.shape[2:]), "groups": layer.groups}
        fields |= {name: _list(getattr(layer, name)) for name in ("stride", "padding", "dilation")}
    return "    {" + ", ".join(f".{key} = {value}" for key, value in fields.items()) + "}"


def _three(shape: tuple[int, ...]) -> str:
    return _list((*shape, 1, 1)[:3])


def _list(values: tuple[int, ...]) -> str:
    return f"{{{', '.join(map(str, values))}}}"


def literal(value: int) -> str:
    """An integer of C; the lowest of 32 or 64 bits has no literal of its own."""
    if value < -(2**31):
        return f"(INT64_C({value + 1}) - 1)"
    if value == -(2**31):
        return f"({value + 1} - 1)"
    return str(value) if value < 2**31 else f"INT64_C({value})"


def _array(declared: str, values: npt.NDArray[Any]) -> str:
    """A constant array."""
    return f"static const {declared} = {_braced(values)};"


def _braced(values: npt.NDArray[Any]) -> str:
    if values.ndim > 1:
        return "{\n" + ",\n".join(_braced(each) for each in values) + "\n}"
    plain = values.dtype.itemsize < 4  # then each is its own literal, and there may be millions
    texts = list(map(str if plain else literal, values.tolist()))
    longest = max(map(len, texts)) + 2
    per_line = max(1, LINE // longest)
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "{" + ",\n".join(lines) + "}"
