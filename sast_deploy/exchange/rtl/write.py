"""`--to rtl`: a network as SystemVerilog with a self-checking bench that replays its known answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import UsageError
from sast_deploy.base.text import counted, filled, printable
from sast_deploy.exchange.artefacts import Artefacts, Part
from sast_deploy.exchange.subject import Subject
from sast_deploy.rtl import timing
from sast_deploy.rtl.budget import DEVICES, Use, uses
from sast_deploy.rtl.circuit import Circuit, make_circuit
from sast_deploy.rtl.memories import Built, build_layers, hexadecimal
from sast_deploy.rtl.plan import Ints, plan_circuit
from sast_deploy.rtl.stimulus import items
from sast_deploy.rtl.top import item_bits

NO_DEVICE = "any"
CIRCUIT_FILE = "circuit.json"
ICARUS_CYCLES = 100_000  # that it simulates within a minute or so


def parse_lanes(text: str) -> tuple[int, ...] | None:
    """Lanes of every layer with weights, from "24,8,10"; None of "". Raises UsageError."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else None
    except ValueError:
        raise UsageError(f"lanes {text!r}", expected="whole numbers with commas, such as 24,8,10") from None


def write_rtl(subject: Subject, lanes: str = "", target: str = NO_DEVICE) -> Artefacts:
    """Modules, memories, bench and known answers. lanes: see `parse_lanes`; target: of DEVICES, or any.

    Raises:
        CompileError: what the circuit does not hold.
        UsageError: lanes that do not fit, or a device too small.
    """
    plan = plan_circuit(subject.program, parse_lanes(lanes))
    used = uses(build_layers(plan))
    _check_device(used, target)
    answers = subject.answers
    circuit = make_circuit(plan, len(answers.logits), timing.patience(plan, answers.frames.shape[1]))
    known, cycles = _known(circuit, subject)
    texts, icarus = circuit.files | known, len(answers.logits) if cycles <= ICARUS_CYCLES else 1
    texts[CIRCUIT_FILE] = json.dumps(_manifest(subject, circuit, used, target), indent=2) + "\n"
    texts["Makefile"] = _makefile(circuit, target, icarus, len(answers.logits))
    texts["README.md"] = _readme(subject, circuit, used, target, icarus)
    parts = tuple(Part(use.layer, -(-use.weight_bits // 8), -(-use.state_bits // 8)) for use in used)
    notes = [f"lanes {', '.join(map(str, circuit.plan.lanes))}"]
    if target != NO_DEVICE:
        notes.append(_budget(used, target))
    return Artefacts({name: text.encode() for name, text in texts.items()}, parts, "make test", tuple(notes))


def _check_device(used: Sequence[Use], target: str) -> None:
    if target == NO_DEVICE:
        return
    device = DEVICES[target]
    blocks, multipliers = _sums(used)
    if blocks > device.blocks or multipliers > device.multipliers:
        found = f"{blocks} block memories and {multipliers} multipliers"
        expected = f"at most {device.blocks} and {device.multipliers} of {device.name}"
        raise UsageError(found, expected=expected, todo="take fewer lanes or a larger target")


def _budget(used: Sequence[Use], target: str) -> str:
    blocks, multipliers = _sums(used)
    if target == NO_DEVICE:
        found = f"{blocks} block memories of 18 kbit, {multipliers} multipliers"
    else:
        device = DEVICES[target]
        found = f"{blocks} of {device.blocks} block memories and {multipliers} of {device.multipliers} "
        found += f"multipliers of {device.name}"
    return f"Estimated before any synthesis: {found}."


def _sums(used: Sequence[Use]) -> tuple[int, int]:
    """(block memories, multipliers) of all layers."""
    return sum(use.blocks for use in used), sum(use.multipliers for use in used)


def _known(circuit: Circuit, subject: Subject) -> tuple[dict[str, str], int]:
    """Stimulus, states, and for both modes cycles and results; and the cycles of all, one at a time."""
    answers = subject.answers
    found = {"known/stimulus.txt": "".join(items(circuit.layers[0], frame) for frame in answers.frames)}
    spiking = [(number, each) for number, each in enumerate(circuit.layers) if each.unit.kind == "spikes"]
    ends = np.cumsum([int(layer.unit.neurons().max()) + 1 for _, layer in spiking], dtype=np.int64)
    membranes, spikes = np.split(answers.membranes, ends, 2)[:-1], np.split(answers.spikes, ends, 2)[:-1]
    for (_, layer), membrane, spiked in zip(spiking, membranes, spikes, strict=True):
        found[f"known/{layer.name}.txt"] = _states(layer, membrane, spiked)
    total = 0
    for mode in ("single", "streaming"):
        ran = timing.run_cycles(circuit.plan, answers.frames, spikes, mode == "streaming")
        for number, layer in spiking:
            lines = "".join(f"{cycle}\n" for cycle in ran.begun[:, :, number].ravel())
            found[f"known/{mode}/{layer.name}_cycles.txt"] = lines
        found[f"known/{mode}/results.txt"] = _results(answers.logits, ran)
        total = max(total, int(ran.done[-1]))
    return found, total


def _states(layer: Built, membrane: npt.NDArray[Any], spikes: npt.NDArray[Any]) -> str:
    """Lines of the membranes and spikes of every row of neurons, from (samples, time, neurons)."""
    order = layer.unit.neurons()
    lines = []
    for values, bits in ((membrane, layer.membrane), (spikes, 1)):
        rows = np.where(order >= 0, values.reshape(-1, values.shape[2])[:, order], 0)
        lines.append(hexadecimal(rows.reshape(-1, order.shape[1]).astype(np.int64), bits).splitlines())
    return "".join(f"{membranes} {spikes}\n" for membranes, spikes in zip(*lines, strict=True))


def _results(logits: Ints, ran: timing.Cycles) -> str:
    text = []
    for sample, row in enumerate(logits.tolist()):
        text += [f"{number} {logit}\n" for number, logit in enumerate(row)]
        text.append(f"{int(np.argmax(row))} {ran.offered[sample]} {ran.done[sample]}\n")
    return "".join(text)


def _manifest(subject: Subject, circuit: Circuit, used: Sequence[Use], target: str) -> dict[str, Any]:
    """What circuit.json says."""
    program = subject.program
    value, channel, row, column = item_bits(circuit.layers[0])
    logit, number, _, _ = circuit.layers[-1].outputs
    named = ("TAKE", "DRAIN", "FREE", "READY", "WRITTEN", "ENCODE", "ARRIVE", "DONE")
    constants = {name.lower(): getattr(timing, name) for name in named}
    return {
        "network": subject.name, "program": program.digest(), "target": target,
        "lanes": list(circuit.plan.lanes), "steps": program.steps,
        "input": {
            "shape": list(program.input_shape), "low": program.input_min, "high": program.input_max,
            "value_bits": value, "channel_bits": channel, "row_bits": row, "column_bits": column,
        },
        "output": {"classes": list(program.classes), "class_bits": number, "logit_bits": logit},
        "cycles": {"formula": timing.FORMULA.splitlines(), **constants},
        "layers": [_layer_facts(layer, use) for layer, use in zip(circuit.layers, used, strict=True)],
    }  # fmt: skip


def _layer_facts(layer: Built, use: Use) -> dict[str, Any]:
    unit = layer.unit
    memories = {
        each.name: {
            "words": len(each.words), "values": each.words.shape[1], "bits": each.bits, "about": each.about,
        }
        for each in layer.memories
    }  # fmt: skip
    return {
        "name": layer.name, "layer": unit.label, "sends": unit.kind, "lanes": unit.lanes,
        "rows": unit.row_count, "slots": unit.slots, "accumulator_bits": layer.parameters["ACCUMULATOR"],
        "membrane_bits": layer.membrane, "block_memories": use.blocks, "multipliers": use.multipliers,
        "memories": memories,
    }  # fmt: skip


def _makefile(circuit: Circuit, target: str, icarus: int, samples: int) -> str:
    synthesis = ""
    if target != NO_DEVICE:
        synthesis = _template("synthesis.mk", {"DEVICE": target.removeprefix("ecp5-")})
    return _template("Makefile", {
        "SOURCES": " ".join(circuit.sources), "ICARUS": icarus, "SAMPLES": samples, "SYNTHESIS": synthesis,
        "MEMORIES": " ".join(name for name in circuit.files if name.startswith("mem/")),
    })  # fmt: skip


def _readme(subject: Subject, circuit: Circuit, used: Sequence[Use], target: str, icarus: int) -> str:
    value, channel, row, column = item_bits(circuit.layers[0])
    logit, number, _, _ = circuit.layers[-1].outputs
    program, samples = subject.program, len(subject.answers.logits)
    rows = [
        f"| {layer.unit.label} | {layer.unit.kind} | {layer.unit.lanes} | {layer.unit.row_count:,} | "
        f"{use.weight_bits:,} | {use.blocks} | {use.multipliers} |"
        for layer, use in zip(circuit.layers, used, strict=True)
    ]
    return _template("README.md", {
        "NAME": subject.name, "DIGEST": program.digest(), "LAYERS": "\n".join(rows),
        "BUDGET": _budget(used, target), "ICARUS": icarus, "SAMPLES": counted(samples, "sample"),
        "VALUE": value, "CHANNEL": channel, "ROW": row, "COLUMN": column, "CLASS": number, "LOGIT": logit,
        "LOW": program.input_min, "HIGH": program.input_max,
        "SHAPE": " x ".join(map(str, program.input_shape)), "STEPS": program.steps,
        "MOST": circuit.plan.units[-1].steps, "FORMULA": timing.FORMULA,
        "CLASSES": "\n".join(f"- {n}: {printable(label)}" for n, label in enumerate(program.classes)),
    })  # fmt: skip


def _template(name: str, values: Mapping[str, object]) -> str:
    return filled((files(__package__) / name).read_text(encoding="utf-8"), values)
