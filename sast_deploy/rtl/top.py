"""The generated texts: the core, which connects the layers, and the bench that replays samples on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from textwrap import fill

from sast_deploy.base.text import filled
from sast_deploy.rtl.memories import Built, bits_of

MODULES = (
    "snn_ram", "snn_rom", "snn_parameter", "snn_fifo", "snn_round", "snn_lookup", "snn_synapses",
    "snn_neuron", "snn_encoder", "snn_layer", "snn_argmax",
)  # fmt: skip
BENCH_MODULES = ("snn_driver", "snn_probe", "snn_results", "clock")
CORE = "snn_core"
ITEM = ("end", "last", "value", "channel", "row", "column")  # what goes from layer to layer
FLAGS = {
    "IN_SIGNED", "WEIGHTED", "DELAYS", "FILTER", "LEAKS", "KEEP_CONSTANT", "FILTER_KEEP_CONSTANT",
    "BIAS_CONSTANT", "THRESHOLD_CONSTANT", "AT_THRESHOLD", "POOLS", "READS",
}  # fmt: skip


def fixed_modules() -> dict[str, str]:
    """The modules of the core that are the same for every program, by file name."""
    return {f"{name}.sv": (files(__package__) / "sv" / f"{name}.sv").read_text() for name in MODULES}


def bench_files() -> dict[str, str]:
    """Those of the bench."""
    names = (*(f"{name}.sv" for name in BENCH_MODULES), "main.cpp")
    return {name: (files(__package__) / "bench" / name).read_text() for name in names}


def item_bits(layer: Built) -> tuple[int, int, int, int]:
    """Bits of (value, channel, row, column) of what a layer takes."""
    names = ("IN_VALUE", "IN_CHANNEL", "IN_ROW", "IN_COLUMN")
    value, channel, row, column = (int(layer.parameters[name]) for name in names)
    return value, channel, row, column


def core_text(layers: Sequence[Built], head: str) -> str:
    """snn_core.sv. head: a comment that says whose it is."""
    value, channel, row, column = item_bits(layers[0])
    logit, number, _, _ = layers[-1].outputs
    ports = f"""
module {CORE} (
    input  logic {_vector(1)} clk,
    input  logic {_vector(1)} rst,
    input  logic {_vector(1)} in_valid,
    output logic {_vector(1)} in_ready,
    input  logic {_vector(1)} in_end,   // of a step; the other fields mean nothing then
    input  logic {_vector(1)} in_last,  // with in_end: of the sample's last step
    input  logic {_vector(value)} in_value,
    input  logic {_vector(channel)} in_channel,
    input  logic {_vector(row)} in_row,
    input  logic {_vector(column)} in_column,
    output logic {_vector(1)} logit_valid,
    output logic {_vector(number)} logit_class,
    output logic signed {_vector(logit)} logit,
    output logic {_vector(1)} done,
    output logic {_vector(number)} label
);
"""
    body = "".join(_layer(layers, position) for position in range(len(layers)))
    last = layers[-1].name
    result = f"""
    assign {{logit_valid, logit_class, logit}} = {{{last}_push && !{last}_end, {last}_channel, {last}_value}};
    snn_argmax #(.CLASS({number}), .LOGIT({logit})) argmax (
        .clk, .rst, .valid({last}_push), .ends({last}_end), .number({last}_channel), .logit({last}_value),
        .done, .label
    );
    assign {last}_taken = done;
    logic unused;
    assign unused = &{{1'b0, {layers[0].name}_taken_in, {last}_last, {last}_row, {last}_column}};
endmodule
"""
    return head + ports + body + result


def _vector(bits: int) -> str:
    return (f"[{bits - 1}:0]" if bits > 1 else "").ljust(6)


def _wrapped(parts: Sequence[str], indent: int = 8) -> str:
    """Separated by commas, in lines of at most 110 letters."""
    margin, text = " " * indent, ", ".join(parts)
    return fill(text, 110, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def _layer(layers: Sequence[Built], position: int) -> str:
    """One layer, and the queue before it."""
    built = layers[position]
    name, (value, channel, row, column) = built.name, built.outputs
    fields = [
        ("_push", 1), ("_end", 1), ("_last", 1), ("_value", value), ("_channel", channel), ("_row", row),
        ("_column", column), ("_taken_in", 1), ("_taken", 1),
    ]  # fmt: skip
    lines = [f"\n    // {built.unit.label}\n"]
    lines += [f"    logic {_vector(bits)} {name}{field};\n" for field, bits in fields]
    stem = "in"
    if position:
        lines.append(_queue(layers[position - 1], built))
        stem = f"{layers[position - 1].name}_out"
    ports = [".clk", ".rst", *(f".in_{port}({stem}_{port})" for port in ("valid", "ready", *ITEM))]
    ports += [f".taken({name}_taken_in)", f".push({name}_push)"]
    ports += [*(f".push_{field}({name}_{field})" for field in ITEM), f".pushed_taken({name}_taken)"]
    lines.append(f"    snn_layer #(\n{_wrapped(_parameters(built.parameters))}\n    ) {name} (\n")
    lines.append(f"{_wrapped(ports)}\n    );\n")
    return "".join(lines)


def _queue(before: Built, after: Built) -> str:
    """The queue between two layers: as long as a step has items."""
    stem, bits, size = before.name, sum(before.outputs) + 2, math.prod(before.unit.out_shape) + 1
    widths = zip(("valid", "ready", *ITEM), (1, 1, 1, 1, *before.outputs), strict=True)
    wires = "".join(f"    logic {_vector(width)} {stem}_out_{name};\n" for name, width in widths)
    pushed, word = (_wrapped([f"{each}_{name}" for name in ITEM], 12) for each in (stem, f"{stem}_out"))
    return (
        f"{wires}    snn_fifo #(.DEPTH({size}), .BITS({bits}), .ADDRESS({bits_of(size)})) {stem}_queue (\n"
        f"        .clk, .rst, .push({stem}_push), .pushed({{\n{pushed}\n        }}),\n"
        f"        .valid({stem}_out_valid), .word({{\n{word}\n        }}), .ready({stem}_out_ready)\n    );\n"
        f"    assign {stem}_taken = {after.name}_taken_in;\n"
    )


def _parameters(parameters: dict[str, int | str]) -> list[str]:
    found = []
    for name, value in parameters.items():
        text = f'"{value}"' if isinstance(value, str) else str(value)
        if name in FLAGS:
            text = f"1'b{value}"
        elif name.endswith("_VALUE") and name not in ("IN_VALUE", "OUT_VALUE"):
            text = f"{parameters[name.removesuffix('_VALUE')]}'d{value}"
        found.append(f".{name}({text})")
    return found


def bench_text(layers: Sequence[Built], samples: int, limit: int) -> str:
    """bench.sv. samples: how many are replayed; limit: cycles from one result to the next; both defaults."""
    value, channel, row, column = item_bits(layers[0])
    logit, number, _, _ = layers[-1].outputs
    bits = value + channel + row + column + 2
    spiking = [built for built in layers if built.unit.kind == "spikes"]
    probes = "".join(_probe(built) for built in spiking)
    errors = fill(" + ".join(["errors", *(f"{built.name}_errors" for built in spiking)]), 80)
    errors = errors.replace("\n", "\n            ")
    return filled((files(__package__) / "bench" / "bench.sv").read_text(encoding="utf-8"), {
        "BITS": bits, "TOP": bits - 1, "LAST": bits - 2, "VALUE": f"{channel + row + column} +: {value}",
        "CHANNEL": f"{row + column} +: {channel}", "ROW": f"{column} +: {row}", "COLUMN": f"0 +: {column}",
        "CLASS": _vector(number), "CLASSBITS": number, "LOGIT": _vector(logit), "LOGITBITS": logit,
        "CORE": CORE, "SAMPLES": samples, "LIMIT": limit, "PROBES": probes, "ERRORS": errors,
    })  # fmt: skip


def _probe(built: Built) -> str:
    unit, name = built.unit, built.name
    return f"""
    integer {name}_errors;
    snn_probe #(
        .NAME("{name}"), .LANES({unit.lanes}), .MEMBRANE({built.membrane}), .ROWS({unit.row_count}),
        .GROUPS({unit.groups}), .WORDS({unit.words}), .CHANNELS({unit.channels})
    ) {name}_probe (
        .clk, .rst, .cycle, .begins(core.{name}.begins), .put(core.{name}.moving[7]),
        .put_last(core.{name}.lasts[7]), .membranes(core.{name}.membranes7), .spikes(core.{name}.spikes7),
        .errors({name}_errors)
    );
"""
