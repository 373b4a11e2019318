"""Characterizations as a picture: cycles against accuracy, and the firing rate against cycles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.outputs import Origin
from sast_deploy.base.text import pictured
from sast_deploy.show.figures import MARKERS, colour, figure
from sast_deploy.studies.characterize.cells import Cell, Figure
from sast_deploy.studies.characterize.result import Characterization, front_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 9.6, 3.6  # inches, of the two panels of one network
TITLE = 110  # letters


def draw(found: Iterable[Characterization], path: Path, made: Origin | None = None) -> Path:
    """Two panels for each network; a mark for each surrogate, a colour for each neuron, bars over seeds.

    Raises OutputError.
    """
    pairs = [(each, name) for each in found for name in each.networks if _cells(each, name)]
    surrogates, neurons = (
        list(dict.fromkeys(getattr(cell, key) for each, name in pairs for cell in _cells(each, name)))
        for key in ("surrogate", "neuron")
    )
    with figure(WIDTH, HEIGHT * max(1, len(pairs)), path, made) as drawn:
        panels = drawn.subplots(max(1, len(pairs)), 2, squeeze=False)
        for row, (each, name) in zip(panels, pairs, strict=False):
            for cell in _cells(each, name):
                style = {"marker": MARKERS[surrogates.index(cell.surrogate) % len(MARKERS)],
                         "color": colour(neurons.index(cell.neuron)), "linestyle": ""}  # fmt: skip
                _point(row[0], cell, _kilocycles, lambda one: 100 * one.accuracy, style)
                _point(row[1], cell, lambda one: 100 * one.rate, _kilocycles, style)
            _front(row[0], each, name)
            row[0].set(xlabel="1,000 cycles", ylabel="accuracy of the integers, %")
            row[1].set(xlabel="spikes per neuron and step, mean of the layers, %", ylabel="1,000 cycles")
            row[0].set_title(pictured(f"{name}: {each.data}", TITLE), loc="left", fontsize=8)
            row[1].set_title(pictured(each.subject), loc="right", fontsize=8)
        _legend(drawn, surrogates, neurons)
    return path


def _kilocycles(figures: Any) -> float:
    return float(figures.cycles) / 1000


def _cells(each: Characterization, network: str) -> list[Cell]:
    return [cell for cell in each.cells if cell.network == network and cell.figures]


def _point(axes: Axes, cell: Cell, x: Figure, y: Figure, style: dict[str, Any]) -> None:
    """The means; bars: the sample standard deviation, where there are seeds enough for one."""
    across, up = cell.mean(x), cell.mean(y)
    if across and up:
        sizes: dict[str, Any] = {"capsize": 2, "markersize": 5, "elinewidth": 0.7}
        axes.errorbar(across.mean, up.mean, up.sd, across.sd, **sizes, **style)


def _front(axes: Axes, each: Characterization, network: str) -> None:
    """The front of this network alone, dotted, as stairs: what lies below and to the right is beaten."""
    cells = _cells(each, network)
    front = set(front_of(cells))
    means = [(cell.mean(_kilocycles), cell.mean(lambda one: 100 * one.accuracy)) for cell in cells
             if cell.label in front]  # fmt: skip
    points = sorted((x.mean, y.mean) for x, y in means if x and y)
    axes.step(*zip(*points, strict=True), where="post", color="#999999", linestyle=":", linewidth=1, zorder=0)


def _legend(drawn: Any, surrogates: list[str], neurons: list[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], marker=MARKERS[n % len(MARKERS)], color="#555555", linestyle="", label=name)
             for n, name in enumerate(surrogates)]  # fmt: skip
    colours = [Line2D([], [], marker="o", color=colour(n), linestyle="", label=name)
               for n, name in enumerate(neurons)]  # fmt: skip
    if marks:
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": 5, "fontsize": 8, "frameon": False}
        drawn.legend(handles=[*marks, *colours], **place)
