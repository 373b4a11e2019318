"""Random programs that a circuit holds, lanes and frames for them, and the comparison with the reference.

    program, frames, lanes = any_circuit(17)
    differences(circuit_of(program, lanes), frames, icarus(), streaming=True)  # None, or the first in words
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
from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.program import Dense, Layer, Program, Readout, frozen_ints
from sast_deploy.program.record import SpikeRecord, first_difference
from sast_deploy.rtl import timing
from sast_deploy.rtl.circuit import Circuit, make_circuit
from sast_deploy.rtl.plan import plan_circuit, weighted_outputs
from tests.anyprogram import Seeded, any_frames, any_program, any_rules
from tests.programs import RULES, conv, dense, readout

FAMILY = 14  # of seeds: apart from those of other tests
WEIGHT_BITS = (4, 8, 2, 3, 5)
STEPS_MAX = 20  # an interpreter of Verilog is slow
SAMPLES = 3
LOWEST = -3  # of inputs, where some are negative
Frames = npt.NDArray[np.int64]


def any_circuit(seed: int) -> tuple[Program, Frames, tuple[int, ...]]:
    """A program of `anyprogram` without what a circuit refuses, frames, and lanes of layers with weights.

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


def busy_program(steps: int = 3) -> Program:
    """Two layers of six neurons that always fire, in one row of a circuit or in several, and a readout."""
    rng = np.random.default_rng(6)
    layers = [dense(rng, inputs, 6, weight=1) for inputs in (3, 6)]
    always = {"bias": frozen_ints([20] * 6), "vth": frozen_ints(np.arange(-3, 3)), "weight_exp": -2}
    busy = tuple(replace(layer, **always) for layer in layers)
    return Program("busy", (3, 1, 1), 4, steps, ("a", "b"), RULES, (*busy, readout(rng, 6, 2)), 0)


def lone_readout(decoding: str = "last") -> Program:
    """A readout alone, which leaks, and of whose classes two are the same."""
    weight, bias = frozen_ints([[1, -2, 3], [2, 0, 1], [2, 0, 1]]), frozen_ints([-2, 5, 5])
    layer = Readout(weight, bias, 0, v_decay=frozen_ints([1000]), decoding=decoding)
    return Program("lone", (3, 1, 1), 4, 5, ("a", "b", "c"), RULES, (layer,), 0)


def tabled_program() -> Program:
    """Two groups of channels, a delay for each input, and no two neurons alike: every kind of memory."""
    rng = np.random.default_rng(3)
    rules = replace(RULES, state=QFormat(16, 4), shift_rounding="half-even", leak_rounding="half-even")
    first = conv(rng, 2, 4, kernel=(2, 2), stride=(1, 1), padding=(0, 0), groups=2)
    first = replace(
        first, weight_exp=5, bias=frozen_ints([90, 80, 70, 60]), v_decay=frozen_ints([900, 1801, 2700, 350]),
        u_decay=frozen_ints([1001, 2000, 4096, 3000]),
    )  # fmt: skip
    second = replace(dense(rng, 48, 5), weight_exp=-1, delay=frozen_ints(1 + rng.integers(0, 3, 48)))
    second = replace(second, bias=frozen_ints([19, 18, 17, 16, 15]))
    layers = (first, second, readout(rng, 5, 3))
    return Program("tabled", (2, 4, 5), 3, 6, ("a", "b", "c"), rules, layers, 0)


def alternating_frames(program: Program, samples: int) -> Frames:
    """Steps in which every input is an event and steps without any, in turn, and samples of either alone."""
    frames = np.zeros((samples, program.steps, *program.input_shape), np.int64)
    frames[::3, ::2] = program.input_max
    frames[1::3] = 1
    return frames
