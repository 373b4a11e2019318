"""Several networks held against each other: who is on the front, and which to take for which budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sast_deploy.base.text import percent, percent_given
from sast_deploy.reports.accuracy import mcnemar
from sast_deploy.reports.dossier import Axis, Choice, NetworkFacts, Take

OPERATIONS = "operations"
ALIKE = 0.05  # p from which on two accuracies cannot be told apart

Value = Callable[[NetworkFacts], float]


def choose(networks: Sequence[NetworkFacts]) -> Choice:
    """Every axis with its front, and what follows. Networks without accuracy are on no front."""
    axes = tuple(_axis(networks, *each) for each in _axes(networks))
    same = len({_samples(each) for each in networks}) == 1
    best = _best(networks)
    p = tuple(_p(best, each) if same else None for each in networks)
    caution = "" if same else "the networks were not measured on the same samples"
    advice = tuple(_advice(networks, axes, best, p))
    return Choice(axes, None if best is None else best.name, p, advice, caution)


def _axes(networks: Sequence[NetworkFacts]) -> Iterator[tuple[str, str, Value]]:
    yield OPERATIONS, "thousand SynOps per inference", lambda each: each.synops / 1000
    if all(each.cost.energy is not None for each in networks):
        yield "energy", "µJ per inference", _microjoules
    if all(each.cost.latency is not None for each in networks):
        yield "latency", "µs per inference", _microseconds
    yield "memory", "KiB of parameters", lambda each: each.packed_bytes / 1024


def _microjoules(network: NetworkFacts) -> float:
    return 0.0 if network.cost.energy is None else 1e6 * network.cost.energy.joules


def _microseconds(network: NetworkFacts) -> float:
    return 0.0 if network.cost.latency is None else 1e6 * network.cost.latency.median


def _axis(networks: Sequence[NetworkFacts], name: str, unit: str, value: Value) -> Axis:
    values = [value(each) for each in networks]
    shares = [None if each.accuracy is None else each.accuracy.value for each in networks]
    on = pareto(values, shares)
    ends = [*(values[index] for index in on[1:]), None]
    front = tuple(
        Take(networks[index].name, values[index], end, shares[index] or 0.0)
        for index, end in zip(on, ends, strict=False)
    )
    return Axis(name, unit, tuple(values), front)


def pareto(costs: Sequence[float], gains: Sequence[float | None]) -> list[int]:
    """Indices of the front, the cheapest first: none costs as little and gains more, or less and as much.

    Of several alike the first stands for all.
    """
    found: list[int] = []
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -(gains[index] or 0.0), index))
    for index in order:
        gain = gains[index]
        if gain is not None and all(gain > (gains[each] or 0.0) for each in found):
            found.append(index)
    return found


def _samples(network: NetworkFacts) -> tuple[str, ...]:
    told = network.manifest.data
    return tuple(told.get(key, "") for key in ("data set", "frames", "test split", "samples"))


def _best(networks: Sequence[NetworkFacts]) -> NetworkFacts | None:
    """The most accurate, of several the one with the fewest operations."""
    judged = [each for each in networks if each.accuracy is not None]
    return max(judged, key=lambda each: (_share(each), -each.synops), default=None)


def _share(network: NetworkFacts) -> float:
    return network.accuracy.value if network.accuracy else 0.0


def _p(best: NetworkFacts | None, other: NetworkFacts) -> float | None:
    if best is None or best.right is None or other.right is None or len(best.right) != len(other.right):
        return None
    return mcnemar(np.asarray(best.right), np.asarray(other.right)).p


def _advice(
    networks: Sequence[NetworkFacts], axes: Sequence[Axis], best: NetworkFacts | None,
    p: Sequence[float | None],
) -> Iterator[str]:  # fmt: skip
    """The best, and for each axis the cheapest that cannot be told from it."""
    if best is None or best.accuracy is None:
        return
    yield f"{best.name} is right most often, {percent(best.accuracy.value)}."
    alike = [index for index, each in enumerate(p) if each is not None and each >= ALIKE]
    for axis in axes:
        if not alike:
            return
        index = min(alike, key=lambda each: (axis.values[each], -_share(networks[each]), each))
        least, most = axis.values[index], axis.values[networks.index(best)]
        if least < most:
            fewer = "fewer" if axis.name == OPERATIONS else "less"
            saved = f"{percent_given(round(1 - least / most, 2))} {fewer} {axis.name}"
            yield (
                f"{networks[index].name} needs {saved} ({least:,.4g} against {most:,.4g} {axis.unit}), and "
                f"its accuracy cannot be told from the best on these samples (p\u00a0=\u00a0{p[index]:.2g})."
            )
