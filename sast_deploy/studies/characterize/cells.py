"""Runs as cells: what was trained, and what its integers and their circuit do, over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sast_deploy.studies.analysis.significance import Summary, paired, summary
from sast_deploy.studies.tables.groups import Group
from sast_deploy.studies.tables.records import Record

PLAIN = {"network.surrogate": "arctan", "network.neuron": "lif",
         "network.learn_theta": "none", "network.learn_alpha": "none"}  # fmt: skip
_SHAPE = ("network.kind", "network.hidden", "network.strides")
# What may differ between a cell and the baseline that it is compared with.
_COMPARED = (
    *PLAIN, "network.k", "network.alpha", "network.current_leak", "network.resistance", "network.capacitance",
    "network.time_step",
)  # fmt: skip
_NAMES = ("network.name", "recipe.name", "recipe.base", "seed")


@dataclass(frozen=True)
class Figures:
    """What one run's integers do.

    Fields:
        accuracy: share of the test split. rates: spikes per neuron and step, of each layer with neurons.
        synops: a sample's. cycles: a sample's mean, of the samples that the circuit was counted on; median,
        p99 and worst of the same. layers: of the circuit. events: that each of these takes, the input's
        first. waits: cycles that the result waits for each, by phase.
    """

    seed: int
    accuracy: float
    rates: tuple[float, ...]
    synops: float
    cycles: float
    median: float
    p99: float
    worst: float
    layers: tuple[str, ...]
    events: tuple[float, ...]
    waits: tuple[Mapping[str, float], ...]

    @property
    def rate(self) -> float:
        """Mean of the layers' rates."""
        return sum(self.rates) / len(self.rates)

    @property
    def inputs(self) -> float:
        """Events of a sample that enter the circuit."""
        return self.events[0]

    @property
    def hidden(self) -> float:
        """Events of a sample that its layers send each other."""
        return sum(self.events[1:])

    @property
    def hidden_share(self) -> float:
        """Share of the cycles in which the result waits for sums of hidden events."""
        return sum(each["accumulate"] for each in self.waits[1:]) / self.cycles

    @property
    def input_share(self) -> float:
        """Share of the cycles in which the result waits for sums of the input's events."""
        return self.waits[0]["accumulate"] / self.cycles


Figure = Callable[[Figures], float]


@dataclass(frozen=True)
class Change:
    """A cell against its baseline, paired by seed.

    mean: in percent of the baseline's (accuracy: points). interval: 95 % by Student's t with n - 1 degrees of
    freedom; None for one seed, and where all differences are equal. noise: whether the interval holds 0; None
    where there is none and the difference is not 0.
    """

    n: int
    mean: float
    interval: tuple[float, float] | None
    noise: bool | None


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed alone.

    Fields:
        label: all that tells it from the others. network: its shape, "conv 8-16-24". surrogate, neuron: the
        latter with what is learned of it. more: what else tells it from cells of the same three.
        figures: of the runs that have them, by seed.
        missing: seeds without. baseline: label of the cell that it is compared with, "" without one.
        changes: by figure, empty without a seed in common.
    """

    label: str
    network: str
    surrogate: str
    neuron: str
    more: str
    figures: tuple[Figures, ...]
    missing: tuple[int, ...]
    baseline: str
    changes: Mapping[str, Change]

    def mean(self, figure: Figure) -> Summary | None:
        """Over its seeds; None without any."""
        return summary([figure(each) for each in self.figures]) if self.figures else None

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.baseline == self.label

    @property
    def keeps_accuracy(self) -> bool:
        """Whether its accuracy is the baseline's within noise, or better."""
        found = self.changes.get("accuracy")
        return found is not None and (found.noise is True or found.mean >= 0)


COMPARED: Mapping[str, Figure] = {  # what changes are given of; accuracy in points, the others in percent
    "accuracy": lambda each: each.accuracy, "cycles": lambda each: each.cycles,
    "rate": lambda each: each.rate, "synops": lambda each: each.synops, "hidden": lambda each: each.hidden,
}  # fmt: skip


def figures_of(run: Record, subject: str) -> Figures | None:
    """A run's figures of a profile; None where one of the two stages is not there, or lacks one of them."""
    program, circuit = run.profiles.get(subject), run.circuits.get(subject)
    wanted = ("accuracy", "rates", "synops")
    if not program or not circuit or any(program.get(name) in (None, []) for name in wanted):
        return None
    layers = circuit["layers"]
    return Figures(
        run.seed, program["accuracy"], tuple(program["rates"]), program["synops"], circuit["mean"],
        circuit["median"], circuit["p99"], circuit["worst"], tuple(each["layer"] for each in layers),
        tuple(each["events"] for each in layers), tuple(each["waits"] for each in layers),
    )  # fmt: skip


def make_cells(groups: Iterable[Group], subject: str) -> tuple[Cell, ...]:
    """The cells of a profile, of runs on one set of frames; not those that are measured without circuits."""
    those = [each for each in groups if any(subject in run.circuits for run in each.runs.values())
             or not any(run.profiles for run in each.runs.values())]  # fmt: skip
    found = {each: _figures(each, subject) for each in map(_Known, those)}
    names = _labels([each.group for each in found])
    labels = {each: ", ".join(filter(None, name)) for each, name in zip(found, names, strict=True)}
    cells = []
    for (each, own), name in zip(found.items(), names, strict=True):
        base = _baseline(each, list(found))
        changes = {} if base is None else _changes(own, found[base])
        missing = tuple(sorted(set(each.group.runs) - {one.seed for one in own}))
        cells.append(Cell(labels[each], *name, own, missing, "" if base is None else labels[base], changes))
    shapes = list(dict.fromkeys(each.network for each in cells))
    return tuple(sorted(cells, key=lambda each: (
        shapes.index(each.network), each.neuron != "lif", each.neuron, each.surrogate != "arctan",
        each.surrogate,
    )))  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Known:
    """A group as a key."""

    group: Group


def _figures(each: _Known, subject: str) -> tuple[Figures, ...]:
    found = (figures_of(run, subject) for _, run in sorted(each.group.runs.items()))
    return tuple(one for one in found if one is not None)


def _changes(own: tuple[Figures, ...], base: tuple[Figures, ...]) -> dict[str, Change]:
    theirs = {each.seed: each for each in base}
    pairs = [(each, theirs[each.seed]) for each in own if each.seed in theirs]
    if not pairs:
        return {}
    return {
        name: change([figure(one) for one, _ in pairs], [figure(two) for _, two in pairs], name != "accuracy")
        for name, figure in COMPARED.items()
        if name == "accuracy" or all(figure(two) for _, two in pairs)  # no percent of nothing
    }


def change(own: list[float], base: list[float], relative: bool = True) -> Change:
    """Of values in the same order of seeds; relative: in percent of the baseline's."""
    differences = [100.0 * (a - b) / (b if relative else 1.0) for a, b in zip(own, base, strict=True)]
    mean = sum(differences) / len(differences)
    interval = paired(differences, [0.0] * len(differences)).interval if len(differences) > 1 else None
    if interval is None:
        return Change(len(differences), mean, None, True if len(own) > 1 and not any(differences) else None)
    return Change(len(differences), mean, interval, interval[0] <= 0 <= interval[1])


def _baseline(each: _Known, candidates: list[_Known]) -> _Known | None:
    """The cell with arctan and LIF that differs in nothing else; of several, that which differs least."""
    fits = [one for one in candidates if one.group.without(*_COMPARED) == each.group.without(*_COMPARED)
            and all(one.group.settings[key] == value for key, value in PLAIN.items())]  # fmt: skip

    def shared(one: _Known) -> int:
        return sum(one.group.settings[key] == each.group.settings[key] for key in _COMPARED)

    return max(fits, key=shared, default=None)


def _labels(groups: list[Group]) -> list[tuple[str, str, str, str]]:
    """Network, surrogate, neuron, and of those that share all three what differs among them."""
    plain = [(_network(each), str(each.settings["network.surrogate"]), _neuron(each)) for each in groups]
    names = []
    for each, label in zip(groups, plain, strict=True):
        alike = [one for one, other in zip(groups, plain, strict=True) if other == label]
        keys = [key for key in each.settings if key not in (*_NAMES, *_SHAPE, *PLAIN)
                and len({json.dumps(one.settings.get(key)) for one in alike}) > 1]  # fmt: skip
        more = ", ".join(f"{key.rpartition('.')[2]} {_text(each.settings[key])}" for key in keys)
        names.append((*label, more))
    return names


def _network(each: Group) -> str:
    kind, hidden, strides = (each.settings.get(key) for key in _SHAPE)
    shape = _joined(hidden) if hidden else "as published"
    usual = not strides or set(_joined(strides).split("-")) == {"2"}
    return f"{kind} {shape}{'' if usual else f', strides {_joined(strides)}'}"


def _joined(value: Any) -> str:
    """A record may hold anything there."""
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _neuron(each: Group) -> str:
    learned = [name for key, name in (("network.learn_theta", "θ"), ("network.learn_alpha", "α"))
               if each.settings[key] != "none"]  # fmt: skip
    neuron = each.settings["network.neuron"]
    return f"{neuron}, learned {' and '.join(learned)}" if learned else str(neuron)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
