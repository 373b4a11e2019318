"""Pictures of tables: accuracy and gap over rho, accuracy under event drop, the gap over frame options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.fileio import atomic_path
from sast_deploy.tables.analysed import amounts_of
from sast_deploy.tables.build import by_data
from sast_deploy.tables.conditions import FrameStudy, frame_studies
from sast_deploy.tables.groups import Group, group, recipe_label
from sast_deploy.tables.records import Record
from sast_deploy.tables.values import Value, disturbed, gap, hard

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (6.4, 4.2), 120


def draw(records: tuple[Record, ...], folder: Path) -> tuple[Path, ...]:
    """Write the pictures that the runs allow as PNG files; their paths. Raises OutputError."""
    written = []
    for data, groups in by_data(group(records)).items():
        name = file_name(data)
        curves = list(_over_rho(groups))
        if curves:
            path = folder / f"rho-{name}.png"
            _picture(path, data, "ρ", "%, hard accuracy (solid) and gap (dashed)", curves)
            written.append(path)
        dropped = [each for each in groups if len(amounts_of("drop", each)) > 1]
        if dropped:
            path = folder / f"drop-{name}.png"
            _picture(
                path, data, "share of events lost", "hard-spike accuracy, %", list(_drops(dropped, groups))
            )
            written.append(path)
    for study in frame_studies(group(records)):
        path = folder / f"gap-{study.option}-{file_name(study.data)}.png"
        x, y = f"{study.option} (logarithmic)", "gap between smooth and hard spikes, points"
        _picture(path, study.data, x, y, list(_over_frames(study, group(records))), log=True)
        written.append(path)
    return tuple(written)


def file_name(label: str) -> str:
    """A data set's label as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


Curve = tuple[str, str, list[float], list[float], list[float]]  # label, line style, x, mean, sd


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


def _over_frames(study: FrameStudy, groups: tuple[Group, ...]) -> Iterable[Curve]:
    for family in study.families:
        first = family[0]
        label = f"{first.settings['network.name']}, {recipe_label(first, groups)}, ρ {first.rho:g}"
        yield (label, "-", *_points([(study.value(each), each, gap) for each in family]))


def _points(wanted: list[tuple[float, Group, Value]]) -> tuple[list[float], list[float], list[float]]:
    found = [(x, mean) for x, each, value in wanted if (mean := each.mean(value))]
    deviations = [100 * (each.sd or 0.0) for _, each in found]
    return [x for x, _ in found], [100 * each.mean for _, each in found], deviations


def _picture(path: Path, title: str, x: str, y: str, curves: list[Curve], *, log: bool = False) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes: Axes = figure.subplots()
    colour: Any = None
    for label, style, xs, means, deviations in curves:
        line = axes.errorbar(
            xs, means, deviations, fmt=f"o{style}", label=label or None, color=None if label else colour,
            capsize=3, markersize=4,
        )  # fmt: skip
        colour = line.lines[0].get_color()
    axes.set(xlabel=x, ylabel=y, xscale="log" if log else "linear")
    axes.set_title(title, fontsize="small")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
