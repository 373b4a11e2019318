"""A matplotlib figure as an inline SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.text import printable

WIDTH, HEIGHT = 4.4, 2.7  # inches of a panel; the page scales it to its column
INK, ACCENT, MUTED, LINE, PAPER = "#000000", "#0b5fa5", "#787878", "#d6d6d6", "#fefefe"
# What stands for a colour while matplotlib draws, and what the page has in its place.
_INSTEAD = {INK: "currentColor", ACCENT: "var(--accent)", MUTED: "var(--muted)", LINE: "var(--line)",
            PAPER: "var(--paper)"}  # fmt: skip
_LEFT_OUT = r"\s*<metadata>.*?</metadata>|\s*<defs>\s*<style.*?</style>\s*</defs>"
# Of pictures in pixels, which cannot follow the page: middle tones that stand out on light and on dark.
ON_RGB, OFF_RGB = (0x2F, 0x7F, 0xD6), (0xD9, 0x82, 0x2B)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "sast-deploy", "font.size": 8.5, "axes.titlesize": 8.5,
    "axes.titlelocation": "left", "axes.labelsize": 8.5, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5,
    "ytick.major.size": 2.5, "axes.labelcolor": MUTED, "text.color": INK, "legend.frameon": False,
    "axes.grid": False, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip


def svg(
    name: str, label: str, draw: Callable[[Any], None], *, height: float = HEIGHT, width: float = WIDTH
) -> str:
    """What `draw` makes of a figure of so many inches, as an <svg> element.

    name: unique on the page, a prefix of all its ids. label: what it shows, for those who cannot see it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return _inline(text.getvalue(), name, label)


def _inline(document: str, name: str, label: str) -> str:
    """The document's <svg> element alone, its ids prefixed, its colours and its font the page's."""
    body = re.sub(_LEFT_OUT, "", document[document.index("<svg") :], flags=re.S)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = body.replace("xlink:href=", "href=").replace("base64,\n", "base64,")
    body = re.sub(r' style="[^"]*"', lambda found: _of_the_page(found[0]), body)
    body = re.sub(r' d="[^"]*"', lambda found: _shorter(found[0]), body)
    size = re.search(r'viewBox="[^"]*"', body)
    assert size is not None
    head = f'<svg {size[0]} role="img" aria-label="{html.escape(printable(label))}">'
    return head + body[body.index(">") + 1 :].strip()


def _of_the_page(style: str) -> str:
    """A style with the page's colours and font."""
    style = re.sub(r"font-family: [^;\"]*;? ?", "", style)
    for colour, instead in _INSTEAD.items():
        style = style.replace(colour, instead)
    return style


def _shorter(path: str) -> str:
    """A path's numbers to a hundredth of a point, on one line."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path).replace(" \n", " ").replace("\n", " ")


def picture(rgba: npt.NDArray[np.uint8]) -> str:
    """Pixels (rows, columns, 4) as the text of a data: URL; the same pixels give the same text."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def event_pixels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Counts (C, H, W) as pixels: OFF and ON in their colours, opaque where there are many.

    One channel is ON, further ones are left out.
    """
    counts = np.abs(np.asarray(image, np.float64))
    off, on = (counts[0], counts[1]) if len(counts) > 1 else (np.zeros_like(counts[0]), counts[0])
    both = off + on
    most = max(1.0, float(np.quantile(both[both > 0], 0.95))) if both.any() else 1.0
    share = np.divide(on, both, out=np.zeros_like(on), where=both > 0)[..., None]
    colours = share * np.array(ON_RGB) + (1 - share) * np.array(OFF_RGB)
    opacity = np.where(both > 0, 70 + 185 * np.minimum(1.0, both / most), 0)[..., None]
    pixels: npt.NDArray[np.uint8] = np.concatenate([colours, opacity], axis=-1).round().astype(np.uint8)
    return pixels
