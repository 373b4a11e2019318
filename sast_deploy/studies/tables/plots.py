"""Pictures of tables: accuracy and gap over rho, under event drop, the gap over frame options and tails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.outputs import Origin, save_figure
from sast_deploy.base.text import pictured
from sast_deploy.studies.characterize.plot import draw
from sast_deploy.studies.characterize.result import characterize
from sast_deploy.studies.tables.analysed import amounts_of
from sast_deploy.studies.tables.conditions import FrameStudy, frame_studies
from sast_deploy.studies.tables.groups import (
    Group,
    by_data,
    data_label,
    group,
    label,
    recipe_label,
)
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


def pictures(records: tuple[Record, ...], folder: Path) -> dict[Path, Writer]:
    """The pictures that the runs allow, by path: PNG files not yet written."""
    found: dict[Path, Writer] = {
        path: partial(_picture, path, *drawn) for path, drawn in _pictures(records, folder)
    }
    if circuits := characterize(records):
        path = folder / "characterize.png"
        found[path] = partial(draw, circuits, path)
    return found


def _pictures(records: tuple[Record, ...], folder: Path) -> Iterable[tuple[Path, Drawn]]:
    """Path, title, labels, curves of each picture, and whether x is logarithmic."""
    every = group(records)
    for data, groups in by_data(every).items():
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
    for study in frame_studies(every):
        path = folder / f"gap-{study.option}-{file_name(study.data)}.png"
        over = f"{study.option} (logarithmic)"
        yield path, (study.data, over, (GAP,), _over_frames(study), True)
        path_of_tails = folder / f"gap-tails-{file_name(study.data)}.png"
        x = "tails: largest share of a layer's smooth activity that hard spikes lack, %"
        yield path_of_tails, (study.data, x, (GAP,), _over_tails(study, every), False)


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
        name = f"{first.network}, {recipe_label(first, groups)}, {first.epochs} epochs"
        yield (name, "-", *_points([(each.rho, each, hard) for each in done]))
        yield ("", "--", *_points([(each.rho, each, gap) for each in done]))


def _drops(dropped: list[Group], groups: tuple[Group, ...]) -> Iterable[Curve]:
    for each in dropped:
        amounts = amounts_of("drop", each)
        points = _points([(amount, each, disturbed("drop", amount)) for amount in amounts])
        yield (label(each, groups), "-", *points)


def _over_frames(study: FrameStudy) -> Iterable[Curve]:
    for family in study.families:
        points = _points([(study.value(each), each, gap) for each in family])
        yield (label(family[0], study.groups), "-", *points)


def _over_tails(study: FrameStudy, groups: tuple[Group, ...]) -> Iterable[Curve]:
    """Every training on these recordings as a point, those of one network and recipe in one colour."""
    kinds: dict[str, list[Group]] = {}
    for each in groups:
        if data_label(each) == study.data and each.mean(tails) and each.settings["recipe.forward"] != "hard":
            kind = f"{each.network}, {each.settings['recipe.name']}, ρ {each.rho:g}"
            kinds.setdefault(kind, []).append(each)
    for kind, those in kinds.items():
        found = [(each.mean(tails), each) for each in those]
        yield (kind, "", *_points([(100 * mean.mean, each, gap) for mean, each in found if mean]))


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
    for name, style, xs, means, deviations in curves:
        number += bool(name)
        marker = MARKERS[number // COLOURS % len(MARKERS)]
        line = panels[-1 if style == "--" else 0].errorbar(
            xs, means, deviations, fmt=f"{marker}{style}", label=pictured(name, LABEL) or None,
            color=None if name else colour, capsize=3, markersize=4,
        )  # fmt: skip
        colour = line.lines[0].get_color()
        ticks |= set(xs)
    for axes, text in zip(panels, y, strict=True):
        axes.set_ylabel(text)
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
