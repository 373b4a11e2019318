"""What a .net file is and what is proved of it, from the file alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.files import file_digest
from sast_deploy.base.outputs import ORIGIN_KEY, Origin, json_kind
from sast_deploy.base.text import percent
from sast_deploy.data.request import DataRequest
from sast_deploy.engines.frames import Frames
from sast_deploy.engines.registry import run_engine
from sast_deploy.netx.file import NetFile, profile_of
from sast_deploy.netx.foreign.stocknet import StockNet, StockUse
from sast_deploy.netx.stock_verdict import StockVerdict, stock_verdict
from sast_deploy.program.program import NO_DECAY_FILTER, Dense, Program, Readout, layer_label
from sast_deploy.program.sums import weighted_layers
from sast_deploy.proofs.bounds import LayerProof, bound_neurons, prove, signed_bits, states_at_the_ends
from sast_deploy.proofs.chips import LOIHI1
from sast_deploy.proofs.limits import LimitCheck, broken_limits, check_limits, verdict
from sast_deploy.proofs.mapping import Mapping as CoreMapping, map_program

ELEMENT_BYTES = (1, 2, 4)  # of the integer types a tensor can have
INSPECTION_VERSION = 1
PROVED = "proved for every input"
STOCK_STEPS = 1000  # of a stranger's network, whose file does not say how long it runs
UNCOVERED = (
    "the program and the known answers; profile, data, checkpoint and calibration are not (format version 1)"
)


@dataclass(frozen=True)
class Footprint:
    """Memory of one weighted layer's parameters.

    packed_bits: every weight at the program's weight width, every bias and threshold at the state's, or at
    what a readout's biases need: it has no range.
    neurobench_bytes: NeuroBench v2.3.0's number of elements times element size, so that 4 bits get no credit.
    """

    name: str
    weights: int
    packed_bits: int
    neurobench_bytes: int


@dataclass(frozen=True)
class Saturation:
    """How often membranes were at an end of their range.

    layers: per spiking layer, the states there (None where they wrap) and all states.
    """

    samples: int
    layers: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, eq=False)
class Inspection:
    """Everything `inspect` shows.

    summary: label -> text. mapping: on the cores of a chip. limits: of that chip. known_answers: number of
    vectors in the file. notes: what stock NetX alters in silence of a stranger's file. proved: for which
    inputs and steps the proofs hold. stock_netx: what stock NetX makes of a file of ours.
    """

    summary: Mapping[str, str]
    layers: tuple[LayerProof, ...]
    footprints: tuple[Footprint, ...]
    mapping: CoreMapping
    limits: tuple[LimitCheck, ...]
    known_answers: int
    calibration: Saturation | None = None  # the key in the JSON
    notes: tuple[str, ...] = ()
    proved: str = PROVED
    stock_netx: StockVerdict | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "inspection_version": INSPECTION_VERSION, **asdict(self), "mapping": self.mapping.to_dict(),
            "verdict": self.verdict, "fits": self.fits,
        }  # fmt: skip

    @property
    def verdict(self) -> str:
        """Whether the chip holds the network, and on how many cores, or why not; one line."""
        return verdict(self.limits, self.mapping.chip)

    @property
    def fits(self) -> bool:
        """Whether the chip holds it in every row that the file decides."""
        return not broken_limits(self.limits)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def inspect_net(
    net: NetFile, path: Path | None, saturation: Saturation | None = None, chip: str = LOIHI1.name
) -> Inspection:
    """Establish everything about a .net file that needs no data."""
    known = 0 if net.known is None else len(net.known.frames)
    established = _established(net.program, chip)
    stock = stock_verdict(net, established[0])
    return Inspection(_summary_of(net, path, stock), *established, known, saturation, stock_netx=stock)


def inspect_stock(stock: StockNet, chip: str = LOIHI1.name) -> Inspection:
    """Establish what can be said of a stranger's stock NetX file."""
    path = stock.path
    program = stock.program(StockUse(steps=STOCK_STEPS)).program
    what = "spikes" if stock.neurons is None else "pixels"
    inputs = f"{'x'.join(map(str, program.input_shape))} {what} 0..{program.input_max}"
    summary = {
        "file": str(path),
        "file digest": file_digest(path),
        "origin": "a stock NetX network that sast-deploy did not write: it carries no data, checkpoint or "
        "known answers; `sast-deploy simulate NET --input ARRAY` runs it",
        "program": f"{inputs}, {len(program.layers)} layers, {len(program.classes)} outputs after "
        f"{stock.latency} steps",
        "arithmetic": _arithmetic_of(program),
    }
    proved = f"{PROVED} of {what} 0..{program.input_max}, in {STOCK_STEPS:,} steps"
    return Inspection(summary, *_established(program, chip), 0, notes=stock.notes, proved=proved)


def count_saturated(program: Program, frames: Frames) -> Saturation:
    """Run frames (samples, time, C, H, W) in the fast engine and count states at the ends of their range."""
    traces = run_engine("fast", program, frames, trace=True).traces or ()
    membranes = [trace.membrane for trace in traces]
    states = [membrane.size for membrane in membranes]
    ends = states_at_the_ends(program, membranes)
    return Saturation(len(frames), tuple(zip(ends, states, strict=True)))


def _established(
    program: Program, chip: str
) -> tuple[tuple[LayerProof, ...], tuple[Footprint, ...], CoreMapping, tuple[LimitCheck, ...]]:
    bounds, mapping = bound_neurons(program), map_program(program, chip)
    limits = check_limits(program, bounds, mapping)
    return prove(program, bounds), tuple(footprints(program)), mapping, limits


def footprints(program: Program) -> list[Footprint]:
    """Memory of every weighted layer."""
    found = []
    for index, layer in weighted_layers(program):
        others = layer.bias if isinstance(layer, Readout) else np.concatenate([layer.bias, layer.vth])
        needed = signed_bits(int(others.min()), int(others.max()))
        weight_bits, other_bits = program.arithmetic.weight_bits, max(program.arithmetic.state.bits, needed)
        weights = layer.weight.size
        if isinstance(layer, Dense) and layer.recurrent is not None:
            weights += layer.recurrent.size
        packed = weights * weight_bits + others.size * other_bits
        bytes_ = weights * _element(weight_bits) + others.size * _element(other_bits)
        found.append(Footprint(layer_label(index, layer), weights, packed, bytes_))
    return found


def _summary_of(net: NetFile, path: Path | None, stock: StockVerdict) -> dict[str, str]:
    program = net.program
    profile = profile_of(net, path or program.name)
    metrics = net.checkpoint.get("metrics", {}).get("test", {})
    tested = f" on {metrics['samples']} test samples" if "samples" in metrics else ""
    otherwise = "runs it otherwise" if stock.differences else "computes the same"
    shape = "x".join(map(str, program.input_shape))
    return {
        "file": str(path or "not saved"),
        "file digest": "not saved" if path is None else file_digest(path),
        "program": f"{program.name}, {shape} counts 0..{program.input_max}, {program.steps} steps, "
        f"{len(program.classes)} classes",
        "program digest": program.digest(),
        "covered by digests": "everything" if net.covered else UNCOVERED,
        "profile": f"{profile.name}: {profile.description}" if profile else "none",
        "arithmetic": _arithmetic_of(program),
        **_readout_of(program),
        "data": str(net.data.get("provenance", "not recorded")),
        "checkpoint": " ".join(str(net.checkpoint.get(key, "")) for key in ("name", "digest")).strip(),
        **_training_of(net),
        "calibration": _calibration_of(net),
        "float accuracy": f"{percent(metrics['hard'])} with hard spikes{tested}"
        if "hard" in metrics
        else "not recorded",
        "stock NetX": f"loads it and {otherwise}: {stock.call}" if stock.loads else "refuses it",
        "strict reset": "yes" if net.strict_reset else "no",
        "known answers": "none" if net.known is None else f"{len(net.known.frames)} vectors",
        "versions": ", ".join(f"{name} {version}" for name, version in net.created.items()) or "not recorded",
    }


def _training_of(net: NetFile) -> dict[str, str]:
    """Neurons and surrogate of the training, as the checkpoint's settings have them; else nothing."""
    setting = net.checkpoint.get("metrics", {}).get("setting", {})
    if "k" not in setting:
        return {}
    usual = {"neuron": "lif", "surrogate": "arctan", "learn_theta": "none", "learn_alpha": "none"}
    neuron, surrogate, *ways = (str(setting.get(key, value))[:60] for key, value in usual.items())
    learned = zip(("thresholds", "leaks"), ways, strict=True)
    each = "".join(f", {what} learned for each {way}" for what, way in learned if way != "none")
    k = str(setting["k"])[:60]
    return {"trained as": f"{neuron} neurons, {surrogate} surrogate with k = {k}{each}"}


def _arithmetic_of(program: Program) -> str:
    rules = program.arithmetic
    return (
        f"{rules.weight_bits}-bit weights, membrane {rules.state} ({rules.overflow}), leak "
        f"{rules.leak_rounding}, shift {rules.shift_rounding}, fires at {rules.comparison}, "
        f"reset {rules.reset_rule}"
    )


def _readout_of(program: Program) -> dict[str, str]:
    """What a readout keeps of each step, and which membrane potential is its logit; nothing of plain sums."""
    last = program.layers[-1]
    if not isinstance(last, Readout) or last.sums:
        return {}
    kept = [NO_DECAY_FILTER - np.unique(decay)[::-1] for decay in (last.v_decay, last.u_decay)]
    leak, filtered = ("..".join(map(str, dict.fromkeys((each[0], each[-1])))) for each in kept)
    logits = {"last": "the last", "max": "the largest", "mean": "the sum over all steps"}[last.decoding]
    return {
        "readout": f"keeps {leak}/4096 of its membrane potential a step and {filtered}/4096 of its current; "
        f"decoding {last.decoding}: its logits are {logits}"
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
        f"{record['seed']}: accuracy {percent(first['accuracy'])} -> {percent(last['accuracy'])} "
        f"(float {percent(record['float_accuracy'])}), loss {first['loss']:.4f} -> {last['loss']:.4f}"
    )


def _element(bits: int) -> int:
    """Bytes of the narrowest integer type that holds so many bits."""
    return next(size for size in ELEMENT_BYTES if 8 * size >= bits)


def inspection_origin(
    net: str | None, samples: int | None, data: DataRequest | None, chip: str = LOIHI1.name
) -> dict[str, Any]:
    """What an inspection depends on. net: digest of the file; data: where the samples come from. Files of
    before name no chip: it was Loihi 1.
    """
    split = {} if data is None or not samples else data.identity(None)
    other = {} if chip == LOIHI1.name else {"chip": chip}
    return {"network": net, "samples": samples or "no", **other, **split}


def _origin(found: dict[str, Any]) -> Origin | None:
    if ORIGIN_KEY in found:
        return dict(found[ORIGIN_KEY])
    return None if found["calibration"] else inspection_origin(found["summary"]["file digest"], None, None)


INSPECTION = json_kind(
    "JSON file of an inspection", lambda found: type(found.get("inspection_version")) is int, _origin,
    mark='"inspection_version"',
)  # fmt: skip
