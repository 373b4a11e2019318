"""The latency of a network's circuit: a distribution over samples, what it waits for, and a search for
lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program
from sast_deploy.reports.costs.cycles import (
    PHASES,
    LayerCycles,
    Trains,
    count_busy,
    record_trains,
    streaming,
    waited,
)
from sast_deploy.reports.costs.lanes import LaneFront, LaneSpace, search_lanes
from sast_deploy.rtl.budget import Use, uses
from sast_deploy.rtl.memories import build_layers
from sast_deploy.rtl.plan import Plan, plan_circuit
from sast_deploy.rtl.timing import Clockwork

LATENCY_VERSION = 1
MANY_ROWS = 64  # of neurons, from which on their sweeps are worth a note
PRICE_NOTE = "no energy: no source prices a cycle of this circuit"


@dataclass(frozen=True)
class CircuitLatency:
    """Cycles of an inference over samples: a sample alone, from its first item to its result.

    data: facts of the samples. mean, least, median, p99, worst: cycles; one of the samples has the median
    (the lower of two), and the 99th percentile. streaming: cycles per sample where one follows the other
    without a pause. mhz: of the clock that somebody named, or None; seconds are cycles / (mhz * 1e6). use:
    block memories and multipliers of every layer, estimated. front: of a search for lanes.

    >>> found = sast.latency(net, frames, lanes=[1, 1])
    >>> found.least <= found.median <= found.p99 <= found.worst, [use.blocks for use in found.use]
    (True, [0, 0])
    """

    name: str
    data: Mapping[str, Any]
    samples: int
    steps: int
    lanes: tuple[int, ...]
    mean: float
    least: int
    median: int
    p99: int
    worst: int
    streaming: float
    mhz: float | None
    layers: tuple[LayerCycles, ...]
    use: tuple[Use, ...]
    front: LaneFront | None
    notes: tuple[str, ...]

    def seconds(self, cycles: float) -> float | None:
        """Of so many cycles, where the clock is known."""
        return None if self.mhz is None else cycles / (self.mhz * 1e6)

    @property
    def binds(self) -> tuple[str, str, float]:
        """(layer, phase, share of the mean latency) of what the result waits for longest."""
        waits = {(each.layer, phase): cycles for each in self.layers for phase, cycles in each.waits.items()}
        layer, phase = max(waits, key=lambda key: waits[key])
        return layer, phase, waits[layer, phase] / self.mean

    def to_dict(self) -> dict[str, Any]:
        """For JSON; seconds beside cycles where the clock is known."""
        named = {name: getattr(self, name) for name in ("mean", "least", "median", "p99", "worst")}
        seconds = None if self.mhz is None else {name: self.seconds(each) for name, each in named.items()}
        layer, phase, share = self.binds
        return {
            "latency_version": LATENCY_VERSION, **asdict(self), "seconds": seconds,
            "binds": {"layer": layer, "phase": phase, "share": share},
        }  # fmt: skip


def latency_of(
    program: Program, frames: Frames, name: str, data: Mapping[str, Any], lanes: Sequence[int] | None = None,
    mhz: float | None = None, space: LaneSpace | None = None,
) -> CircuitLatency:  # fmt: skip
    """Cycles over frames (samples, time, C, H, W), at least one sample of at least one step.

    Raises:
        CompileError: what the circuit does not hold. UsageError: lanes that do not fit.
    """
    plan = plan_circuit(program, lanes, frames.shape[1])
    trains = record_trains(program, frames)
    front = None if space is None else search_lanes(space, trains)
    return of_trains(plan, trains, name, data, mhz, front)


def of_trains(
    plan: Plan, trains: Trains, name: str, data: Mapping[str, Any], mhz: float | None = None,
    front: LaneFront | None = None,
) -> CircuitLatency:  # fmt: skip
    """The same of events that were recorded."""
    works = Clockwork(plan)
    units, samples = plan.units, len(trains.samples)
    done, waits = np.empty(samples, np.int64), np.zeros((len(units), len(PHASES)), np.int64)
    busy, taken = np.zeros((len(units), len(PHASES)), np.int64), np.zeros(len(units), np.int64)
    for n, outputs in enumerate(trains.samples):
        works.idle()
        sample = works.sample(outputs, 0)
        done[n] = sample.done
        waits += waited(plan, sample)
        count_busy(works, outputs, busy, taken)
    order = np.sort(done)
    steps = len(trains.samples[0][0])
    layers = tuple(
        LayerCycles(
            unit.label, unit.lanes, unit.row_count, float(taken[number] / samples),
            **dict(zip(PHASES, (busy[number] / samples).tolist(), strict=True)),
            waits=dict(zip(PHASES, (waits[number] / samples).tolist(), strict=True)),
        )
        for number, unit in enumerate(units)
    )  # fmt: skip
    return CircuitLatency(
        name, data, samples, steps, plan.lanes, float(done.mean()), int(order[0]),
        int(order[(samples - 1) // 2]), int(order[-(-99 * samples // 100) - 1]), int(order[-1]),
        streaming(plan, trains) / samples, mhz, layers,
        uses(build_layers(plan)), front, _notes(plan),
    )  # fmt: skip


def _notes(plan: Plan) -> tuple[str, ...]:
    sweeps = [unit.label for unit in plan.units if unit.row_count > MANY_ROWS]
    notes = [PRICE_NOTE, "input stands ready, one event a cycle: a camera or a bus adds its own time"]
    if sweeps:
        notes.append(f"rows of neurons are swept in every step, active or not: {', '.join(sweeps)}")
    return tuple(notes)
