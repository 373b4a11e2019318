"""Pictures of tables: accuracy and gap over rho, under event drop, the gap over frame options and tails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.outputs import Origin, save_figure
from sast_deploy.base.text import pictured
from sast_deploy.studies.tables.analysed import amounts_of
from sast_deploy.studies.tables.build import by_data
from sast_deploy.studies.tables.conditions import FrameStudy, frame_studies
from sast_deploy.studies.tables.groups import Group, data_label, group, recipe_label
from sast_deploy.studies.tables.records import Record
from sast_deploy.studies.tables.values import Value, disturbed, gap, hard, tails

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (6.4, 4.2), 120
LABEL = 80  # characters of a curve's name
COLOURS, MARKERS = 10, "os^D"  # matplotlib's own colours; beyond so many curves another marker
ACCURACY, GAP = "hard-spike accuracy, %", "gap between smooth and\nhard spikes, points"
# Label, line style, x, mean, sd. Dashed ones are gaps, which have a panel of their own below accuracies.
Curve = tuple[str, str, list[float], list[float], list[float]]
Drawn = tuple[str, str, tuple[str, ...], Iterable[Curve], bool]  # title, x, y by panel, curves, logarithmic
Writer = Callable[[Origin | None], Path]


def draw(records: tuple[Record, ...], folder: Path, origin: Origin | None = None) -> tuple[Path, ...]:
    """Write the pictures that the runs allow, made from `origin`; their paths. Raises OutputError."""
    return tuple(write(origin) for write in pictures(records, folder).values())


def pictures(records: tuple[Record, ...], folder: Path) -> dict[Path, Writer]:
    """The pictures that the runs allow, by path: PNG files not yet written."""
    return {path: partial(_picture, path, *drawn) for path, drawn in _pictures(records, folder)}


def _pictures(records: tuple[Record, ...], folder: Path) -> Iterable[tuple[Path, Drawn]]:
    """Path, title, labels, curves of each picture, and whether x is logarithmic."""
    for data, groups in by_data(group(records)).items():
        name = file_name(data)
        curves = list(_over_rho(groups))
        if curves:
            path = folder / f"rho-{name}.png"
            yield path, (data, "ρ", (ACCURACY, GAP), curves, False)
        dropped = [each for each in groups if len(amounts_of("drop", each)) > 1]
        if dropped:
            path = folder / f"drop-{name}.png"
            labels = (data, "share of events lost", (ACCURACY,))
            yield path, (*labels, _drops(dropped, groups), False)
    groups = group(records)
    for study in frame_studies(groups):
        path = folder / f"gap-{study.option}-{file_name(study.data)}.png"
        label = f"{study.option} (logarithmic)"
        yield path, (study.data, label, (GAP,), _over_frames(study), True)
        path_of_tails = folder / f"gap-tails-{file_name(study.data)}.png"
        x = "tails: largest share of a layer's smooth activity that hard spikes lack, %"
        yield path_of_tails, (study.data, x, (GAP,), _over_tails(study, groups), False)


def file_name(label: str) -> str:
    """A data set's label as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")



def _over_rho(groups: tuple[Group, ...]) -> Iterable[Curve]:
    """One pair of curves for each training that was done with two radii or more."""
    families: dict[str, list[Group]] = {}
    for each in groups:
        families.setdefault(each.without("recipe.rho"), []).append(each)
    for family in families.values():
        done = [each for each in family if each.values(hard)]
        if len(done) < 2:
            continue
        first = done[0]
        label = f"{first.settings['network.name']}, {recipe_label(first, groups)}, {first.epochs} epochs"
        yield (label, "-", *_points([(each.rho, each, hard) for each in done]))
        yield ("", "--", *_points([(each.rho, each, gap) for each in done]))


def _drops(dropped: list[Group], groups: tuple[Group, ...]) -> Iterable[Curve]:
    for each in dropped:
        label = f"{each.settings['network.name']}, {recipe_label(each, groups)}, ρ {each.rho:g}"
        amounts = amounts_of("drop", each)
        yield (label, "-", *_points([(a, each, disturbed("drop", a)) for a in amounts]))


def _over_frames(study: FrameStudy) -> Iterable[Curve]:
    for family in study.families:
        first = family[0]
        label = f"{first.settings['network.name']}, {recipe_label(first, study.groups)}, ρ {first.rho:g}"
        yield (label, "-", *_points([(study.value(each), each, gap) for each in family]))


def _over_tails(study: FrameStudy, groups: tuple[Group, ...]) -> Iterable[Curve]:
    """Every training on these recordings as a point, those of one network and recipe in one colour."""
    kinds: dict[str, list[Group]] = {}
    for each in groups:
        if data_label(each) == study.data and each.mean(tails) and each.settings["recipe.forward"] != "hard":
            label = f"{each.settings['network.name']}, {each.settings['recipe.name']}, ρ {each.rho:g}"
            kinds.setdefault(label, []).append(each)
    for label, those in kinds.items():
        found = [(each.mean(tails), each) for each in those]
        yield (label, "", *_points([(100 * mean.mean, each, gap) for mean, each in found if mean]))


def _points(wanted: list[tuple[float, Group, Value]]) -> tuple[list[float], list[float], list[float]]:
    found = [(x, mean) for x, each, value in wanted if (mean := each.mean(value))]
    deviations = [100 * (each.sd or 0.0) for _, each in found]
    return [x for x, _ in found], [100 * each.mean for _, each in found], deviations


def _picture(
    path: Path, title: str, x: str, y: tuple[str, ...], curves: Iterable[Curve], log: bool,
    origin: Origin | None,
) -> Path:  # fmt: skip
    """y: the label of each panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE[0], SIZE[1] * (0.5 + 0.5 * len(y))), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(y), sharex=True, squeeze=False)[:, 0])
    colour: Any = None
    ticks: set[float] = set()
    number = -1
    for label, style, xs, means, deviations in curves:
        number += bool(label)
        marker = MARKERS[number // COLOURS % len(MARKERS)]
        line = panels[-1 if style == "--" else 0].errorbar(
            xs, means, deviations, fmt=f"{marker}{style}", label=pictured(label, LABEL) or None,
            color=None if label else colour, capsize=3, markersize=4,
        )  # fmt: skip
        colour = line.lines[0].get_color()
        ticks |= set(xs)
    for axes, name in zip(panels, y, strict=True):
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel(pictured(x))
    if log:
        panels[-1].set_xscale("log")
        panels[-1].set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
        panels[-1].minorticks_off()
    panels[0].set_title(pictured(title), fontsize="small")
    panels[0].legend(fontsize="x-small")
    save_figure(figure, path, DPI, origin)
    return path
