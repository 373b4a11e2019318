"""The cycles of a circuit, exactly, from its events alone: see `FORMULA`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.compiled import compiled
from sast_deploy.rtl.events import events
from sast_deploy.rtl.plan import Ints, Plan

TAKE, DRAIN, FREE, READY, WRITTEN, ENCODE, ARRIVE, DONE = 3, 3, 2, 1, 7, 11, 4, 3
RESET = 1  # from the last cycle of clearing all sums to the first that takes an item up
LONG_AGO = -(1 << 62)
QUIET = 4  # times the cycles of a sample: longer no circuit takes for a result
Items = tuple[Ints, Ints, int, int]  # of a step: when events arrive, what each takes, how many; the end

FORMULA = """\
Items of a step, its events and its end, stand at a layer's entrance in cycles v_0 <= v_1 <= ...; event i
takes n_i cycles (words of weights at all its taps, at least one), K = rows of neurons, m_r = events of row r:

    q_i      = max(q_(i-1) + n_(i-1), v_i + 3, R)      item i is taken up (v_i + 4 where inputs have delays)
    begun    = max(q_end + 3, F, G)                    the sweep begins
    G        = begun + K + 7                           so that it reads what the last one wrote
    R'       = begun + K + 1                           the next step may come (+ K * slots, where sums of
                                                       several steps are kept, after a sample's last)
    e_0      = begun + 11,  e_(r+1) = e_r + max(1, m_r)          row r is encoded
    v'       = e_r + m + 4                             its m-th event stands at the next layer's entrance;
                                                       e_K + 4: the end
    F        = q_end of the next layer + 2

and of the last layer, in whose last step every class is an event: done = e_K + 3, F = done + 2. After a
reset R = K + 1 in every layer (K * slots + 1), counted from the first cycle without it: the sums are
cleared. Rows lie position by position, row by row of the map, at each all words of all groups of channels;
so do their events. Nothing else delays anything: a queue holds a whole step, and a sweep begins only when
the next layer has taken up all of the step before.
"""


@compiled()
def taken_up(arrivals: Any, costs: Any, items: int, end: int, ready: int, after: int) -> tuple[int, int]:
    """(q_end, the arrival since which the layer was never idle; LONG_AGO: it was not ready before)."""
    at, since = ready, LONG_AGO
    for i in range(items):
        if arrivals[i] + after > at:
            at, since = arrivals[i] + after, arrivals[i]
        at += costs[i]
    if end + after > at:
        at, since = end + after, end
    return at, since


@compiled()
def encoded(fires: Any, costs: Any, begun: int, arrivals: Any, taken: Any) -> tuple[int, int]:
    """(events, the cycle of the end) of rows (rows, lanes) of outputs; where and at what cost each arrives.

    costs: of every output at the next layer. arrivals, taken: filled.
    """
    at, count = begun + ENCODE, 0
    for row in range(fires.shape[0]):
        found = 0
        for lane in range(fires.shape[1]):
            if fires[row, lane]:
                arrivals[count] = at + found + ARRIVE
                taken[count] = costs[row, lane]
                count += 1
                found += 1
        at += max(1, found)
    return count, at


@dataclass(frozen=True, eq=False)
class SampleCycles:
    """When what happened in one sample; int64 (steps, layers).

    begun: the sweep. ends: q_end. since: the arrival of an item since which the layer was busy without a
    pause until q_end; LONG_AGO: since it was ready. offered, done: the first and the last cycle.
    """

    offered: int
    begun: Ints
    ends: Ints
    since: Ints
    done: int


class Clockwork:
    """The circuit's cycles, sample after sample. All states are those after a reset; cycle 0 is the first."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.orders = [unit.neurons() for unit in plan.units]
        self.input_costs = [unit.cycles().ravel() for unit in plan.units]
        self.next_costs = []
        for order, costs in zip(self.orders, [*self.input_costs[1:], np.zeros(1, np.int64)], strict=True):
            known = np.minimum(np.maximum(order, 0), len(costs) - 1)  # the last layer sends to nobody
            self.next_costs.append(np.where(order >= 0, costs[known], 0))
        sizes = [order.size for order in self.orders]
        self.arrivals = [np.zeros(size + 1, np.int64) for size in sizes]
        self.costs = [np.zeros(size + 1, np.int64) for size in sizes]
        self.reset()

    def reset(self) -> None:
        """As after a reset: every layer clears its sums first."""
        units = self.plan.units
        self.ready = [unit.row_count * unit.slots + RESET for unit in units]
        self.free, self.written = [LONG_AGO] * len(units), [LONG_AGO] * len(units)

    def idle(self) -> None:
        """As a while after a sample: nothing is under way."""
        self.ready = [LONG_AGO] * len(self.ready)
        self.free = [LONG_AGO] * len(self.free)
        self.written = [LONG_AGO] * len(self.free)

    def sample(self, outputs: list[npt.NDArray[Any]], offered: int) -> SampleCycles:
        """The cycles of one sample.

        outputs: of the input and of every layer but the last, bool (time, inputs or neurons), C, H, W order:
        which are events. offered: the cycle from which on the sample's items stand at the entrance.
        """
        layers, steps = len(self.plan.units), len(outputs[0])
        begun, ends, since = np.zeros((3, steps, layers), np.int64)
        for t in range(steps):
            costs = self.input_costs[0][outputs[0][t]]
            items = np.full(len(costs), offered), costs, len(costs), offered
            for number in range(layers):
                ends[t, number], since[t, number] = self._take(number, items)
                begun[t, number] = self._sweep(number, int(ends[t, number]), last=t == steps - 1)
                if number < layers - 1:
                    items = self._send(number, outputs[number + 1][t], int(begun[t, number]))
        return SampleCycles(offered, begun, ends, since, self._read(int(begun[-1, -1])))

    def _take(self, number: int, items: Items) -> tuple[int, int]:
        """(q_end, since) of one layer, after which the one before it is free."""
        arrivals, costs, count, end = items
        after = TAKE + (len(self.plan.units[number].delays) > 1)
        q_end, since = taken_up(arrivals, costs, count, end, self.ready[number], after)
        if number:
            self.free[number - 1] = q_end + FREE
        return q_end, since

    def _sweep(self, number: int, q_end: int, last: bool) -> int:
        """The cycle in which a sweep begins, after which the layer is ready again."""
        unit = self.plan.units[number]
        begun = max(q_end + DRAIN, self.free[number], self.written[number])
        self.written[number] = begun + unit.row_count + WRITTEN
        left = unit.row_count * unit.slots if last and unit.slots > 1 else 0
        self.ready[number] = begun + unit.row_count + READY + left
        return begun

    def _send(self, number: int, outputs: npt.NDArray[Any], begun: int) -> Items:
        """What stands at the entrance of the layer behind one, of one step."""
        order = self.orders[number]
        fires = outputs[np.maximum(order, 0)] & (order >= 0)
        arrivals, costs = self.arrivals[number], self.costs[number]
        count, end = encoded(fires, self.next_costs[number], begun, arrivals, costs)
        return arrivals, costs, count, end + ARRIVE

    def _read(self, begun: int) -> int:
        """The cycle in which the result is there, of the last step: every class is an event then."""
        classes = (self.orders[-1] >= 0).sum(axis=1)
        done = begun + ENCODE + int(np.maximum(classes, 1).sum()) + DONE
        self.free[-1] = done + FREE
        return done


@dataclass(frozen=True, eq=False)
class Cycles:
    """Of all samples: begun int64 (samples, steps, layers), of each sweep; offered, done (samples,)."""

    begun: Ints
    offered: Ints
    done: Ints


def run_cycles(
    plan: Plan, frames: npt.NDArray[Any], spikes: Sequence[npt.NDArray[Any]], streaming: bool
) -> Cycles:
    """Of samples one after the other, after a reset; cycle 0 is the first without it.

    frames: (samples, time, C, H, W). spikes: as in `events`. streaming: all items stand at the entrance from
    cycle 1 on; else a sample's do from the cycle after the result of the one before.
    """
    works, trains = Clockwork(plan), events(plan, frames, spikes)
    begun, offered, done = [], [], []
    at = 1
    for sample in range(len(frames)):
        each = works.sample([train[sample] for train in trains], at)
        begun.append(each.begun)
        offered.append(at)
        done.append(each.done)
        at = 1 if streaming else each.done + 1
    return Cycles(np.array(begun), np.array(offered), np.array(done))


def most_cycles(plan: Plan, steps: int) -> int:
    """What no sample of so many steps exceeds: every input an event, every neuron a spike."""
    total = 0
    for unit in plan.units:
        total += int(unit.cycles().sum()) + unit.row_count * (unit.slots + 1)
        total += 3 * math.prod(unit.out_shape) + 40
    return total * (steps + 1)


def patience(plan: Plan, steps: int) -> int:
    """Cycles without a result of such a sample after which a circuit hangs; a bench counts in 32 bits."""
    return min(QUIET * most_cycles(plan, steps) + 1000, (1 << 31) - 1)
