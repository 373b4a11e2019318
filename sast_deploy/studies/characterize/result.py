"""The characterization of runs: cells, the front of those that none beats, and what predicts cycles."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sast_deploy.studies.characterize.cells import Cell, Figure, Figures, make_cells
from sast_deploy.studies.characterize.claims import Claim, claims_of
from sast_deploy.studies.sweep.study import Study
from sast_deploy.studies.tables.groups import Group, by_data, group
from sast_deploy.studies.tables.records import Record, load_records

EVERY = "all"  # networks together
FEWEST, EXACT = 3, 8  # runs of a rank correlation; up to which all orders of them are tried
PREDICTORS: dict[str, Figure] = {
    "accuracy": lambda each: each.accuracy, "firing rate": lambda each: each.rate,
    "SynOps": lambda each: each.synops, "input events": lambda each: each.inputs,
    "hidden events": lambda each: each.hidden,
}  # fmt: skip


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of a figure with the cycles, over runs.

    network: EVERY, or the one whose runs these are. rho and p are None for fewer than three runs, and where
    one of the two is the same in every run; p: two-sided, see `rank_p`.
    """

    network: str
    predictor: str
    n: int
    rho: float | None
    p: float | None


@dataclass(frozen=True)
class Characterization:
    """Of the runs on one set of frames, compiled in one way.

    Fields:
        data: which, honestly. subject: profile and how its integers came about.
        front: labels of the cells than which no other has fewer cycles and a higher accuracy, on average.
        samples: on which circuits were counted; as many numbers as there are different ones.
    """

    data: str
    subject: str
    cells: tuple[Cell, ...]
    front: tuple[str, ...]
    correlations: tuple[Correlation, ...]
    claims: tuple[Claim, ...]
    samples: tuple[int, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """Shapes, in the order of their first cells."""
        return tuple(dict.fromkeys(each.network for each in self.cells))


def characterize(records: tuple[Record, ...]) -> tuple[Characterization, ...]:
    """One for each set of frames and each way of compiling whose circuits were counted; () without any."""
    found = []
    for data, groups in by_data(group(_placed(records))).items():
        runs = [run for each in groups for run in each.runs.values()]
        for subject in dict.fromkeys(name for run in runs for name in run.circuits):
            found.append(_characterized(data, subject, groups, runs))
    return tuple(found)


def _placed(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Runs that have not begun, on the frames that others of the same data have: they are missing there."""

    def data(each: Record) -> str:
        return json.dumps(each.config["data"], sort_keys=True)

    known = {data(each): each.data for each in records if each.data}
    return tuple(each if each.data else replace(each, data=known.get(data(each), {})) for each in records)


def characterize_runs(study: Study, runs: Path) -> tuple[Characterization, ...]:
    """Of what a study's folder holds of its runs, finished or not. Raises DataError as `load_records`."""
    names = {run.name for run in study.runs}
    return characterize(tuple(each for each in load_records([runs]) if each.name in names))


def _characterized(
    data: str, subject: str, groups: tuple[Group, ...], runs: Iterable[Record]
) -> Characterization:
    cells = make_cells(groups, subject)
    networks = dict.fromkeys(each.network for each in cells)
    samples = {run.circuits[subject]["samples"] for run in runs if subject in run.circuits}
    correlations = [
        correlate(name, [each for cell in cells if name in (EVERY, cell.network) for each in cell.figures])
        for name in ((EVERY, *networks) if len(networks) > 1 else networks)
    ]
    return Characterization(
        data, subject, cells, front_of(cells), tuple(one for each in correlations for one in each),
        tuple(claim for name in networks for claim in claims_of(name, cells)), tuple(sorted(samples)),
    )  # fmt: skip


def front_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Labels of the cells that none beats: as few cycles and as high an accuracy, and one of them better."""
    points = [
        (each.label, cycles.mean, accuracy.mean) for each in cells
        if (cycles := each.mean(lambda one: one.cycles)) and (accuracy := each.mean(lambda one: one.accuracy))
    ]  # fmt: skip
    return tuple(
        label for label, cycles, accuracy in sorted(points, key=lambda each: each[1])
        if not any(c <= cycles and a >= accuracy and (c, a) != (cycles, accuracy) for _, c, a in points)
    )  # fmt: skip


def correlate(network: str, runs: list[Figures]) -> tuple[Correlation, ...]:
    """Of every predictor with the cycles of the same runs."""
    cycles = np.array([each.cycles for each in runs])
    found = []
    for name, figure in PREDICTORS.items():
        values = np.array([figure(each) for each in runs])
        rho = p = None
        if len(runs) >= FEWEST and np.ptp(values) and np.ptp(cycles):
            rho = float(stats.spearmanr(values, cycles).statistic)
            p = rank_p(values, cycles)
        found.append(Correlation(network, name, len(runs), rho, p))
    return tuple(found)


def rank_p(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Two-sided p value of Spearman's rank correlation of values that are not all the same.

    Of up to 8 pairs exact: the share of all orders that correlate as much; beyond, scipy's Student's t with
    n - 2 degrees of freedom, which would call three in one order certain.
    """
    if len(a) > EXACT:
        return float(stats.spearmanr(a, b).pvalue)
    x, y = (stats.rankdata(each) - (len(a) + 1) / 2 for each in (a, b))
    products = np.array(list(itertools.permutations(x))) @ y
    return float(np.mean(np.abs(products) >= abs(x @ y) - 1e-9))
