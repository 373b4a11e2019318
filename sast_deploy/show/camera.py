"""Simulated against real recordings: the table, and a picture of frames, events per millisecond, density."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.outputs import Origin, save_figure
from sast_deploy.base.text import pictured
from sast_deploy.data.camera.likeness import Likeness, Row
from sast_deploy.data.camera.matching import part_starts
from sast_deploy.data.camera.statistics import STEPS
from sast_deploy.show.blocks import Table, wrapped

# Okabe and Ito's colours, distinguishable with every kind of colour blindness; not those of ON and OFF.
REAL, SIMULATED = "#333333", "#009E73"
_ON, _OFF = (213, 94, 0), (0, 114, 178)
_SHOWN = 4  # image numbers shown as frames
_FULL = 3.0  # events of a pixel and bin drawn in full colour
_GAP = 1  # pixels between frames


def likeness_table(found: Likeness) -> Table:
    """One row per quantity."""
    head = ("quantity", "real", "simulated", "ratio", "within 10 %")
    return Table("", head, tuple(map(_cells, found.rows)), left=1)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = ("yes" if row.ok else "NO") if row.checked else "-"
    digits = 4 if max(abs(row.real), abs(row.simulated)) < 10 else 1
    numbers = (f"{row.real:.{digits}f}", f"{row.simulated:.{digits}f}", f"{row.ratio:.3f}")
    return row.quantity, *numbers, verdict


def draw(likeness: Likeness, path: Path, origin: Origin | None = None) -> None:
    """Write the picture as PNG, PDF or SVG, atomically. Raises OutputError."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        shown = _choose(likeness)
        figure = Figure(figsize=(11.5, 3.6 + 1.95 * len(shown)), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle("\n".join(map(pictured, wrapped(likeness.title, 120))), fontsize=11)
        above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1.95 * len(shown) + 0.3, 3.3]))
        _draw_frames(above, likeness, shown)
        _draw_curves(below, likeness)
        save_figure(figure, path, 120, origin)


def _choose(likeness: Likeness) -> list[int]:
    """Indices of up to four recordings with different digits."""
    first = {label: i for i, label in reversed(list(enumerate(likeness.labels)))}
    digits = sorted(first)
    return [first[digit] for digit in part_starts(digits, _SHOWN)]


def _draw_frames(figure: Any, likeness: Likeness, shown: list[int]) -> None:
    axes = np.atleast_1d(figure.subplots(len(shown), 1))
    for axis, i in zip(axes, shown, strict=True):
        strips = [_strip(side.frames[i]) for side in (likeness.real, likeness.simulated)]
        height, width = strips[0].shape[:2]
        axis.imshow(np.concatenate([strips[0], np.full((2, width, 3), 255, np.uint8), strips[1]]),
                    interpolation="nearest")  # fmt: skip
        axis.set_yticks([height / 2, height * 1.5 + 2], ["real", "simulated"])
        axis.set_xticks([])
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        counts = (likeness.real.counts[i], likeness.simulated.counts[i])
        axis.set_title(f"image {likeness.numbers[i]}, digit {likeness.labels[i]}: "
                       f"{counts[0]} real and {counts[1]} simulated events",
                       fontsize=9, loc="left")  # fmt: skip
    size = width / STEPS
    axes[-1].set_xticks([(k + 0.5) * size for k in range(STEPS)], [str(k + 1) for k in range(STEPS)])
    axes[-1].set_xlabel("time bin (T = 10 equal parts of the recording); orange: ON, blue: OFF")


def _strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (10, 2, H, W) side by side as an RGB picture on white."""
    strength = np.minimum(frames / _FULL, 1.0)
    off, on = strength[:, 0, :, :, None], strength[:, 1, :, :, None]
    total = np.maximum(off + on, 1e-9)
    colour = (off * np.array(_OFF) + on * np.array(_ON)) / total
    cover = np.maximum(off, on)
    picture = (255 * (1 - cover) + colour * cover).astype(np.uint8)
    padded = np.pad(picture, ((0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=190)
    return np.concatenate(list(padded), axis=1)


def _draw_curves(figure: Any, likeness: Likeness) -> None:
    rate, polarity, density = figure.subplots(1, 3, width_ratios=[5, 1.3, 1.5])
    sides = (("real", REAL, "-", likeness.real), ("simulated", SIMULATED, "--", likeness.simulated))
    for k, (name, colour, line, side) in enumerate(sides):
        total = side.rate.sum(axis=1)
        rate.plot(np.arange(len(total)) + 0.5, total, line, color=colour, linewidth=1.4, label=name)
        on = side.counts.mean() * side.on_off / (1 + side.on_off)
        polarity.bar(np.arange(2) + (k - 0.5) * 0.38, [on, side.counts.mean() - on], 0.36, color=colour)
        density.bar([k], [100 * side.density], 0.7, color=colour)
        density.text(k, 100 * side.density, f"{100 * side.density:.2f}", ha="center", va="bottom")
    rate.set_xlabel("time (ms)")
    rate.set_ylabel("events per ms")
    rate.set_title("time course, mean over recordings", fontsize=9, loc="left")
    rate.set_xlim(0, len(likeness.real.rate))
    rate.set_ylim(0)
    rate.legend(frameon=False)
    polarity.set_xticks([0, 1], ["ON", "OFF"])
    polarity.set_title("events per recording", fontsize=9, loc="left")
    density.set_xticks([0, 1], ["real", "sim."])
    density.set_title("frame density (%)", fontsize=9, loc="left")
