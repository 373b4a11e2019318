"""`--to mem`: every array as a file for Verilog's $readmemh, and a header of parameters.

A file has one word a line, two's complement in hexadecimal at the array's own width, the first digit's spare
bits 0. Weights lie in the order of events (`exchange.rows`): what one event adds are consecutive words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files as files_of
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.base.text import filled, printable
from sast_deploy.exchange.artefacts import Artefacts, Part
from sast_deploy.exchange.c.widths import largest
from sast_deploy.exchange.rows import reduced, weight_rows
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.fixedpoint import OVERFLOWS, RESET_ORDERS, RESETS, ROUNDINGS
from sast_deploy.program.program import (
    DECODINGS,
    LEAK_BITS,
    Conv2d,
    Dense,
    Layer,
    Program,
    Readout,
    Resampling,
    SumPool,
    layer_label,
)
from sast_deploy.proofs.bounds import bound_neurons, signed_bits
from sast_deploy.rtl.memories import hexadecimal

DECAY_BITS, DELAY_BITS = LEAK_BITS + 1, 6  # without a sign: 0..4096 and 0..63
ACCUMULATOR_MAX = 64
KINDS = ("dense", "conv", "pool", "upsample", "readout")


@dataclass(frozen=True, eq=False)
class Memory:
    """One file. words: what it holds, in the order of addresses. bits: of a word. order: of its addresses."""

    name: str
    words: npt.NDArray[Any]
    bits: int
    order: str
    signed: bool = True

    @property
    def kind(self) -> str:
        """For people."""
        return "signed" if self.signed else "unsigned"

    def text(self) -> str:
        """The file's content."""
        return hexadecimal(np.asarray(self.words, np.int64)[:, None], self.bits)


def write_mem(subject: Subject) -> Artefacts:
    """Memories, params.vh and README.md. Raises CompileError for sums that 64 bits do not hold."""
    program, files, parts, rows = subject.program, {}, [], []
    for index, layer in enumerate(program.layers):
        bits = 0
        for memory in memories(program, index, layer):
            files[memory.name] = memory.text().encode()
            bits += memory.bits * memory.words.size
            cells = (f"`{memory.name}`", f"{memory.words.size:,}", memory.bits, memory.kind, memory.order)
            rows.append(f"| {' | '.join(map(str, cells))} |")
        parts.append(Part(layer_label(index, layer), -(-bits // 8), 0))
    files["params.vh"] = _parameters(subject).encode()
    classes = "\n".join(f"- {n}: {printable(label)}" for n, label in enumerate(program.classes))
    texts = {"NAME": subject.name, "DIGEST": program.digest(), "ROWS": "\n".join(rows)}
    texts |= {"LAYERS": "\n".join(_described(program)), "CLASSES": classes}
    readme = (files_of(__package__) / "README.md").read_text(encoding="utf-8")
    files["README.md"] = filled(readme, texts).encode()
    return Artefacts(files, tuple(parts))


def memories(program: Program, index: int, layer: Layer) -> Iterator[Memory]:
    """The files of one layer."""
    if isinstance(layer, Resampling):
        return
    inputs, outputs = "input", "output of the group" if isinstance(layer, Conv2d) else "output"
    width = program.arithmetic.weight_bits
    rows = weight_rows(layer)
    order = f"row * {rows.shape[1]} + {outputs}, row = {_row(layer)}"
    yield Memory(f"layer{index}_weight.mem", rows.ravel(), width, order)
    if isinstance(layer, Dense) and layer.recurrent is not None:
        order = f"from * {len(layer.recurrent)} + to"
        yield Memory(f"layer{index}_recurrent.mem", layer.recurrent.T.ravel(), width, order)
    if layer.delay.size > 1:
        order = f"{inputs} * {len(layer.weight)} + {outputs}" if layer.delay.ndim > 1 else inputs
        yield Memory(f"layer{index}_delay.mem", layer.delay.T.ravel(), DELAY_BITS, order, signed=False)
    for name in ("bias", "vth", "v_decay", "u_decay"):
        values = getattr(layer, name, None)
        if values is not None:
            values, decay = reduced(values), name.endswith("decay")
            bits = DECAY_BITS if decay else signed_bits(int(values.min()), int(values.max()))
            of = "one for all" if len(values) == 1 else "channel" if isinstance(layer, Conv2d) else "output"
            yield Memory(f"layer{index}_{name}.mem", values, bits, of, signed=not decay)


def _row(layer: Any) -> str:
    if isinstance(layer, Conv2d):
        rows, columns = layer.weight.shape[2:]
        return f"(input channel * {rows} + dy) * {columns} + dx"
    return "input (C, H, W order)"


def _parameters(subject: Subject) -> str:
    """params.vh: every number and rule as a localparam; rules are numbered as README.md lists them."""
    program, rules = subject.program, subject.program.arithmetic
    last = program.layers[-1]
    found = {
        "INPUTS": int(np.prod(program.input_shape)), "INPUT_MIN": program.input_min,
        "INPUT_MAX": program.input_max, "STEPS": program.steps, "LAYERS": len(program.layers),
        "CLASSES": len(program.classes), "STATE_BITS": rules.state.bits,
        "STATE_FRACTION_BITS": rules.state.fraction_bits, "WEIGHT_BITS": rules.weight_bits,
        "OVERFLOW": OVERFLOWS.index(rules.overflow), "LEAK_ROUNDING": ROUNDINGS.index(rules.leak_rounding),
        "SHIFT_ROUNDING": ROUNDINGS.index(rules.shift_rounding),
        "FIRES_AT_THRESHOLD": int(rules.comparison == ">="), "RESET": RESETS.index(rules.reset),
        "RESET_BEFORE_LEAK": RESET_ORDERS.index(rules.reset_order), "RESET_INTERVAL": program.reset_interval,
        "DECODING": DECODINGS.index(last.decoding) if isinstance(last, Readout) else len(DECODINGS),
    }  # fmt: skip
    bounds, shapes = bound_neurons(program), program.shapes()
    for index, layer in enumerate(program.layers):
        own: dict[str, int] = {"KIND": KINDS.index(layer.kind), "OUTPUTS": int(np.prod(shapes[index + 1]))}
        for name, shape in (("IN", shapes[index]), ("OUT", shapes[index + 1])):
            own |= {f"{name}_{axis}": size for axis, size in zip("CHW", (*shape, 1, 1), strict=False)}
        if isinstance(layer, Resampling):
            kernel = layer.kernel if isinstance(layer, SumPool) else layer.factors
            own |= {"EXPONENT": layer.exponent, "KERNEL_H": kernel[0], "KERNEL_W": kernel[1]}
        else:
            low, high = bounds[index].sums.low, bounds[index].sums.high
            bits = signed_bits(-largest(low), largest(high))
            if bits > ACCUMULATOR_MAX:
                what = f"{layer_label(index, layer)}: weighted sums of {bits} bits"
                raise CompileError(what, where=program.name, expected=f"at most {ACCUMULATOR_MAX}")
            own |= {"EXPONENT": layer.weight_exp, "ACCUMULATOR_BITS": bits, "DELAY": int(layer.delay.max())}
            own |= {
                f"{memory.name.split('_', 1)[1].removesuffix('.mem').upper()}_{what}": value
                for memory in memories(program, index, layer)
                for what, value in (("BITS", memory.bits), ("WORDS", memory.words.size))
            }
            own["RESET_OFFSET"] = getattr(layer, "reset_offset", 0)
        if isinstance(layer, Conv2d):
            own |= {"GROUPS": layer.groups}
            pairs = {"KERNEL": layer.weight.shape[2:], "STRIDE": layer.stride, "PADDING": layer.padding}
            for name, (rows, columns) in {**pairs, "DILATION": layer.dilation}.items():
                own |= {f"{name}_H": rows, f"{name}_W": columns}
        found |= {f"LAYER{index}_{key}": value for key, value in own.items()}
    head = f"// {subject.name}: the program with digest {program.digest()}; see README.md\n"
    return head + "".join(f"localparam {key} = {_number(value)};\n" for key, value in found.items())


def _number(value: int) -> str:
    """A number of Verilog; a plain one has 32 bits and a sign."""
    return str(value) if -(1 << 31) < value < 1 << 31 else f"{value.bit_length() + 1}'sd{value}"


def _described(program: Program) -> Iterator[str]:
    shapes = program.shapes()
    for index, layer in enumerate(program.layers):
        places = (" x ".join(map(str, shape)) for shape in shapes[index : index + 2])
        yield f"| {index} | {layer.kind} | {' | '.join(places)} |"
