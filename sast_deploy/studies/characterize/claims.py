"""What Aliyev, Lopez and Adegbija ("Surrogates, Spikes, and Sparsity", arXiv 2603.24891) found; ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sast_deploy.studies.characterize.cells import Cell

THEIR_SURROGATE, THEIR_NEURON = "spike-rate-escape", "lapicque"


@dataclass(frozen=True)
class Best:
    """A cell and its figure: percent of cycles, points of accuracy, or a ratio of cycles."""

    cell: str
    value: float
    interval: tuple[float, float] | None
    noise: bool | None


@dataclass(frozen=True)
class Claim:
    """One of the study's figures beside those of one network.

    Fields:
        what: it is about. theirs: their figure, in words. unit: of ours. same: ours of their own choice of
        surrogate or neuron. best: of any choice. kept: of those that keep the baseline's accuracy within
        noise, or its cycles where the claim is about accuracy. None: no such cell.
    """

    network: str
    what: str
    theirs: str
    unit: str
    same: Best | None
    best: Best | None
    kept: Best | None


def claims_of(network: str, cells: Iterable[Cell]) -> tuple[Claim, ...]:
    """All four of the cells of one network."""
    those = [each for each in cells if each.network == network and each.figures]
    surrogates = [each for each in those if each.neuron == "lif" and not each.is_baseline]
    neurons = [each for each in those if each.surrogate == "arctan" and not each.is_baseline]
    return (
        _fewest(network, "cycles by the surrogate", "-12.2 % with spike-rate escape (DVS128-Gesture)",
                surrogates, lambda each: each.surrogate == THEIR_SURROGATE),
        _fewest(network, "cycles by the neuron", "up to -28 % from LIF to Lapicque",
                neurons, lambda each: each.neuron == THEIR_NEURON),
        _gain(network, those),
        _spread(network, those),
    )  # fmt: skip


def _fewest(
    network: str, what: str, theirs: str, cells: list[Cell], same: Callable[[Cell], bool]
) -> Claim:
    def least(those: Iterable[Cell]) -> Best | None:
        return min((_best(each, "cycles") for each in those if "cycles" in each.changes),
                   key=lambda best: best.value, default=None)  # fmt: skip

    kept = [each for each in cells if each.keeps_accuracy]
    return Claim(network, what, theirs, "%", least(filter(same, cells)), least(cells), least(kept))


def _gain(network: str, cells: list[Cell]) -> Claim:
    def most(those: Iterable[Cell]) -> Best | None:
        return max((_best(each, "accuracy") for each in those if "accuracy" in each.changes),
                   key=lambda best: best.value, default=None)  # fmt: skip

    others = [each for each in cells if not each.is_baseline]
    kept = [each for each in others if "cycles" in each.changes
            and (each.changes["cycles"].noise is True or each.changes["cycles"].mean <= 0)]  # fmt: skip
    best, slow = most(others), most(kept)
    return Claim(network, "accuracy by the choice of both", "+9.1 %", "points", None, best, slow)


def _spread(network: str, cells: list[Cell]) -> Claim:
    """Slowest over fastest: what the choice is worth."""
    kept = [each for each in cells if each.keeps_accuracy or each.is_baseline]
    return Claim(network, "slowest over fastest", "> 2 x", "x", None, _ratio(cells), _ratio(kept))


def _ratio(cells: list[Cell]) -> Best | None:
    means = sorted((found.mean, each.label) for each in cells if (found := each.mean(lambda one: one.cycles)))
    if len(means) < 2:
        return None
    (least, fast), (most, slow) = means[0], means[-1]
    return Best(f"{slow} over {fast}", most / least, None, None)


def _best(cell: Cell, name: str) -> Best:
    found = cell.changes[name]
    return Best(cell.label, found.mean, found.interval, found.noise)
