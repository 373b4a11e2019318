"""The page's figures: one panel each, of one size, drawn from a dossier's facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.text import percent, pictured
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.costs.latency import Latency
from sast_deploy.reports.dossier import (
    INTEGERS,
    TRAINED,
    Axis,
    Curve,
    Histogram,
    LayerMargins,
    LayerWeights,
    NetworkFacts,
    Rung,
)
from sast_deploy.reports.tracing import LayerTrace, SampleTrace
from sast_deploy.show.page.svg import ACCENT, HEIGHT, INK, LINE, MUTED, ON_RGB, PAPER, event_pixels, svg
from sast_deploy.show.trace import liveliest

WORDS = {INTEGERS: "integers", TRAINED: "as trained"}
CELLS = 20  # classes up to which the counts of a confusion matrix are written into its cells
ROWS = 160  # of a raster; neurons beyond so many share one
FRAMES = 10  # pictures of a film; steps beyond so many share one
CLASSES = 4  # whose logits are drawn in full, the largest
SPAN = 12.0  # points of accuracy that a curve's axis shows at least: noise must not look like a fall
NEAR, FAR = 8.0, 6.0  # points below the best, times the middle cost: what is further stands at the edge
LETTERS = 24  # of a name in a figure


def ladder(name: str, rungs: Sequence[Rung]) -> str:
    """Accuracy of every rung with its interval."""
    known = [rung for rung in rungs if rung.accuracy is not None]

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for place, rung in enumerate(known):
            assert rung.accuracy is not None
            low, high = rung.accuracy.interval
            shade = ACCENT if rung.reported else INK
            axis.plot([100 * low, 100 * high], [place, place], color=shade, lw=1.4, solid_capstyle="butt")
            axis.plot([100 * rung.accuracy.value], [place], "o", color=shade, ms=5.5 if rung.reported else 4)
            axis.annotate(
                percent(rung.accuracy.value), (100 * rung.accuracy.value, place), (0, 7),
                textcoords="offset points", ha="center", va="bottom", fontsize=8, color=shade,
            )  # fmt: skip
        axis.set_yticks(range(len(known)), [pictured(rung.name, LETTERS) for rung in known])
        axis.set_ylim(len(known) - 0.5, -0.7)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x")
        axis.set_xlabel("accuracy in %, with its 95 % interval")

    return svg(name, "Accuracy on the way from training to the chip", draw, height=0.9 + 0.42 * len(known))


def _stairs(axis: Any, histogram: Histogram, scale: float = 1.0) -> None:
    """A histogram as shares of all in %, the integers filled, what was trained as a line."""
    total = max(1, int(histogram.counts.sum()) + histogram.beyond)
    shares = 100 * scale * histogram.counts / total
    if histogram.of == INTEGERS:
        axis.stairs(shares, histogram.edges, fill=True, color=ACCENT, alpha=0.45, lw=0, label=WORDS[INTEGERS])
    else:
        axis.stairs(shares, histogram.edges, color=INK, lw=0.9, label=WORDS[histogram.of])


def margins(name: str, layer: LayerMargins) -> str:
    """Distances of membranes from their thresholds, of the integers and as trained."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        axis.axvspan(-0.2, 0.2, color=LINE, lw=0)
        for histogram in layer.histograms:
            _stairs(axis, histogram)
        axis.axvline(0, color=INK, lw=0.8, ls=(0, (3, 2)))
        axis.set_xlim(-4, 4)
        axis.set_xlabel("membrane above its threshold, in thresholds")
        axis.set_ylabel("% of states")
        axis.set_title(layer.layer)
        axis.legend(loc="upper right", handlelength=1.2)

    return svg(name, f"Membrane margins of {layer.layer}", draw)


def weights(name: str, layer: LayerWeights) -> str:
    """Integers as bars, and what was trained in their units."""

    def draw(figure: Any) -> None:
        axis, wide = figure.subplots(), 1.0
        for histogram in layer.histograms:
            width = float(np.diff(histogram.edges[:2])[0])
            wide = width if histogram.of == INTEGERS else wide
            _stairs(axis, histogram, 1.0 if histogram.of == INTEGERS else 4.0)
        edge = max(abs(layer.low), layer.high)
        axis.set_xlim(-edge - 1.5 * wide, edge + 1.5 * wide)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel("weight, in steps of the integers")
        axis.set_ylabel("% of weights")
        axis.set_title(layer.layer)
        axis.legend(loc="upper right", handlelength=1.2)

    return svg(name, f"Weights of {layer.layer} before and after quantization", draw)


def confusion(name: str, matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> str:
    """Rows are the true classes; shades are shares of a row."""
    number = len(classes)
    names = [pictured(each, 10) for each in classes]

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        pixels = np.zeros((*matrix.shape, 4))
        pixels[..., :3] = np.array(ON_RGB) / 255
        pixels[..., 3] = np.where(matrix > 0, 0.12 + 0.6 * shares, 0)
        axis.imshow(pixels, interpolation="none", aspect="equal")
        if number <= CELLS:
            for row, column in np.argwhere(matrix > 0):
                axis.text(column, row, f"{matrix[row, column]}", ha="center", va="center", fontsize=8)
            axis.set_xticks(range(number), names)
            axis.set_yticks(range(number), names)
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.set_xlabel("given")
        axis.set_ylabel("true")

    return svg(name, "Confusion matrix", draw, height=4.0)


def curve(name: str, kind: str, found: Sequence[Curve]) -> str:
    """Accuracy over the strength of a disturbance; bands: from the lowest to the highest draw."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for each in found:
            amounts = [100 * point.amount for point in each.points]
            shade = ACCENT if each.of == INTEGERS else INK
            lows, highs = ([100 * getattr(p, end) for p in each.points] for end in ("low", "high"))
            axis.fill_between(amounts, lows, highs, color=shade, alpha=0.15, lw=0)
            means = [100 * point.mean for point in each.points]
            style: dict[str, Any] = {"marker": "o", "ms": 3.5} if each.of == INTEGERS else {"ls": (0, (4, 2))}
            axis.plot(amounts, means, color=shade, lw=1.3, label=WORDS[each.of], **style)
        low = 100 * min(point.low for each in found for point in each.points)
        high = 100 * max(point.high for each in found for point in each.points)
        axis.set_ylim(max(0.0, min(low - 1, high - SPAN)), min(101.0, high + 1))
        axis.grid(axis="y")
        axis.set_xlabel("% of events lost" if kind == "drop" else "noise on weights, % of their rms")
        axis.set_ylabel("accuracy in %")
        axis.legend(loc="lower left")

    what = "Accuracy where events are lost" if kind == "drop" else "Accuracy with noise on the weights"
    return svg(name, what, draw)


def latency(name: str, found: Latency) -> str:
    """What every step of the chip takes: the busiest core, and the synchronisation after it."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        edges = np.arange(len(found.rows) + 1) - 0.5
        busy = np.array([1e6 * row.busy_seconds for row in found.rows])
        axis.stairs(busy, edges, fill=True, color=ACCENT, alpha=0.55, lw=0, label="busiest core")
        whole = np.array([1e6 * row.seconds for row in found.rows])
        axis.stairs(whole, edges, baseline=busy, fill=True, color=LINE, lw=0, label="synchronisation")
        axis.set_xlim(-0.5, len(found.rows) - 0.5)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel("step of the chip")
        axis.set_ylabel("µs")
        axis.set_ylim(0, 1.25 * float(whole.max()))
        axis.legend(loc="upper right", ncols=2, handlelength=1.2)

    return svg(name, "Time of every step", draw)


# ---- one sample ---------------------------------------------------------------


def film(name: str, trace: SampleTrace) -> str:
    """The events of every step, in FRAMES pictures at most, two rows of them."""
    frames = np.asarray(trace.frames, np.int64)
    parts = np.array_split(np.arange(len(frames)), min(FRAMES, len(frames)))
    pixels = event_pixels(np.concatenate([frames[part].sum(axis=0) for part in parts], axis=2))
    height, width = frames.shape[-2:]
    columns, gap, above = -(-len(parts) // 2), 0.08 * width, 0.24 * height

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        axis.set_axis_off()
        for number, part in enumerate(parts):
            row, column = divmod(number, columns)
            x, y = column * (width + gap), -row * (height + above)
            axis.imshow(
                pixels[:, number * width : (number + 1) * width], interpolation="none",
                extent=(x, x + width, y - height, y),
            )  # fmt: skip
            corners = [x, x + width, x + width, x, x], [y, y, y - height, y - height, y]
            axis.plot(*corners, color=LINE, lw=0.6)
            steps = f"{part[0]}" if len(part) == 1 else f"{part[0]}–{part[-1]}"
            label = f"step {steps}" if number == 0 else steps
            axis.text(x, y + 0.04 * height, label, fontsize=8, color=MUTED)
        rows = -(-len(parts) // columns)
        axis.set_xlim(-gap / 4, columns * (width + gap) - 3 * gap / 4)
        axis.set_ylim(-rows * (height + above) + above - gap / 4, above)

    return svg(name, f"Events of {trace.what}", draw)


def raster(name: str, trace: SampleTrace) -> str:
    """The spikes of every layer, one above the other, the first at the top."""

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(trace.layers), 1, sharex=True, squeeze=False)[:, 0]
        for axis, layer in zip(axes, trace.layers, strict=True):
            _spikes(axis, layer)
        _over_time(axes, trace)

    return svg(name, f"Spikes of {trace.what}", draw, height=_tall(trace))


def _tall(trace: SampleTrace) -> float:
    return max(HEIGHT, 0.7 + 1.05 * len(trace.layers))


def _spikes(axis: Any, layer: LayerTrace) -> None:
    neurons = layer.spikes.shape[1]
    rows = min(ROWS, neurons)
    edges = np.linspace(0, neurons, rows + 1).astype(int)[:-1]
    share = np.add.reduceat(layer.spikes.astype(np.float64), edges, axis=1) / np.diff([*edges, neurons])
    pixels = np.zeros((rows, len(layer.spikes) * 8, 4), np.uint8)
    pixels[..., :3] = ON_RGB
    # Where many share a row, what counts is how many of them fired, against the row where most did.
    opacity = np.where(share > 0, 25 + 230 * share / max(share.max(), 1e-9), 0).round().astype(np.uint8)
    pixels[..., 3] = opacity.T.repeat(8, axis=1)
    pixels[:, 7::8, 3] = 0  # so that a spike a step is not a bar
    axis.imshow(
        pixels, interpolation="none", aspect="auto", origin="lower",
        extent=(-0.5, len(layer.spikes) - 0.5, 0, neurons),
    )  # fmt: skip
    axis.set_title(f"{layer.name}: {int(layer.spikes.sum()):,} spikes", fontsize=8)
    axis.set_ylabel("neuron")


def membranes(name: str, trace: SampleTrace) -> str:
    """Of three neurons of each layer the membrane potential, in units of its threshold; dots: spikes."""

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(trace.layers), 1, sharex=True, squeeze=False)[:, 0]
        for axis, layer in zip(axes, trace.layers, strict=True):
            chosen = liveliest(layer)[:3]
            scale = np.where(layer.threshold == 0, 1, layer.threshold)[chosen]
            levels = layer.membrane[:, chosen] / scale
            looks = ((ACCENT, "-"), (INK, (0, (4, 1.5))), (MUTED, (0, (1, 1))))
            for number, (shade, dashes) in enumerate(looks[: len(chosen)]):
                fired = np.flatnonzero(layer.spikes[:, chosen[number]])
                axis.plot(levels[:, number], color=shade, ls=dashes, lw=1.1)
                axis.plot(fired, levels[fired, number], "o", color=shade, ms=3.2)
            axis.axhline(1.0, color=INK, lw=0.7, ls=(0, (3, 2)))
            numbers = ", ".join(map(str, chosen))
            axis.set_title(f"{layer.name}: neurons {numbers}", fontsize=8)
            axis.set_ylabel("u / θ")
        _over_time(axes, trace)

    return svg(name, f"Membrane potentials of {trace.what}", draw, height=_tall(trace))


DRAWN = 60  # classes whose logits are drawn


def logits(name: str, trace: SampleTrace) -> str:
    """Of the largest classes, as they would be if the sample ended with that step."""
    order = np.argsort(-trace.logits[-1], kind="stable")

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for place, index in reversed(list(enumerate(order[:DRAWN]))):
            shade = ACCENT if place == 0 else INK if place < CLASSES else LINE
            axis.plot(trace.logits[:, index], color=shade, lw=1.6 if place == 0 else 0.8)
        ends = _apart([float(trace.logits[-1, index]) for index in order[:CLASSES]],
                      float(np.ptp(trace.logits)) / 11)  # fmt: skip
        for place, (index, end) in enumerate(zip(order[:CLASSES], ends, strict=True)):
            label = pictured(trace.classes[index], 14)
            axis.annotate(
                f"{label} (true)" if index == trace.label else label, (len(trace.logits) - 1, end), (5, 0),
                textcoords="offset points", va="center", fontsize=8, color=ACCENT if place == 0 else INK,
                annotation_clip=False,
            )  # fmt: skip
        axis.set_ylabel("logit")
        _over_time([axis], trace)

    return svg(name, f"Logits of {trace.what} over time", draw)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights, falling, moved down where two are nearer than `least`."""
    found: list[float] = []
    for height in heights:
        found.append(min(height, found[-1] - least) if found else height)
    return found


def _over_time(axes: Sequence[Any], trace: SampleTrace) -> None:
    axes[-1].set_xlabel("step")
    axes[-1].set_xlim(-0.5, len(trace.logits) - 0.5)
    axes[-1].xaxis.get_major_locator().set_params(integer=True)


# ---- several networks ---------------------------------------------------------


def front(name: str, axis_of: Axis, networks: Sequence[NetworkFacts]) -> str:
    """Accuracy with its interval over what it costs, networks by their numbers; filled: on the front.

    Networks far from all others stand at the edge, as a triangle that points to where they are.
    """
    judged = [
        (number, value, each.accuracy)
        for number, (value, each) in enumerate(zip(axis_of.values, networks, strict=True), 1)
        if each.accuracy is not None
    ]
    on = {take.network for take in axis_of.front}

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        left, right, low = _frame(axis, [(value, share) for _, value, share in judged])
        stairs = sorted((value, 100 * share.value) for number, value, share in judged
                        if networks[number - 1].name in on)  # fmt: skip
        axis.plot(*_stairs_of(stairs, right), color=ACCENT, lw=1.1, alpha=0.7, zorder=1)
        for number, value, share in judged:
            filled = networks[number - 1].name in on
            shade, height = ACCENT if filled else MUTED, 100 * share.value
            x, y = min(max(value, left), right), max(height, low)
            marker = ">" if value > right else "<" if value < left else "v" if height < low else "o"
            inside = marker == "o"
            if inside:
                ends = [100 * end for end in share.interval]
                axis.plot([x, x], ends, color=shade, lw=0.7, alpha=0.6, zorder=2)
            axis.plot([x], [y], marker, ms=11 if inside else 7, color=shade, mfc=shade, clip_on=False)
            beside = {"o": 0, "<": 11}.get(marker, -11)
            axis.annotate(
                f"{number}", (x, y), (beside, 0), textcoords="offset points", ha="center", va="center",
                fontsize=7.5, color=PAPER if inside else shade, zorder=4,
            )  # fmt: skip
        axis.grid(axis="y")
        axis.set_xlabel(f"{axis_of.name}, {axis_of.unit}")
        axis.set_ylabel("accuracy in %")

    return svg(name, f"Accuracy against {axis_of.name}", draw)


def _frame(axis: Any, judged: Sequence[tuple[float, Accuracy]]) -> tuple[float, float, float]:
    """Limits around the networks near the best; the left, right and lower end of what is within."""
    best = max((share.value for _, share in judged), default=0.0)
    near = [(value, share) for value, share in judged if 100 * (best - share.value) <= NEAR] or list(judged)
    middle = float(np.median([value for value, _ in near])) if near else 1.0
    near = [(value, share) for value, share in near if value <= FAR * middle] or near
    values = [value for value, _ in near] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or 0.1 * high or 1.0
    ends = [100 * end for _, share in near for end in share.interval] or [0.0, 100.0]
    below = len(near) < len(judged)
    floor = min(ends) - (0.1 if below else 0.03) * (max(ends) - min(ends))
    axis.set_xlim(low - room, high + (2 if below else 1) * room)
    axis.set_ylim(floor, min(100.5, max(ends) + 0.3))
    return low - 0.7 * room, high + 1.4 * room, floor + 0.06 * (max(ends) - floor)


def _stairs_of(points: Sequence[tuple[float, float]], right: float) -> tuple[list[float], list[float]]:
    """The line under which nothing is better, from the cheapest to the right end."""
    if not points:
        return [], []
    xs, ys = [points[0][0]], [points[0][1]]
    for x, y in points[1:]:
        xs, ys = [*xs, x, x], [*ys, ys[-1], y]
    return [*xs, max(right, xs[-1])], [*ys, ys[-1]]
