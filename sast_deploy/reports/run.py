"""The report of a run: frozen facts, JSON-able."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.netx.file import NetFile
from sast_deploy.program.record import SpikeRecord
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.synops import LayerOps, count_operations

REPORT_VERSION = 1


@dataclass(frozen=True)
class Run:
    """How a simulation was done.

    backend: "lava" or "reference". seconds: wall time of the simulation, start of Lava included.
    checked: samples replayed by the reference. difference: first difference found, None for none.
    """

    backend: str
    seconds: float
    checked: int
    difference: str | None


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a person must know of one run of one .net file on one test split.

    firing_rates: mean spikes per neuron and step, by spiking layer. confusion: int64 (classes, classes),
    rows are the true labels. facts: file, digests, data set and versions, JSON-able.
    """

    accuracy: Accuracy
    operations: tuple[LayerOps, ...]
    firing_rates: dict[str, float]
    confusion: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    run: Run
    facts: Mapping[str, Any]

    @property
    def synops(self) -> float:
        """Synaptic operations per sample, all layers and steps."""
        return sum(layer.synops for layer in self.operations)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order a person would read them."""
        low, high = self.accuracy.interval
        return {
            "report_version": REPORT_VERSION,
            **{key: self.facts[key] for key in ("net", "profile", "data")},
            "accuracy": {**asdict(self.accuracy), "value": self.accuracy.value, "interval_95": [low, high]},
            "training": self.facts["checkpoint"],
            "synops_per_sample": {
                "total": self.synops,
                "layers": [asdict(layer) for layer in self.operations],
            },
            "firing_rates": self.firing_rates,
            "confusion": {"classes": list(self.classes), "rows_are_true_labels": self.confusion.tolist()},
            "run": asdict(self.run),
            "versions": self.facts["versions"],
        }

    def to_json(self) -> str:
        """The dictionary as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def make_report(
    net: NetFile,
    frames: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    record: SpikeRecord,
    run: Run,
    facts: Mapping[str, Any],
) -> Report:
    """Put together the report of `record`, the run of `net` on `frames` with true `labels` (samples,)."""
    program = net.program
    classes = len(program.classes)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, record.predictions), 1)
    rates = {
        f"layer {index} ({layer.kind})": float(count.mean()) / program.steps
        for (index, layer), count in zip(program.spiking(), record.counts, strict=True)
    }
    return Report(
        accuracy=Accuracy(int(np.trace(confusion)), len(labels)),
        operations=count_operations(program, frames, record.counts),
        firing_rates=rates,
        confusion=confusion,
        classes=program.classes,
        run=run,
        facts=facts,
    )
