"""What a .net file is and what is proved of it, from the file alone; as JSON and as aligned tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table

from sast_deploy.compiler.limits import PROGRAM, LimitCheck, check_limits
from sast_deploy.compiler.proofs import LayerProof, prove
from sast_deploy.fileio import file_digest
from sast_deploy.linear import weighted_layers
from sast_deploy.netx import NetFile, profile_of
from sast_deploy.netx_stock import stock_loads
from sast_deploy.program import Program, Readout

ELEMENT_BYTES = (1, 2, 4)  # of the integer types a tensor can have
INSPECTION_VERSION = 1


@dataclass(frozen=True)
class Footprint:
    """Memory of one weighted layer's parameters.

    packed_bits: every weight at the program's weight width, every bias and threshold at the state's.
    neurobench_bytes: NeuroBench v2.3.0's number of elements times element size, so that 4 bits get no credit.
    """

    name: str
    weights: int
    packed_bits: int
    neurobench_bytes: int


@dataclass(frozen=True)
class Calibration:
    """How often membranes were at an end of their range.

    layers: per spiking layer, the states there (None where they wrap) and all states.
    """

    samples: int
    layers: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, eq=False)
class Inspection:
    """Everything `inspect` shows. summary: label -> text; known_answers: number of vectors in the file."""

    summary: Mapping[str, str]
    layers: tuple[LayerProof, ...]
    footprints: tuple[Footprint, ...]
    limits: tuple[LimitCheck, ...]
    known_answers: int
    calibration: Calibration | None = None

    def to_json(self) -> str:
        """One JSON object."""
        content = {"inspection_version": INSPECTION_VERSION, **asdict(self)}
        return json.dumps(content, indent=2) + "\n"


def inspect_net(net: NetFile, path: Path, calibration: Calibration | None = None) -> Inspection:
    """Establish everything about a .net file that needs no data."""
    program = net.program
    return Inspection(
        _summary_of(net, path),
        prove(program),
        tuple(footprints(program)),
        check_limits(program),
        0 if net.known is None else len(net.known.frames),
        calibration,
    )


def footprints(program: Program) -> list[Footprint]:
    """Memory of every weighted layer."""
    found = []
    for index, layer in weighted_layers(program):
        others = layer.bias.size + (0 if isinstance(layer, Readout) else layer.vth.size)
        weight_bits, state_bits = program.arithmetic.weight_bits, program.arithmetic.state.bits
        packed = layer.weight.size * weight_bits + others * state_bits
        bytes_ = layer.weight.size * _element(weight_bits) + others * _element(state_bits)
        found.append(Footprint(f"layer {index} ({layer.kind})", layer.weight.size, packed, bytes_))
    return found


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Print everything as aligned tables."""
    summary = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column(overflow="fold")
    for label, text in inspection.summary.items():
        summary.add_row(label, text)
    parts: list[RenderableType] = [summary, "", proof_table(inspection.layers), *_saturation(inspection)]
    parts += ["", _memory(inspection.footprints), "", *_limits(inspection.limits)]
    console.print(Group(*parts))


def proof_table(layers: Sequence[LayerProof], losses: Sequence[tuple[float, float]] = ()) -> Table:
    """What is proved of each layer; losses: share of clipped weights and rms error, where they are known."""
    table = _new_table("proved for every input", ("layer", "weights"))
    names = ("exp", "weighted sum", "bits", "may saturate", "zero", "threshold")
    for name in (*names, *(("clipped", "rms error") if losses else ("membrane", "silent"))):
        table.add_column(name, justify="right", no_wrap=True)
    for number, layer in enumerate(layers):
        neurons = ["..".join(map(str, layer.membrane)), str(layer.silent) if layer.vth else ""]
        table.add_row(
            layer.name,
            "x".join(map(str, layer.shape)),
            str(layer.exponent),
            f"{layer.low}..{layer.high}",
            str(layer.accumulator_bits),
            _verdict(layer),
            f"{100 * layer.zero_weights:.1f} %",
            "..".join(map(str, (layer.vth[0], layer.vth[-1]))) if layer.vth else "",
            *([f"{100 * share:.1f} %" for share in losses[number]] if losses else neurons),
        )
    return table


def _new_table(title: str, left: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in left:
        table.add_column(name, no_wrap=True)
    return table


def _verdict(layer: LayerProof) -> str:
    """How many neurons are not proved never to saturate."""
    if not layer.vth:
        return ""
    if not layer.saturating:
        return "never" if layer.settled else "not in T steps"
    return f"{layer.saturating}/{layer.neurons}"


def _saturation(inspection: Inspection) -> list[RenderableType]:
    """Lines on currents that wrap and on calibration data, where there is something to say."""
    lines: list[RenderableType] = [
        f"{layer.name}: the filtered current of {layer.wrapping} neurons can wrap"
        for layer in inspection.layers
        if layer.wrapping
    ]
    if inspection.calibration is not None:
        spiking = [layer for layer in inspection.layers if layer.vth]
        for layer, (ends, states) in zip(spiking, inspection.calibration.layers, strict=True):
            found = (
                "wrap, not counted" if ends is None else f"{ends:,} of {states:,} at an end of their range"
            )
            share = "" if ends is None else f" ({100 * ends / max(states, 1):.3f} %)"
            lines.append(f"{inspection.calibration.samples} samples, {layer.name}: membranes {found}{share}")
    return lines


def _memory(found: tuple[Footprint, ...]) -> Table:
    table = _new_table("parameters", ("layer",))
    for name in ("weights", "packed bits", "packed bytes", "NeuroBench bytes"):
        table.add_column(name, justify="right")
    sums = (sum(column) for column in zip(*(astuple(row)[1:] for row in found), strict=True))
    for row in (*found, Footprint("total", *sums)):
        numbers = (row.weights, row.packed_bits, -(-row.packed_bits // 8), row.neurobench_bytes)
        table.add_row(row.name, *(f"{number:,}" for number in numbers))
    return table


def _limits(checks: tuple[LimitCheck, ...]) -> list[RenderableType]:
    """One row per limit, one column per layer; a number of cores where a layer needs several."""
    whole = [check for check in checks if check.layer == PROGRAM]
    layers = list(dict.fromkeys(check.layer for check in checks if check not in whole))
    table = _new_table("limits of a Loihi 1 core", ("limit", "allowed"))
    for name in layers:
        table.add_column(name, justify="right")
    for limit in dict.fromkeys(check.limit for check in checks if check not in whole):
        row = {check.layer: check for check in checks if check.limit == limit}
        allowed = next(iter(row.values())).allowed
        table.add_row(limit, allowed, *(_cell(row.get(name)) for name in layers))
    lines = (f"{c.limit}: {c.needs}, of {c.allowed}: {'meets' if c.meets else 'BREAKS'}" for c in whole)
    return [table, *lines]


def _cell(check: LimitCheck | None) -> str:
    if check is None:
        return ""
    cores = f", {check.cores} cores" if check.cores > 1 else ""
    return f"{check.needs}{cores} {'meets' if check.meets else 'BREAKS'}"


def _summary_of(net: NetFile, path: Path) -> dict[str, str]:
    program, rules = net.program, net.program.arithmetic
    profile = profile_of(net, path) if net.profile_text else None
    metrics = net.checkpoint.get("metrics", {}).get("test", {})
    stock = "loads it" if stock_loads(program) and not net.strict_reset else "refuses it"
    if stock == "loads it" and rules.reset == "subtract":
        stock += " and resets to ZERO where the program subtracts"
    shape = "x".join(map(str, program.input_shape))
    return {
        "file": str(path),
        "file digest": file_digest(path),
        "program": f"{program.name}, {shape} counts 0..{program.input_max}, {program.steps} steps, "
        f"{len(program.classes)} classes",
        "program digest": program.digest(),
        "profile": f"{profile.name}: {profile.description}" if profile else "none",
        "arithmetic": f"{rules.weight_bits}-bit weights, membrane {rules.state} ({rules.overflow}), "
        f"leak {rules.leak_rounding}, shift {rules.shift_rounding}, fires at {rules.comparison}, "
        f"reset {rules.reset}",
        "data": str(net.data.get("provenance", "not recorded")),
        "checkpoint": " ".join(str(net.checkpoint.get(key, "")) for key in ("name", "digest")).strip(),
        "calibration": _calibration_of(net),
        "float accuracy": f"{metrics['hard']:.4f} with hard spikes" if "hard" in metrics else "not recorded",
        "stock NetX": stock,
        "strict reset": "yes" if net.strict_reset else "no",
        "known answers": "none" if net.known is None else f"{len(net.known.frames)} vectors",
        "versions": ", ".join(f"{name} {version}" for name, version in net.created.items()) or "not recorded",
    }


def _calibration_of(net: NetFile) -> str:
    """Which steps were kept, on how many samples of what, and what they made of accuracy and loss."""
    record = net.calibration
    steps = record.get("steps", [])
    if not steps:
        return "none"
    kept = [step for step in steps if step["kept"]]
    names = ", ".join(step["name"] for step in kept) or "no step"
    first, last = steps[0]["before"], (kept[-1]["after"] if kept else steps[0]["before"])
    return (
        f"{names} kept; fitted to {record['fit_samples']} samples of {record['data']['dataset']} (frames "
        f"{record['data']['frame_digest'][:12]}), judged on {record['choose_samples']} others, seed "
        f"{record['seed']}: accuracy {first['accuracy']:.4f} -> {last['accuracy']:.4f} (float "
        f"{record['float_accuracy']:.4f}), loss {first['loss']:.4f} -> {last['loss']:.4f}"
    )


def _element(bits: int) -> int:
    """Bytes of the narrowest integer type that holds so many bits."""
    return next(size for size in ELEMENT_BYTES if 8 * size >= bits)
