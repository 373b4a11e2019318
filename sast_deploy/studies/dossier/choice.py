"""Several networks held against each other: who is on the front, and which to take for which budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sast_deploy.base.text import percent
from sast_deploy.reports.dossier import Axis, Choice, NetworkFacts


def choose(networks: Sequence[NetworkFacts]) -> Choice:
    """Every axis with its front and its sentences. Networks without accuracy are on no front."""
    axes = tuple(_axis(networks, *each) for each in _axes(networks))
    sentences = tuple(line for axis in axes for line in _sentences(networks, axis))
    return Choice(axes, sentences, _caution(networks))


Value = Callable[[NetworkFacts], float]


def _axes(networks: Sequence[NetworkFacts]) -> Iterator[tuple[str, str, Value]]:
    yield "SynOps", "thousands per inference", lambda each: each.synops / 1000
    yield "memory", "KiB of parameters", lambda each: each.packed_bytes / 1024


def _axis(networks: Sequence[NetworkFacts], name: str, unit: str, value: Value) -> Axis:
    values = [value(each) for each in networks]
    shares = [None if each.accuracy is None else each.accuracy.value for each in networks]
    on = pareto(values, shares)
    return Axis(name, unit, tuple(values), tuple(networks[index].name for index in on))


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


def _sentences(networks: Sequence[NetworkFacts], axis: Axis) -> Iterator[str]:
    """One for each step of the front: from which budget on which network is the best."""
    by_name = {each.name: (each, value) for each, value in zip(networks, axis.values, strict=True)}
    steps = [by_name[name] for name in axis.front]
    for (network, value), following in zip(steps, [*steps[1:], None], strict=True):
        assert network.accuracy is not None
        budget = f"From {value:,.4g}" if following is None else f"From {value:,.4g} to {following[1]:,.4g}"
        yield (
            f"{budget} {axis.unit} of {axis.name}: {network.name}, {percent(network.accuracy.value)}"
        )


def _caution(networks: Sequence[NetworkFacts]) -> str:
    frames = {each.manifest.data.get("data set", "") + each.manifest.data["samples"] for each in networks}
    return "" if len(frames) == 1 else "the networks were not measured on the same samples"
