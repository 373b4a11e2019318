"""How long a circuit takes for an inference, cycle by cycle, and what the result waits for.

Cycles follow exactly from the events that the fast engine records (rtl/timing.py). The way to a result
leads back from its last cycle through whatever came last each time: an event that was added up, a sweep,
the encoding of the spikes before it. So every cycle of a latency belongs to one layer and one phase, and
all of them add up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program
from sast_deploy.reports.costs.traced import traced
from sast_deploy.rtl import timing
from sast_deploy.rtl.events import Events, events
from sast_deploy.rtl.plan import Ints, Plan, plan_circuit
from sast_deploy.rtl.timing import LONG_AGO, Clockwork, SampleCycles

Phase = Literal["accumulate", "sweep", "encode"]
PHASES: tuple[Phase, ...] = ("accumulate", "sweep", "encode")


@dataclass(frozen=True)
class LayerCycles:
    """One layer of the circuit, all steps, means over samples.

    lanes, rows: of its neurons. events: that it takes. accumulate, sweep, encode: cycles in which it does
    that, beside the others. waits: cycles of the latency that the result waits for it, by phase.
    """

    layer: str
    lanes: int
    rows: int
    events: float
    accumulate: float
    sweep: float
    encode: float
    waits: dict[str, float]


@dataclass(frozen=True, eq=False)
class Trains:
    """The events of samples, so that the cycles of many circuits can be counted: one list for each sample
    of bool (time, inputs) of every layer.
    """

    samples: tuple[list[Events], ...]

    @property
    def steps(self) -> int:
        """Of every sample."""
        return len(self.samples[0][0])


def record_trains(program: Program, frames: Frames) -> Trains:
    """Run frames (samples, time, C, H, W) once in the fast engine. Raises as the engine."""
    plan, found = plan_circuit(program, None, frames.shape[1]), []
    for piece in traced(program, frames, "spikes"):
        each = events(plan, piece.frames, [trace.spikes for trace in piece.traces])
        found += [[train[n] for train in each] for n in range(len(piece.frames))]
    return Trains(tuple(found))


def alone(plan: Plan, trains: Trains) -> Ints:
    """int64 (samples,): cycles of every sample, each alone."""
    works = Clockwork(plan)
    found = []
    for outputs in trains.samples:
        works.idle()
        found.append(works.sample(outputs, 0).done)
    return np.array(found, np.int64)


def count_busy(works: Clockwork, outputs: list[Events], busy: Ints, taken: Ints) -> None:
    """Add what each layer does in a sample: cycles by phase, and events."""
    plan = works.plan
    for number, unit in enumerate(plan.units):
        steps = len(outputs[number])
        busy[number, 0] += int((outputs[number] @ works.input_costs[number]).sum())
        taken[number] += int(outputs[number].sum())
        busy[number, 1] += steps * unit.row_count
        order = works.orders[number]
        there = order >= 0
        if number + 1 < len(outputs):
            fires = outputs[number + 1][:, np.maximum(order, 0)] & there
            busy[number, 2] += int(np.maximum(fires.sum(axis=2), 1).sum())
        else:
            busy[number, 2] += int(np.maximum(there.sum(axis=1), 1).sum())


def streaming(plan: Plan, trains: Trains) -> int:
    """The cycle of the last result, where all samples stand at the entrance at once and nothing is under
    way.
    """
    works, done = Clockwork(plan), 0
    works.idle()
    for outputs in trains.samples:
        done = works.sample(outputs, 0).done
    return done


def waited(plan: Plan, sample: SampleCycles) -> Ints:
    """int64 (layers, phases): every cycle of a sample's latency, by what the result waited for.

    The way back from the result: a sweep follows the last sum, or the next layer, or the sweep before it;
    the last sum follows a stretch in which the layer was never idle, which began when an event came, or
    when it was ready.
    """
    units = plan.units
    found = np.zeros((len(units), len(PHASES)), np.int64)
    accumulate, sweep, encode = range(len(PHASES))
    t, layer = len(sample.begun) - 1, len(units) - 1
    found[layer, encode] += sample.done - sample.begun[t, layer]
    while True:
        begun, end = int(sample.begun[t, layer]), int(sample.ends[t, layer])
        if end + timing.DRAIN == begun:
            found[layer, accumulate] += timing.DRAIN
        elif layer + 1 < len(units) and int(sample.ends[t - 1, layer + 1]) + timing.FREE == begun:
            found[layer + 1, accumulate] += timing.FREE
            t, layer = t - 1, layer + 1
            end = int(sample.ends[t, layer])
        else:
            found[layer, sweep] += begun - sample.begun[t - 1, layer]
            t -= 1
            continue
        since = int(sample.since[t, layer])
        if since == LONG_AGO:
            ready = int(sample.begun[t - 1, layer]) + units[layer].row_count + timing.READY
            found[layer, accumulate] += end - ready
            found[layer, sweep] += ready - sample.begun[t - 1, layer]
            t -= 1
            continue
        found[layer, accumulate] += end - since
        if layer == 0:
            return found
        layer -= 1
        found[layer, encode] += since - sample.begun[t, layer]
