"""The lanes of a circuit for a budget of memories and multipliers: a front of cycles against neurons at once.

From one lane in every layer on, the layer is widened that saves most cycles for each lane it takes, to the
next number of lanes with fewer rows of neurons (of two with as many rows the smaller one costs less and is
as fast). What exceeds the budget is left out, until no layer can be widened. A search of that kind may miss
a circuit; what it finds is measured, cycle by cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import task
from sast_deploy.program.program import Program
from sast_deploy.reports.costs.cycles import Trains, alone
from sast_deploy.rtl.budget import DEVICES, uses
from sast_deploy.rtl.memories import build_layers
from sast_deploy.rtl.plan import LANES_MAX, Plan, plan_circuit, weighted_outputs


@dataclass(frozen=True)
class Budget:
    """What a circuit may take: block memories of 18 kbit and multipliers. name: for people."""

    name: str
    blocks: int
    multipliers: int


@dataclass(frozen=True)
class LaneChoice:
    """One circuit. cycles: mean of a sample alone; lanes of every layer with weights, together `width`."""

    lanes: tuple[int, ...]
    width: int
    cycles: float
    blocks: int
    multipliers: int


@dataclass(frozen=True)
class LaneFront:
    """The circuits of which none is both faster and narrower, the narrowest first; tried: how many were
    measured.
    """

    budget: Budget
    samples: int
    tried: int
    front: tuple[LaneChoice, ...]


def device_budget(name: str) -> Budget:
    """That of a device; UsageError: none of that name."""
    if name not in DEVICES:
        raise UsageError(f"target {name!r}", expected=f"one of {', '.join(DEVICES)}")
    device = DEVICES[name]
    return Budget(device.name, device.blocks, device.multipliers)


def useful_lanes(outputs: int) -> list[int]:
    """The smallest number of lanes for every number of rows, increasing."""
    most = min(outputs, LANES_MAX)
    return sorted({-(-outputs // rows) for rows in range(1, outputs + 1) if -(-outputs // rows) <= most})


def search_lanes(program: Program, trains: Trains, budget: Budget) -> LaneFront:
    """The front within a budget. Raises CompileError: what the circuit does not hold, UsageError: no
    circuit fits.
    """
    search = _Search(program, trains, budget)
    check_budget(program, budget)
    with task("lanes", None) as counted:
        for _ in search.widen():
            counted.advance(1)
    front, best = [], float("inf")
    for choice in sorted(search.found.values(), key=lambda each: (each.width, each.cycles)):
        if choice.cycles < best:
            front.append(choice)
            best = choice.cycles
    return LaneFront(budget, len(trains.samples), len(search.found), tuple(front))


def check_budget(program: Program, budget: Budget) -> None:
    """Raise UsageError where not even one lane in every layer fits; CompileError as `plan_circuit`."""
    blocks, multipliers = _taken(plan_circuit(program, [1] * len(weighted_outputs(program))))
    if blocks > budget.blocks or multipliers > budget.multipliers:
        what = f"one lane in every layer takes {blocks} block memories and {multipliers} multipliers"
        most = f"at most {budget.blocks} and {budget.multipliers}, those of {budget.name}"
        raise UsageError(what, expected=most)


def _taken(plan: Plan) -> tuple[int, int]:
    used = uses(build_layers(plan))
    return sum(use.blocks for use in used), sum(use.multipliers for use in used)


class _Search:
    def __init__(self, program: Program, trains: Trains, budget: Budget) -> None:
        self.program, self.trains, self.budget = program, trains, budget
        self.steps = [useful_lanes(outputs) for _, outputs in weighted_outputs(program)]
        self.found: dict[tuple[int, ...], LaneChoice] = {}
        self.too_large: set[tuple[int, ...]] = set()

    def widen(self) -> Iterator[LaneChoice]:
        """Every circuit that is measured."""
        at = tuple(0 for _ in self.steps)
        here = self._measured(at)
        assert here is not None  # `check_budget`
        yield here
        while True:
            wider = [tuple(np.add(at, unit)) for unit in np.eye(len(at), dtype=int).tolist()]
            choices = [(each, found) for each in wider if (found := self._measured(each)) is not None]
            yield from (found for _, found in choices)
            if not choices:
                return
            saved = [(here.cycles - found.cycles) / (found.width - here.width) for _, found in choices]
            at, here = choices[int(np.argmax(saved))]

    def _measured(self, at: Sequence[int]) -> LaneChoice | None:
        """None where a layer is as wide as it gets, or the budget exceeded."""
        if any(place >= len(steps) for place, steps in zip(at, self.steps, strict=True)):
            return None
        lanes = tuple(steps[place] for place, steps in zip(at, self.steps, strict=True))
        if lanes in self.found or lanes in self.too_large:
            return self.found.get(lanes)
        plan = plan_circuit(self.program, lanes, len(self.trains.samples[0][0]))
        blocks, multipliers = _taken(plan)
        if blocks > self.budget.blocks or multipliers > self.budget.multipliers:
            self.too_large.add(lanes)
            return None
        cycles = float(alone(plan, self.trains).mean())
        self.found[lanes] = LaneChoice(lanes, sum(lanes), cycles, blocks, multipliers)
        return self.found[lanes]
