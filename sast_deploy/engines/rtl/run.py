"""Run a program as its circuit: bit by bit what the other engines compute, and the cycles that it takes."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import RtlError
from sast_deploy.engines.frames import Frames, Progress, check_frames
from sast_deploy.engines.rtl.output import Results, layer_states, results, sweep_cycles
from sast_deploy.engines.rtl.simulators import Simulator, built, choose_simulator, write_files
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord, Trace, empty_record
from sast_deploy.rtl import timing
from sast_deploy.rtl.circuit import Circuit, make_circuit
from sast_deploy.rtl.plan import Ints, plan_circuit
from sast_deploy.rtl.stimulus import items

TOGETHER = 8 << 20  # values of the states that one call of the simulator writes down


@dataclass(frozen=True, eq=False)
class CircuitRun:
    """What a circuit computed of some samples.

    record: with all traces. begun: the cycle in which every sweep of each spiking layer began, int64
    (samples, steps).
    """

    record: SpikeRecord
    results: Results
    begun: tuple[Ints, ...]


def run_rtl(
    program: Program, frames: Frames, *, trace: bool = False, batch: int | None = None,
    progress: Progress = iter, lanes: Sequence[int] | None = None,
) -> SpikeRecord:  # fmt: skip
    """Run every sample of `frames`, integers (samples, time, C, H, W); bit-equal with `run_reference`.

    One sample follows the other without a pause. batch: samples of one call of the simulator, after which the
    circuit is reset. lanes: see `rtl.plan.choose_lanes`.

    Raises:
        DataError: frames that do not fit. CompileError: what the circuit does not hold.
        RtlError: no simulator, or a circuit that gives no result.
    """
    check_frames(program, frames, program.name)
    samples, steps = frames.shape[:2]
    circuit = make_circuit(plan_circuit(program, lanes, steps))
    sizes = [math.prod(program.shapes()[index + 1]) for index, _ in program.spiking()]
    record = empty_record(sizes, samples, steps, len(program.classes), trace)
    if steps == 0 or samples == 0:
        return _nothing(record, progress)
    size = batch or max(1, TOGETHER // max(1, steps * sum(sizes)))
    simulator = choose_simulator(timing.most_cycles(circuit.plan, steps) // 8 * samples)
    for n in progress(_each(circuit, simulator, frames, record, size)):
        del n
    return record


def _nothing(record: SpikeRecord, progress: Progress) -> SpikeRecord:
    """Of no samples, or of samples without a step: no spikes, logits 0."""
    record.logits[...] = 0
    for counts in record.counts:
        counts[...] = 0
    for _ in progress(range(len(record.logits))):
        pass
    return record


def _each(circuit: Circuit, simulator: Simulator, frames: Frames, record: SpikeRecord, size: int) -> Any:
    for start in range(0, len(frames), size):
        part = np.asarray(frames[start : start + size])
        found = simulate(circuit, part, simulator).record
        chosen = slice(start, start + len(part))
        record.logits[chosen] = found.logits
        for mine, theirs in zip(record.counts, found.counts, strict=True):
            mine[chosen] = theirs
        for kept, seen in zip(record.traces or (), found.traces or (), strict=False):
            kept.membrane[chosen], kept.spikes[chosen] = seen.membrane, seen.spikes
        yield from range(start, start + len(part))


def simulate(
    circuit: Circuit, frames: npt.NDArray[Any], simulator: Simulator, streaming: bool = True
) -> CircuitRun:
    """Run samples (samples, time, C, H, W), at least one of each. streaming: without a pause between them.

    Raises RtlError: the circuit gives no result, or an undefined one.
    """
    place = built(circuit, simulator)
    with tempfile.TemporaryDirectory(prefix="sast-rtl-") as name:
        folder = Path(name)
        write_files(folder, {each: text for each, text in circuit.files.items() if each.startswith("mem/")})
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        with open(folder / "in" / "stimulus.txt", "w", encoding="ascii") as file:
            for frame in frames:
                file.write(items(circuit.layers[0], frame))
        limit = timing.patience(circuit.plan, frames.shape[1])
        options = ["+in=in", "+out=out", f"+samples={len(frames)}", f"+limit={limit}"]
        command = [*simulator.command(place), *options, *(["+streaming"] if streaming else [])]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if "WROTE" not in done.stdout:
            said = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
            raise RtlError(
                f"the circuit: {said[0]}",
                where=circuit.plan.program.name,
                expected="a result of every sample",
            )
        return _read(circuit, folder / "out", *frames.shape[:2])


def _read(circuit: Circuit, folder: Path, samples: int, steps: int) -> CircuitRun:
    spiking = [layer for layer in circuit.layers if layer.unit.kind == "spikes"]
    states = [layer_states(folder / f"{layer.name}.txt", layer, samples, steps) for layer in spiking]
    begun = tuple(sweep_cycles(folder / f"{layer.name}_cycles.txt", samples, steps) for layer in spiking)
    found = results(folder / "results.txt", samples, len(circuit.plan.program.classes))
    traces = tuple(Trace(membrane, spikes) for membrane, spikes in states)
    counts = tuple(trace.spikes.sum(axis=1, dtype=np.int32) for trace in traces)
    return CircuitRun(SpikeRecord(counts, found.logits, traces), found, begun)
