"""One sample as a picture: events, spikes, membrane potentials with thresholds, logits over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.outputs import Origin
from sast_deploy.base.text import counted, pictured
from sast_deploy.reports.tracing import LayerTrace, SampleTrace
from sast_deploy.show.blocks import Facts, Out, Table
from sast_deploy.show.figures import MARKERS, colour, figure

NEURONS, FEW_NEURONS = 5, 2  # whose membrane potentials are drawn, of each layer; fewer of long samples
CLASSES = 7  # whose logits are named, the largest; the others are grey
FEW_STEPS = 60  # up to so many a spike is a line of its step's width
POINTS = 20_000  # of a raster; beyond so many neurons are drawn evenly spread
GREY = "#BBBBBB"
BESIDE: dict[str, Any] = {
    "loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False, "fontsize": 7, "title_fontsize": 7,
}  # fmt: skip


def print_trace(trace: SampleTrace, out: Out) -> None:
    """The sample's answer, and a line for each layer."""
    given = "unknown" if trace.label is None else trace.classes[trace.label]
    last = trace.logits[-1]
    facts = {
        "sample": f"{trace.what}, on {trace.engine}",
        "class": f"{trace.classes[trace.prediction]} (label: {given})",
        "decided": decided(trace),
        "logits": ", ".join(f"{name} {value:,}" for name, value in zip(trace.classes, last, strict=True)),
    }
    rows = tuple(
        (layer.name, f"{layer.membrane.shape[1]:,}", f"{layer.spikes.any(axis=0).sum():,}",
         f"{layer.spikes.sum():,}", f"{layer.spikes.mean():.4f}")
        for layer in trace.layers
    )  # fmt: skip
    columns = ("layer", "neurons", "that fired", "spikes", "per neuron and step")
    out.print(Facts(facts), "", Table("", columns, rows, left=1))


def decided(trace: SampleTrace) -> str:
    """From which step on the prediction stays what it is."""
    other = np.flatnonzero(trace.logits.argmax(axis=1) != trace.prediction)
    since = int(other[-1]) + 1 if len(other) else 0
    return f"from step {since} of {len(trace.logits)} on"


def draw_trace(trace: SampleTrace, path: Path, made: Origin | None = None) -> None:
    """Rows: the input's events, for each layer raster and membrane potentials, logits. Raises OutputError."""
    rows = 2 + len(trace.layers)
    with figure(9.6, 1.9 * rows + 0.5, path, made) as drawn:
        axes = drawn.subplots(rows, 2, sharex=True, squeeze=False)
        _input(axes[0], trace)
        for pair, layer in zip(axes[1:-1], trace.layers, strict=True):
            _raster(pair[0], layer)
            _membranes(pair[1], layer)
        _logits(axes[-1], trace)
        for axis in axes[-1]:
            axis.set_xlabel("step")
        for axis in axes.ravel():
            axis.set_xlim(-0.5, len(trace.logits) - 0.5)
            axis.xaxis.get_major_locator().set_params(integer=True)
        drawn.align_ylabels()
        drawn.suptitle(_title(trace), fontsize=10)


def _title(trace: SampleTrace) -> str:
    given = "" if trace.label is None else f", label {trace.classes[trace.label]}"
    return pictured(f"{trace.what}: class {trace.classes[trace.prediction]}{given}, on {trace.engine}", 110)


def _input(axes: Any, trace: SampleTrace) -> None:
    """Where and when there are events, by channel; beside it how many a step has."""
    frames = np.asarray(trace.frames)
    names = ("OFF", "ON") if frames.shape[1] == 2 else tuple(map(str, range(frames.shape[1])))
    pixels = frames.shape[2] * frames.shape[3]
    for channel, name in enumerate(names[: len(MARKERS)]):
        plane = frames[:, channel].reshape(len(frames), -1)
        part = channel / len(names), (channel + 1) / len(names)
        _points(axes[0], plane != 0, colour(channel), part)
        axes[1].plot(
            plane.sum(axis=1), color=colour(channel), marker=_marker(channel, trace), ms=3, lw=1.2, label=name
        )
    axes[0].set_ylabel("pixel")
    axes[0].set_title(f"input, {counted(pixels, 'pixel')}, channels {', '.join(names)}", loc="left")
    axes[1].set_ylabel("sum of inputs")
    axes[1].set_title("input a step", loc="left")
    axes[1].set_ylim(bottom=min(0, frames.min()))
    axes[1].legend(frameon=False, fontsize=8)


def _raster(axis: Any, layer: LayerTrace) -> None:
    _points(axis, layer.spikes != 0, "#000000", (0.0, 1.0))
    total, neurons = int(layer.spikes.sum()), layer.spikes.shape[1]
    axis.set_title(f"{layer.name}: {counted(total, 'spike')}, {counted(neurons, 'neuron')}", loc="left")
    axis.set_ylabel("neuron")
    axis.set_ylim(-0.5, neurons - 0.5)


def _points(axis: Any, fired: Any, shade: str, part: tuple[float, float]) -> None:
    """A mark for every True of (time, n), between these parts of a step, from 0 to 1."""
    if len(fired) <= FEW_STEPS:
        for step in range(len(fired)):
            places = np.flatnonzero(fired[step])
            axis.hlines(places, step - 0.45 + 0.9 * part[0], step - 0.45 + 0.9 * part[1], shade, lw=0.8)
        return
    every = 1 + np.count_nonzero(fired) // POINTS
    steps, places = np.nonzero(fired[:, ::every])
    axis.scatter(steps + part[0], places * every, s=1.5, c=shade, marker="|", linewidths=0.7, rasterized=True)


def liveliest(layer: LayerTrace) -> npt.NDArray[np.int64]:
    """Its neurons, those first that fired in nearest to half of the steps."""
    fired_in = layer.spikes.sum(axis=0, dtype=np.int64)
    return np.argsort(-np.minimum(fired_in, len(layer.spikes) - fired_in), kind="stable")


def _membranes(axis: Any, layer: LayerTrace) -> None:
    """Of the neurons that fired in nearest to half of the steps, in units of their thresholds."""
    chosen = liveliest(layer)[: NEURONS if len(layer.spikes) <= FEW_STEPS else FEW_NEURONS]
    scale = np.where(layer.threshold == 0, 1, layer.threshold)[chosen]
    levels = layer.membrane[:, chosen] / scale
    for number, neuron in enumerate(chosen):
        fired = np.flatnonzero(layer.spikes[:, neuron])
        axis.plot(levels[:, number], color=colour(number), lw=1.1, label=f"{neuron}")
        axis.plot(fired, levels[fired, number], color=colour(number), ls="", marker=MARKERS[number], ms=4)
    axis.axhline(1.0, color="#000000", lw=0.9, ls="--")
    axis.set_title("membrane / threshold; marks: spikes", loc="left")
    axis.set_ylabel("u / θ")
    axis.legend(title="neuron", **BESIDE)


def _logits(axes: Any, trace: SampleTrace) -> None:
    """All classes over time, the largest named; beside it the margin of the prediction."""
    order = np.argsort(-trace.logits[-1], kind="stable")
    for place, index in reversed(list(enumerate(order))):
        named = place < CLASSES
        style: dict[str, Any] = {"color": colour(place) if named else GREY, "lw": 1.4 if place == 0 else 0.9}
        label = {"label": pictured(trace.classes[index], 24)} if named else {}
        axes[0].plot(trace.logits[:, index], marker=_marker(place, trace), ms=3, **style, **label)
    handles, names = axes[0].get_legend_handles_labels()
    axes[0].legend(handles[::-1], names[::-1], title="class", **BESIDE)
    axes[0].set_title("logits if the sample ended here", loc="left")
    axes[0].set_ylabel("logit")
    others = np.delete(trace.logits, trace.prediction, axis=1)
    if others.shape[1]:
        margin = trace.logits[:, trace.prediction] - others.max(axis=1)
        axes[1].plot(margin, color="#000000", lw=1.2, marker=_marker(0, trace), ms=3)
    axes[1].axhline(0.0, color=GREY, lw=0.9)
    name = pictured(trace.classes[trace.prediction], 24)
    axes[1].set_title(f"margin of {name} over the next class", loc="left")
    axes[1].set_ylabel("logit difference")


def _marker(number: int, trace: SampleTrace) -> str:
    """None on a long sample, where they would cover the line."""
    return MARKERS[number % len(MARKERS)] if len(trace.logits) <= 40 else ""
