"""Random programs that a circuit holds, with lanes and frames for them, and the comparison with the reference.

    program, frames, lanes = any_circuit(17)
    differences(program, frames, lanes, icarus(), streaming=True)  # None, or the first difference in words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.rtl.run import CircuitRun, simulate
from sast_deploy.engines.rtl.simulators import Simulator
from sast_deploy.program.program import Dense, Layer, Program
from sast_deploy.program.record import SpikeRecord, first_difference
from sast_deploy.rtl import timing
from sast_deploy.rtl.circuit import Circuit, make_circuit
from sast_deploy.rtl.plan import plan_circuit, weighted_outputs
from tests.anyprogram import Seeded, any_frames, any_program, any_rules

FAMILY = 14  # of seeds: apart from those of other tests
WEIGHT_BITS = (4, 8, 2, 3, 5)
STEPS_MAX = 20  # an interpreter of Verilog is slow
SAMPLES = 3
LOWEST = -3  # of inputs, where some are negative
Frames = npt.NDArray[np.int64]


def any_circuit(seed: int) -> tuple[Program, Frames, tuple[int, ...]]:
    """A program of `anyprogram` without what a circuit refuses, frames, and lanes of every layer with weights.

    Inputs are negative in every third program or so; half have a readout that may leak, filter and decode in
    any way, and of the others some count the spikes of their last layer.
    """
    choose = Seeded(seed, FAMILY)
    rules = any_rules(choose, weight_bits=choose.pick(WEIGHT_BITS), orders=True)
    program = any_program(choose, rules, orders=True, integrates=choose.pick((True, False)))
    program = replace(
        program, layers=tuple(map(_held, program.layers)), steps=min(program.steps, STEPS_MAX),
        input_min=choose.pick((0, 0, LOWEST)),
    )  # fmt: skip
    frames = any_frames(choose, program, SAMPLES).astype(np.int64)
    if program.input_min < 0:
        less = choose.ints(0, -LOWEST, frames.shape) * choose.ints(0, 1, frames.shape)
        frames = np.maximum(frames - less, program.input_min)
    return program, frames, tuple(choose.integer(1, outputs) for _, outputs in weighted_outputs(program))


def _held(layer: Layer) -> Layer:
    """Without recurrence, and one delay for all synapses of an input."""
    if not isinstance(layer, Dense):
        return layer
    return replace(layer, recurrent=None, delay=layer.delay[0] if layer.delay.ndim == 2 else layer.delay)


def circuit_of(program: Program, lanes: Sequence[int] | None = None) -> Circuit:
    return make_circuit(plan_circuit(program, lanes))


def differences(
    circuit: Circuit, frames: npt.NDArray[Any], simulator: Simulator, streaming: bool,
    reference: SpikeRecord | None = None,
) -> str | None:  # fmt: skip
    """None, or the first value or cycle in which a circuit is not the reference and the formula, in words.

    Values: every membrane, spike, count and logit, and the label of each sample. Cycles: of every sweep, and
    of each sample's first item and result.
    """
    expected = reference or run_reference(circuit.plan.program, frames, trace=True)
    found = simulate(circuit, frames, simulator, streaming)
    if difference := first_difference(found.record, expected):
        return difference
    if not np.array_equal(found.results.labels, expected.predictions):
        return f"labels {found.results.labels} against {expected.predictions}"
    return _unequal_cycles(circuit, frames, found, expected, streaming)


def _unequal_cycles(
    circuit: Circuit, frames: npt.NDArray[Any], found: CircuitRun, expected: SpikeRecord, streaming: bool
) -> str | None:
    assert expected.traces is not None
    cycles = timing.run_cycles(circuit.plan, frames, [trace.spikes for trace in expected.traces], streaming)
    spiking = [number for number, each in enumerate(circuit.layers) if each.unit.kind == "spikes"]
    pairs = {f"sweeps of layer{n}": (found.begun[k], cycles.begun[:, :, n]) for k, n in enumerate(spiking)}
    pairs |= {"offered": (found.results.offered, cycles.offered), "done": (found.results.done, cycles.done)}
    for name, (one, other) in pairs.items():
        if not np.array_equal(one, other):
            at = tuple(np.argwhere(one != other)[0].tolist())
            return f"{name}, {at}: cycle {one[at]} against {other[at]} of the formula"
    return None
