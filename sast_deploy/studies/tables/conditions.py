"""The gap between smooth and hard spikes over how events became frames: data that other tables keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.accuracy import HEAD, KEYS, NAMES, head
from sast_deploy.studies.tables.groups import Group, data_label
from sast_deploy.studies.tables.table import NOTHING, percent, spread
from sast_deploy.studies.tables.values import gap, hard, rate, surrogate, tails

OPTIONS = "data.options."


@dataclass(frozen=True)
class FrameStudy:
    """Trainings on the same recordings, whose frames differ in one numeric option.

    Fields:
        data: which recordings, as in `data_label`.
        option: the option's name, "clip" for example.
        families: trainings that are alike but for that option, each in its order.
    """

    data: str
    option: str
    families: tuple[tuple[Group, ...], ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All of them."""
        return tuple(each for family in self.families for each in family)

    def value(self, each: Group) -> float:
        """The option's value in a group."""
        return float(each.settings[OPTIONS + self.option])


def frame_studies(groups: tuple[Group, ...]) -> Iterator[FrameStudy]:
    """Every option of the frames that any training was repeated with, other things equal."""
    for label in dict.fromkeys(map(data_label, groups)):
        those = [each for each in groups if each.data and data_label(each) == label]
        for key in sorted({key for each in those for key in each.settings if key.startswith(OPTIONS)}):
            families: dict[str, list[Group]] = {}
            for each in those:
                if _is_number(each.settings.get(key)):
                    families.setdefault(each.without_frames(key, "data.name"), []).append(each)
            varied = [each for each in families.values() if len({g.settings[key] for g in each}) > 1]
            if varied:
                ordered = (tuple(sorted(each, key=lambda g: g.settings[key])) for each in varied)
                yield FrameStudy(label, key.removeprefix(OPTIONS), tuple(ordered))


def frame_tables(groups: tuple[Group, ...]) -> Iterator[Table]:
    """One table for each option of the frames that was varied: the gap, and the rates behind it."""
    for study in frame_studies(groups):
        layers = max(len(rates(each)) for each in study.groups)
        columns = (
            *HEAD[:2], study.option, *HEAD[2:], "surrogate %", "hard %", "gap", "tails %",
            *(f"rate of layer {n}, smooth / hard" for n in range(layers)),
        )  # fmt: skip
        rows = [_row(each, study, layers) for each in study.groups]
        notes = (
            "rates: spikes per neuron and step of each LIF layer; tails: the share of the smooth rate that "
            "the hard one lacks, in the layer where it is largest",
        )
        title = f"The gap over {study.option}. {study.data}"
        yield Table(title, columns, tuple(rows), notes, NAMES, KEYS + 1)


def rates(each: Group) -> list[float]:
    """Hard-spike rates of the LIF layers of one of the runs; [] if none is measured."""
    return next((list(run.float["hard_rates"]) for run in each.runs.values() if run.float), [])


def _row(each: Group, study: FrameStudy, layers: int) -> tuple[str, ...]:
    n = len(each.values(hard))
    network, recipe, *rest = head(each, study.groups)
    fired = [
        " / ".join(spread(each.mean(rate(layer, smooth=smooth)), n, 1.0, 3) for smooth in (True, False))
        for layer in range(len(rates(each)))
    ]
    return (
        network, recipe, f"{study.value(each):g}", *rest,
        percent(each.mean(surrogate), n), percent(each.mean(hard), n), spread(each.mean(gap), n, 100.0, 2),
        percent(each.mean(tails), n, 1), *fired, *[NOTHING] * (layers - len(fired)),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
