"""What the weights became, and what the layers did: from the programs and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.api import Simulation
from sast_deploy.compiler.floatnet import FloatNetwork, FloatResampling
from sast_deploy.program.program import Dense, Program, layer_label
from sast_deploy.program.record import evenly_spread
from sast_deploy.program.sums import weighted_layers
from sast_deploy.reports.dossier import INTEGERS, TRAINED, Histogram, LayerRow, LayerWeights, Recording
from sast_deploy.reports.inputs import Inputs
from sast_deploy.reports.inspection import Inspection

BINS = 64  # of weights, at most
MISTAKES = 24  # recordings that are drawn
TRACED = 6  # samples whose spikes and membranes are drawn


def layer_rows(program: Program, run: Simulation, inspection: Inspection) -> tuple[LayerRow, ...]:
    """Every layer with weights, in order."""
    shapes, found = program.shapes(), []
    each = zip(
        weighted_layers(program), run.report.operations, inspection.footprints, inspection.mapping.layers,
        strict=True,
    )  # fmt: skip
    for (index, layer), operations, memory, mapped in each:
        label, shape = layer_label(index, layer), shapes[index + 1]
        parts = [layer.weight, *([layer.recurrent] if isinstance(layer, Dense) and layer.recurrent is not None
                                 else [])]  # fmt: skip
        found.append(LayerRow(
            f"{index}", layer.kind, shape, prod(shape), sum(part.size for part in parts),
            sum(int(np.count_nonzero(part)) for part in parts), run.report.firing_rates.get(label),
            operations.synops, operations.effective, operations.dense, memory.packed_bits,
            mapped.cores,
        ))  # fmt: skip
    return tuple(found)


def layer_weights(program: Program, network: FloatNetwork | None) -> tuple[LayerWeights, ...]:
    """Integers, and what was trained in units of their step, layer by layer.

    network: what was trained, of the same layers; None where it is gone.
    """
    trained: list[Any] = [None] * len(program.layers) if network is None else list(network.layers)
    most, found = 1 << (program.arithmetic.weight_bits - 1), []
    for index, layer in weighted_layers(program):
        real = trained[index]
        weight = None if real is None or isinstance(real, FloatResampling) else np.asarray(real.weight)
        found.append(_layer_weights(layer_label(index, layer), layer.weight, weight, most))
    return tuple(found)


def _layer_weights(
    label: str, integers: npt.NDArray[np.int32], trained: npt.NDArray[Any] | None, most: int
) -> LayerWeights:
    width = max(1, -(-2 * most // BINS))
    edges = np.arange(-most, most + width, width, np.float64) - 0.5
    counts = np.histogram(integers, edges)[0]
    bars = Histogram(INTEGERS, edges, counts.astype(np.int64))
    if trained is None:
        return LayerWeights(label, None, None, -most, most - 1, (bars,))
    q, w = integers.astype(np.float64).ravel(), trained.astype(np.float64).ravel()
    unit = float(w @ q / (q @ q))
    error = float(np.sqrt(np.mean((unit * q - w) ** 2) / np.mean(w**2)))
    fine = np.linspace(edges[0] - width, edges[-1] + width, 4 * (len(edges) + 1) + 1, dtype=np.float64)
    inside = np.histogram(w / unit, fine)[0].astype(np.int64)
    line = Histogram(TRAINED, fine, inside, len(w) - int(inside.sum()))
    return LayerWeights(label, unit, error, -most, most - 1, (line, bars))


def mistakes(inputs: Inputs, run: Simulation) -> tuple[Recording, ...]:
    """The first MISTAKES samples that were given another class, as event frames."""
    assert inputs.labels is not None
    wrong = np.flatnonzero(run.predictions != inputs.labels)
    return tuple(_recording(inputs, run, int(at)) for at in wrong[:MISTAKES])


def _recording(inputs: Inputs, run: Simulation, at: int) -> Recording:
    assert inputs.labels is not None
    classes, label, logits = run.report.classes, int(inputs.labels[at]), run.logits[at]
    frames = np.asarray(inputs.frames[at : at + 1])[0]
    image = frames[np.abs(frames).sum(axis=(1, 2, 3)).argmax()].astype(np.int64)
    prediction = int(run.predictions[at])
    margin = int(logits[prediction] - logits[label])
    return Recording(name_of(inputs, at), classes[label], classes[prediction], margin, image)


def name_of(inputs: Inputs, at: int) -> str:
    """What a sample is called: its number, and its recording where there is one."""
    number = f"sample {inputs.numbers[at]}"
    return f"{number}, {inputs.ids[at]}" if inputs.ids else number


def chosen_traces(inputs: Inputs, run: Simulation, wanted: Sequence[int], most: int = TRACED) -> list[int]:
    """Places of the samples that are traced: those wanted, else right and wrong ones, evenly spread."""
    if wanted:
        return list(wanted)
    if inputs.labels is None:
        return [*map(int, evenly_spread(len(inputs.frames), most))]
    right = np.flatnonzero(run.predictions == inputs.labels)
    wrong = np.flatnonzero(run.predictions != inputs.labels)
    few = wrong[evenly_spread(len(wrong), 2)] if len(wrong) else wrong
    rest = right[evenly_spread(len(right), most - len(few))] if len(right) else right
    return [*map(int, rest), *map(int, few)]
