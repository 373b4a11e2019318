"""The lanes of a circuit for a budget of memories and multipliers: a front of cycles against neurons at once.

What a layer takes depends on its own lanes alone, and so do the cycles in which it is busy. So every
combination is priced from one table a layer, the useful numbers of lanes of each (of two with as many rows
of neurons the smaller one is as fast and costs less). Of those that fit, the ones of each width that
promise to be fastest are measured, cycle by cycle, and the front is that of what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import task
from sast_deploy.program.program import Program
from sast_deploy.reports.costs.cycles import Trains, alone
from sast_deploy.rtl.budget import DEVICES, Use, uses
from sast_deploy.rtl.memories import build_layers
from sast_deploy.rtl.plan import LANES_MAX, Ints, Unit, plan_circuit, weighted_outputs

COMBINATIONS = 1_000_000  # that are priced at most
OF_EACH = 2  # combinations of a width that are measured
OTHERS = 0.2  # of the cycles of the layers that are not busiest: what a result may wait for besides
WORSE = 1.1  # times the best promise of a narrower circuit: what is measured all the same


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


@dataclass(frozen=True, eq=False)
class LaneSpace:
    """Every combination that is looked at: lanes of each layer with weights, and what fits.

    lanes: of every layer, increasing. units: every layer at each of its lanes. blocks, multipliers, width: of
    every combination, int64, one axis a layer. fits: bool, likewise.
    """

    program: Program
    budget: Budget
    lanes: tuple[tuple[int, ...], ...]
    units: tuple[tuple[Unit, ...], ...]
    blocks: Ints
    multipliers: Ints
    width: Ints
    fits: npt.NDArray[np.bool_]

    def at(self, index: Sequence[int]) -> tuple[int, ...]:
        """The lanes of a combination."""
        return tuple(each[place] for each, place in zip(self.lanes, index, strict=True))


def lane_space(program: Program, budget: Budget) -> LaneSpace:
    """Price every combination.

    Raises CompileError: what the circuit does not hold; UsageError: a budget that no lanes fit.
    """
    lanes = _thinned([useful_lanes(outputs) for _, outputs in weighted_outputs(program)])
    priced = [_priced(program, lanes, position) for position in range(len(lanes))]
    units = tuple(tuple(unit for unit, _, _ in each) for each in priced)
    blocks = _summed([[use.blocks for _, use, _ in each] for each in priced]) + priced[0][0][2]
    multipliers = _summed([[use.multipliers for _, use, _ in each] for each in priced])
    fits = (blocks <= budget.blocks) & (multipliers <= budget.multipliers)
    space = LaneSpace(program, budget, lanes, units, blocks, multipliers, _summed(lanes), fits)
    if not space.fits.any():
        fewest = int(space.blocks.min()), int(space.multipliers.min())
        what = f"{fewest[0]} block memories and {fewest[1]} multipliers at least, or more of one"
        least = f"{budget.blocks} block memories and {budget.multipliers} multipliers"
        raise UsageError(what, expected=f"at most those of {budget.name}, {least}")
    return space


def search_lanes(space: LaneSpace, trains: Trains) -> LaneFront:
    """The front of what fits."""
    found = []
    tried = list(_promising(space, trains))
    with task("lanes", len(tried)) as counted:
        for index in tried:
            lanes = space.at(index)
            cycles = float(alone(plan_circuit(space.program, lanes, trains.steps), trains).mean())
            priced = (int(part[index]) for part in (space.blocks, space.multipliers))
            found.append(LaneChoice(lanes, int(space.width[index]), cycles, *priced))
            counted.advance(1)
    front, best = [], float("inf")
    for choice in sorted(found, key=lambda each: (each.width, each.cycles)):
        if choice.cycles < best:
            front.append(choice)
            best = choice.cycles
    return LaneFront(space.budget, len(trains.samples), len(found), tuple(front))


def _promising(space: LaneSpace, trains: Trains) -> Iterator[tuple[int, ...]]:
    """Of every width the combinations that fit and whose busiest layers are least busy.

    A result waits for little but the busiest layer: at most for all layers, one after the other.
    """
    numbers = [n for n, unit in enumerate(plan_circuit(space.program).units) if unit.layer is not None]
    busy = [_busy(units, trains, number) for units, number in zip(space.units, numbers, strict=True)]
    most = np.zeros(space.width.shape)
    for axis, each in enumerate(busy):
        most = np.maximum(most, each.reshape([-1 if n == axis else 1 for n in range(len(busy))]))
    promised = np.where(space.fits, most + OTHERS * (_summed(busy) - most), np.inf)
    best = np.inf
    for width in np.unique(space.width[space.fits]).tolist():
        index = np.flatnonzero((space.width == width) & space.fits)
        order = index[np.argsort(promised.ravel()[index], kind="stable")[:OF_EACH]]
        if promised.ravel()[order[0]] < best * WORSE:
            best = min(best, float(promised.ravel()[order[0]]))
            yield from (tuple(map(int, np.unravel_index(one, space.width.shape))) for one in order)


def _busy(units: Sequence[Unit], trains: Trains, number: int) -> npt.NDArray[np.float64]:
    """Cycles that one layer is busy for in a sample, mean, by its lanes: adding up and sweeping.

    number: of the layer in the circuit.
    """
    found = []
    for unit in units:
        costs = unit.cycles().ravel()
        taken = sum(float((outputs[number] @ costs).sum()) for outputs in trains.samples)
        found.append(taken / len(trains.samples) + trains.steps * unit.row_count)
    return np.array(found)


def _priced(
    program: Program, lanes: Sequence[Sequence[int]], position: int
) -> list[tuple[Unit, Use, int]]:
    """One layer with weights by its lanes: planned, what it takes, and the blocks of all without."""
    found = []
    for each in lanes[position]:
        chosen = [each if n == position else group[0] for n, group in enumerate(lanes)]
        layers = build_layers(plan_circuit(program, chosen))
        used = list(zip((layer.unit for layer in layers), uses(layers), strict=True))
        unit, use = [(unit, use) for unit, use in used if unit.layer is not None][position]
        found.append((unit, use, sum(use.blocks for unit, use in used if unit.layer is None)))
    return found


def _summed(tables: Sequence[Any]) -> npt.NDArray[Any]:
    """The sum of one entry of every table, for all combinations; one axis a table."""
    total = np.zeros((), np.int64)
    for table in tables:
        total = total[..., None] + np.asarray(table)
    return np.asarray(total)


def _thinned(lanes: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Evenly spread ones of each, the least and the most among them, where there are too many
    combinations.
    """
    most = max(2, int(COMBINATIONS ** (1 / len(lanes))))
    if math.prod(map(len, lanes)) <= COMBINATIONS:
        return tuple(map(tuple, lanes))
    spread = [sorted({each[round(at)] for at in np.linspace(0, len(each) - 1, most)}) for each in lanes]
    return tuple(map(tuple, spread))
