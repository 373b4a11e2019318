"""`--to mem`: every array as a file for Verilog's $readmemh, and a header of parameters.

A file has one word a line, two's complement in hexadecimal at the array's own width, the highest bits of the
first digit 0. Weights lie in the order of events (`exchange.rows`): what one event adds are consecutive words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.base.text import printable
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

    def text(self) -> str:
        """The file's content."""
        digits = -(-self.bits // 4)
        mask = (1 << self.bits) - 1
        return "".join(f"{word & mask:0{digits}x}\n" for word in self.words.tolist())


def write_mem(subject: Subject) -> Artefacts:
    """Memories, params.vh and README.md. Raises CompileError for sums that 64 bits do not hold."""
    program, files, parts, rows = subject.program, {}, [], []
    for index, layer in enumerate(program.layers):
        bits = 0
        for memory in memories(program, index, layer):
            files[memory.name] = memory.text().encode()
            bits += memory.bits * memory.words.size
            signed = "signed" if memory.signed else "unsigned"
            rows.append(f"| `{memory.name}` | {memory.words.size:,} | {memory.bits} | {signed} | {memory.order} |")
        parts.append(Part(layer_label(index, layer), -(-bits // 8), 0))
    files["params.vh"] = _parameters(subject).encode()
    files["README.md"] = _README.format(
        name=subject.name, digest=program.digest(), rows="\n".join(rows), layers="\n".join(_described(program)),
        classes="\n".join(f"- {n}: {printable(label)}" for n, label in enumerate(program.classes)),
    ).encode()  # fmt: skip
    return Artefacts(files, tuple(parts))


def memories(program: Program, index: int, layer: Layer) -> Iterator[Memory]:
    """The files of one layer."""
    if isinstance(layer, Resampling):
        return
    inputs, outputs = ("c, dy, dx", "output of the group") if isinstance(layer, Conv2d) else ("input", "output")
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
            own |= {"GROUPS": layer.groups, "KERNEL_H": layer.weight.shape[2], "KERNEL_W": layer.weight.shape[3]}
            for name in ("stride", "padding", "dilation"):
                own |= dict(zip((f"{name.upper()}_H", f"{name.upper()}_W"), getattr(layer, name), strict=True))
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


_README = """# {name} as memories

Written by `sast-deploy export --to mem` from the program with digest `{digest}`.

| layer | kind | inputs | outputs |
|---|---|---|---|
{layers}

## Files

`$readmemh("layer0_weight.mem", memory)` fills `reg [BITS-1:0] memory [0:WORDS-1]`: one word a line in hexadecimal,
from address 0 on; two's complement where it is signed. `params.vh` has BITS and WORDS of each file, shapes, exponents
and rules as `localparam`s, to be included inside a module.

| file | words | bits | | address |
|---|---|---|---|---|
{rows}

The weights that one event adds lie one behind the other: for each input (of a convolution: for each input channel and
tap of the kernel) one word for each output (of the channel's group). Neurons and inputs are counted in C, H, W order.
An output pixel (row, column) of a convolution meets input y = row * STRIDE_H - PADDING_H + dy * DILATION_H, and so in x.

## Rules

One step of one layer, with leak(v, d) = v * (4096 - d) / 4096, rounded:

    a  = sum of W x(t - delay) + sum of R s(t - 1)                   ACCUMULATOR_BITS hold it for every input
    c  = shift(a, EXPONENT)    or, where u_decay < 4096, wrap24(leak(c, u_decay) + shift(a, EXPONENT))
    u  = fit(leak(u, v_decay) - vth s + c + bias)                    RESET 0, RESET_BEFORE_LEAK 0
    u  = fit(leak(u - vth s, v_decay) + c + bias)                    RESET 0, RESET_BEFORE_LEAK 1
    u  = fit(leak(u (1 - s), v_decay) + c + bias)                    RESET 1
    s  = u > vth, or u >= vth where FIRES_AT_THRESHOLD is 1
    m  = leak(m, v_decay) + c + bias                                 readout, without fit

EXPONENT >= 0 shifts to the left, below 0 to the right with SHIFT_ROUNDING. Roundings: 0 toward zero, 1 floor, 2 half up,
3 half even. OVERFLOW: 0 saturates, 1 saturates at plus and minus the largest value, 2 wraps; to STATE_BITS. KIND: 0
dense, 1 convolution, 2 pool: shift(sum of the window, EXPONENT), 3 copies of each input, 4 readout. DECODING of a readout:
0 the last m, 1 the largest, 2 the sum over all steps; 3: no readout, the logits are spike counts. Where RESET_INTERVAL
is not 0, c, u and s are cleared before every step t, from 0, with t % RESET_INTERVAL = RESET_OFFSET.

## Classes

{classes}
"""
