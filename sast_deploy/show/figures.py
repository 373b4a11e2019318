"""What all pictures share: colours, style, and a figure that is saved when its block ends well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sast_deploy.base.outputs import Origin, save_figure

# Okabe and Ito's colours, distinguishable with every kind of colour blindness; markers say the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 130
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
}


def colour(number: int) -> str:
    """Of the curve of that number; they repeat."""
    return COLOURS[number % len(COLOURS)]


@contextmanager
def figure(width: float, height: float, path: Path, origin: Origin | None) -> Iterator[Any]:
    """A matplotlib figure of so many inches; raises OutputError where it cannot be written."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        save_figure(drawn, path, DPI, origin)
