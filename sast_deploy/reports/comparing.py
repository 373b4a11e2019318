"""Two networks on the same samples: who is right where, how their layers fire, and where they part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.base.plain import plain
from sast_deploy.engines import EngineName
from sast_deploy.engines.registry import run_engine
from sast_deploy.program.program import Program, layer_label, per_neuron
from sast_deploy.program.record import SpikeRecord
from sast_deploy.reports.accuracy import Accuracy, McNemar, mcnemar
from sast_deploy.reports.inputs import Inputs
from sast_deploy.reports.run import Report, interval_of


@dataclass(frozen=True)
class LayerDifference:
    """The spikes of one spiking layer in both networks.

    name: as in "layer 2 (conv)"; of both where they differ. spikes: mean per sample, of a and of b. unequal:
    share of all (sample, neuron) whose spike counts differ; None where the layers have other neurons.
    """

    name: str
    spikes: tuple[float, float]
    unequal: float | None


@dataclass(frozen=True)
class Parting:
    """The first spike that one network fires and the other does not, in the order step, layer, neuron.

    sample: its number among those compared. step: from 0. layer: index in both programs. fired: "a" or "b".
    membranes, thresholds: of a and of b, each in its own membrane LSBs.
    """

    sample: int
    step: int
    layer: int
    name: str
    neuron: int
    fired: str
    membranes: tuple[int, int]
    thresholds: tuple[int, int]


@dataclass(frozen=True)
class NetComparison:
    """Network a beside network b on the same samples.

    names: of both. samples: how many. accuracy, mcnemar: None without labels. other_predictions: samples that
    they classify differently. layers: empty where they have not as many spiking layers. synops: per sample.
    looked_at: the sample whose spikes were compared one by one, the first of unequal spike counts, else the
    first; None where that says nothing: other layers, or other frames. parting: None where none of its spikes
    differs.

    >>> sast.compare(net, net, frames, labels).parting is None
    True
    """

    names: tuple[str, str]
    samples: int
    accuracy: tuple[Accuracy, Accuracy] | None
    mcnemar: McNemar | None
    other_predictions: int
    layers: tuple[LayerDifference, ...]
    synops: tuple[float, float]
    looked_at: int | None
    parting: Parting | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        shares = None if self.accuracy is None else [interval_of(each) for each in self.accuracy]
        test = self.mcnemar and {**asdict(self.mcnemar), "difference": self.mcnemar.difference}
        values: dict[str, Any] = plain({**asdict(self), "accuracy": shares, "mcnemar": test})
        return values


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two networks: what ran on what, and what came out."""

    name: str
    program: Program
    inputs: Inputs
    record: SpikeRecord
    report: Report


def check_same_samples(names: tuple[str, str], a: Inputs, b: Inputs) -> None:
    """Refuse test splits that are not of the same recordings. Raises DataError."""
    same = a.facts["dataset"] == b.facts["dataset"] and a.ids == b.ids
    if not same or not np.array_equal(_labels(a), _labels(b)):
        raise DataError(
            f"{len(b.frames)} samples of {b.facts['dataset']}", where=names[1],
            expected=f"those of {names[0]}: {len(a.frames)} of {a.facts['dataset']}",
            todo="name one data set for both, --dataset NAME",
        )  # fmt: skip


def compare_sides(a: Side, b: Side, engine: EngineName, sample: int | None) -> NetComparison:
    """Compare two networks that ran on the same samples; sample: as in `sast.compare`.

    Raises UsageError: a sample whose spikes cannot be compared one by one. DataError: no such sample.
    """
    at, parting = None, None
    if _same_frames(a.inputs, b.inputs) and _neurons(a.program) == _neurons(b.program):
        at = _first_unequal(a.record, b.record) if sample is None else sample
        if at >= len(a.record.logits):
            raise DataError(f"no sample {at}", expected=f"0 to {len(a.record.logits) - 1}")
        parting = _part(a, b, at, engine)
    elif sample is not None:
        raise UsageError(f"sample {sample} of networks with other layers or frames", todo="leave it out")
    test, accuracy = None, None
    if a.report.accuracy is not None and b.report.accuracy is not None:
        right = [side.record.predictions == side.inputs.labels for side in (a, b)]
        test, accuracy = mcnemar(*right), (a.report.accuracy, b.report.accuracy)
    return NetComparison(
        (a.name, b.name), a.report.samples, accuracy, test,
        int((a.record.predictions != b.record.predictions).sum()), tuple(_layers(a, b)),
        (a.report.synops, b.report.synops), at, parting,
    )  # fmt: skip


def _labels(inputs: Inputs) -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64) if inputs.labels is None else inputs.labels


def _same_frames(a: Inputs, b: Inputs) -> bool:
    """Whether both networks see the same numbers: those of one digest, or the same that were given."""
    digests = a.facts["frame_digest"], b.facts["frame_digest"]
    return digests[0] == digests[1] and a.frames.shape == b.frames.shape


def _first_unequal(a: SpikeRecord, b: SpikeRecord) -> int:
    """The first sample with a spike count that is not the same in both; 0 where there is none."""
    unequal = [(one != two).any(axis=1) for one, two in zip(a.counts, b.counts, strict=True)]
    return min(int(found.argmax()) if found.any() else len(a.logits) for found in unequal) % len(a.logits)


def _part(a: Side, b: Side, sample: int, engine: EngineName) -> Parting | None:
    """Where the spikes of one sample part first, in the order step, layer, neuron."""
    one = np.asarray(a.inputs.frames[sample : sample + 1])
    traces = [run_engine(engine, side.program, one, trace=True).traces or () for side in (a, b)]
    places = []
    for number, parts in enumerate(zip(*traces, strict=True)):
        found = np.argwhere(parts[0].spikes[0] != parts[1].spikes[0])
        places += [(int(step), number, int(neuron)) for step, neuron in found[:1]]
    if not places:
        return None
    step, number, neuron = min(places)
    index, layer = list(a.program.spiking())[number]
    one_of, other = (int(each[number].membrane[0, step, neuron]) for each in traces)
    fired = "a" if traces[0][number].spikes[0, step, neuron] else "b"
    thresholds = _threshold(a.program, number, neuron), _threshold(b.program, number, neuron)
    label = layer_label(index, layer)
    return Parting(sample, step, index, label, neuron, fired, (one_of, other), thresholds)


def _neurons(program: Program) -> list[int]:
    shapes = program.shapes()
    return [math.prod(shapes[index + 1]) for index, _ in program.spiking()]


def _threshold(program: Program, number: int, neuron: int) -> int:
    _, layer = list(program.spiking())[number]
    return int(per_neuron(layer.vth, _neurons(program)[number])[neuron])


def _layers(a: Side, b: Side) -> Iterator[LayerDifference]:
    """Of every spiking layer; of none where there are not as many in both."""
    spiking = [list(side.program.spiking()) for side in (a, b)]
    if len(spiking[0]) != len(spiking[1]):
        return
    for one, two, x, y in zip(*spiking, a.record.counts, b.record.counts, strict=True):
        labels = dict.fromkeys((layer_label(*one), layer_label(*two)))
        means = float(x.sum(axis=1).mean()), float(y.sum(axis=1).mean())
        unequal = float((x != y).mean()) if x.shape == y.shape else None
        yield LayerDifference(" / ".join(labels), means, unequal)
