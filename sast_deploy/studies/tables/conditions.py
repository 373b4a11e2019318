"""The gap between smooth and hard spikes over how events became frames: data that other tables keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sast_deploy.base.rules import FINITE
from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.groups import Group, data_label
from sast_deploy.studies.tables.table import NOTHING, Row, head, percent, spread, table
from sast_deploy.studies.tables.values import figure, gap, hard, surrogate, tails

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
                if FINITE.fits(each.settings.get(key)):
                    families.setdefault(each.without_frames(key, "data.name"), []).append(each)
            varied = [each for each in families.values() if len({g.settings[key] for g in each}) > 1]
            if varied:
                ordered = (tuple(sorted(each, key=lambda g: g.settings[key])) for each in varied)
                yield FrameStudy(label, key.removeprefix(OPTIONS), tuple(ordered))


def frame_tables(groups: tuple[Group, ...]) -> Iterator[Table | None]:
    """One table for each option of the frames that was varied: the gap, and the rates behind it."""
    for study in frame_studies(groups):
        layers = max(len(rates(each)) for each in study.groups)
        rows = [_row(each, study, layers) for each in study.groups]
        notes = (
            "rates: spikes per neuron and step of each LIF layer; tails: the share of the smooth rate that "
            "the hard one lacks, in the layer where it is largest",
        )
        yield table(f"The gap over {study.option}. {study.data}", rows, notes, keys=5)


def rates(each: Group) -> list[float]:
    """Hard-spike rates of the LIF layers of one of the runs; [] if none is measured."""
    return next((list(run.float.get("hard_rates", [])) for run in each.runs.values() if run.float), [])


def _row(each: Group, study: FrameStudy, layers: int) -> Row:
    network, recipe, *rest = head(each, study.groups)
    kinds = ("surrogate_rates", "hard_rates")
    fired = [
        " / ".join(spread(each, figure("float", kind, layer), 1.0, 3) for kind in kinds)
        if layer < len(rates(each)) else NOTHING
        for layer in range(layers)
    ]  # fmt: skip
    return [
        network,
        recipe,
        (study.option, f"{study.value(each):g}"),
        *rest,
        ("surrogate %", percent(each, surrogate)),
        ("hard %", percent(each, hard)),
        ("gap", percent(each, gap)),
        ("tails %", percent(each, tails, 1)),
        *((f"rate of layer {layer}, smooth / hard", cell) for layer, cell in enumerate(fired)),
    ]
