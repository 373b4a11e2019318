"""Pictures of analyses, made from their plain values: membrane margins, and accuracy under disturbance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.outputs import Origin
from sast_deploy.base.text import percent, pictured
from sast_deploy.show.figures import MARKERS, colour, figure
from sast_deploy.studies.analysis.tables import FORWARDS

Results = Mapping[str, Mapping[str, Any]]  # by network; what `analyse` returns

NAME = 40  # characters of a network's name, often a path
_BAND = "#DDDDDD"
_SHOWN = 2.0  # margins drawn from -2 to 2


def draw_margins(results: Results, path: Path, made: Origin | None = None) -> None:
    """Histograms of u - theta, a column per layer, a row per kind of spike there is. Raises OutputError."""
    shown = {name: result["margins"] for name, result in results.items()}
    layers = max(len(found["hard"]) for found in shown.values())
    rows = [forward for forward in FORWARDS if any(found[forward[0]] is not None for found in shown.values())]
    with figure(3.4 * layers + 0.6, 0.8 + 2.3 * len(rows), path, made) as drawn:
        axes = drawn.subplots(len(rows), layers, sharex=True, squeeze=False)
        for row, (key, run) in enumerate(rows):
            for index, axis in enumerate(axes[row]):
                _margin_panel(axis, shown, key, index)
                axis.set_title(f"layer {index}, {run}", loc="left")
            axes[row][0].set_ylabel("membranes per bin of 0.05 [%]")
        for axis in axes[-1]:
            axis.set_xlabel("u − θ (membrane to threshold)")
        drawn.suptitle(
            f"Membrane margins, {_samples(results)}, all steps and neurons; grey: within ±0.2", fontsize=10
        )


def _margin_panel(axis: Any, shown: Mapping[str, Any], key: str, index: int) -> None:
    axis.axvspan(-0.2, 0.2, color=_BAND, lw=0)
    for number, (name, found) in enumerate(shown.items()):
        if index >= len(found[key] or ()):
            continue
        layer, (low, high, bins) = found[key][index], found["bins"]
        edges = np.linspace(low, high, bins + 1)
        inside = (edges[:-1] >= -_SHOWN - 1e-9) & (edges[1:] <= _SHOWN + 1e-9)
        shares = 100 * np.asarray(layer["histogram"])[inside] / layer["states"]
        axis.stairs(
            shares, np.append(edges[:-1][inside], _SHOWN), baseline=None, color=colour(number), lw=1.4,
            label=f"{pictured(name, NAME)}: {percent(layer['share'])}",
        )  # fmt: skip
    axis.set_xlim(-_SHOWN, _SHOWN)
    axis.set_ylim(0, axis.get_ylim()[1] * (1.1 + 0.2 * len(shown)))  # room for the legend
    axis.legend(frameon=False, title="within ±0.2", loc="upper right", fontsize=8, title_fontsize=8)


def draw_corruption(results: Results, path: Path, made: Origin | None = None) -> None:
    """Accuracy under event drop and under weight noise, whichever was measured. Raises OutputError."""
    kinds = [kind for kind in ("drop", "noise") if any(kind in result for result in results.values())]
    labels = {
        "drop": "probability p that an event is lost",
        "noise": "weight noise σ, relative to each layer's rms weight",
    }
    with figure(4.6 * len(kinds), 3.9, path, made) as drawn:
        axes = drawn.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axis, kind in zip(axes, kinds, strict=True):
            for number, (name, result) in enumerate(results.items()):
                if kind in result:
                    _curves(axis, result[kind], number, len(results), name)
            axis.set_xlabel(labels[kind])
            axis.grid(axis="y", color="#EEEEEE", lw=0.8)
            axis.set_axisbelow(True)
        axes[0].set_ylabel("test accuracy [%]")
        handles, names = axes[0].get_legend_handles_labels()
        columns = min(3, len(results)) if max(map(len, names)) <= NAME // 2 else 1
        drawn.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
        levels = [each[kind]["levels"][0] for each in results.values() for kind in kinds if kind in each]
        smooth = any(level["surrogate"] is not None for level in levels)
        title = [f"{_samples(results)}. Solid: hard spikes, bars: standard deviation over draws"]
        title += ["dashed: surrogate"] if smooth else []
        drawn.suptitle(("; " if len(kinds) > 1 else "\n").join(title), fontsize=10)


def _curves(axis: Any, corruption: Mapping[str, Any], number: int, networks: int, name: str) -> None:
    levels, shade, marker = corruption["levels"], colour(number), MARKERS[number % len(MARKERS)]
    amounts = np.array([level["amount"] for level in levels])
    beside = amounts + (number - (networks - 1) / 2) * 0.012 * amounts.max()  # so that bars do not cover
    axis.errorbar(
        beside, [100 * level["hard"] for level in levels],
        yerr=[100 * (level["hard_sd"] or 0.0) for level in levels],
        color=shade, marker=marker, ms=5, capsize=2, elinewidth=0.9, lw=1.5, label=pictured(name, NAME),
    )  # fmt: skip
    if levels[0]["surrogate"] is not None:
        axis.plot(
            beside, [100 * level["surrogate"] for level in levels],
            color=shade, marker=marker, ms=4, mfc="white", ls="--", lw=0.9,
        )  # fmt: skip
    axis.set_xticks(amounts, [f"{amount:g}" for amount in amounts])


def _samples(results: Results) -> str:
    """How many test samples the pictures are of."""
    counts = dict.fromkeys(str(each["test"]["samples"]) for each in results.values() if "test" in each)
    return f"{' / '.join(counts)} test samples" if counts else "test samples"
