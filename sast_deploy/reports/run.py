"""The report of a run: frozen facts, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.text import counted, percent_given
from sast_deploy.netx.file import NetFile
from sast_deploy.program.program import layer_label
from sast_deploy.program.record import SpikeRecord
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.synops import LayerOps, count_operations
from sast_deploy.show.blocks import Facts, Out, Table

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
        layer_label(index, layer): float(count.mean()) / program.steps
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


def print_report(report: Report, out: Out) -> None:
    """Print the report as aligned tables."""
    out.print(Facts(_summary(report)), "", _operations(report), "", _confusion(report))


def _summary(report: Report) -> dict[str, str]:
    data, net, checkpoint = (report.facts[key] for key in ("data", "net", "checkpoint"))
    unlike = data["unlike_training"]
    start = ", its start included" if report.run.backend == "lava" else ""
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in report.firing_rates.items())
    return {
        "network": str(net["path"]),
        "profile": report.facts["profile"],
        "data": str(data["provenance"]),
        "test split": _split(report.accuracy.samples, data),
        **({"WARNING": unlike} if unlike else {}),
        "accuracy": f"{report.accuracy}, integers on {report.run.backend}",
        "  float, hard spikes": _training_accuracy(checkpoint, "hard", unlike, report.accuracy.samples),
        "  float, surrogate": _training_accuracy(checkpoint, "surrogate", unlike, report.accuracy.samples),
        "reference check": _check(report.run),
        "firing rates": f"{rates} spikes per neuron and step",
        "seconds": f"{report.run.seconds:.1f} on {report.run.backend}{start}",
        "program digest": net["program_digest"],
        "checkpoint digest": checkpoint.get("digest", "not recorded"),
        "versions": ", ".join(f"{k} {v}" for k, v in report.facts["versions"].items()),
    }


def _split(samples: int, data: Mapping[str, Any]) -> str:
    whole = samples == data["test_samples"]
    text = f"{samples} samples" if whole else f"{samples} of {data['test_samples']} samples, evenly spread"
    if data["holdout"] is None:
        return f"{text}, the data set's own"
    return f"{text}, {percent_given(data['holdout'])} held out by seed {data['holdout_seed']}"


def _training_accuracy(
    checkpoint: Mapping[str, Any], kind: str, unlike: str | None, samples: int
) -> str:
    """What was measured after training; nothing where that was on another test split than this run's."""
    test = checkpoint.get("metrics", {}).get("test", {})
    if kind not in test:
        return "not recorded in the checkpoint"
    if unlike:
        return "measured on another test split, so not shown; `sast-deploy evaluate` measures it on this one"
    if test["samples"] != samples:
        return f"measured on all {test['samples']} samples, so not shown beside {samples} of them"
    accuracy = Accuracy(round(test[kind] * test["samples"]), test["samples"])
    return f"{accuracy}, measured after training"


def _check(run: Run) -> str:
    if run.backend == "reference":
        return "this run is the reference's"
    if run.checked == 0:
        return "not done"
    if run.difference is not None:
        return f"DIFFERS: {run.difference}"
    return f"{counted(run.checked, 'sample')} replayed: spike counts, logits and predictions identical"


def _operations(report: Report) -> Table:
    rows = [
        (layer.name, f"{layer.synops:,.0f}", f"{layer.effective:,.0f}", layer.operation, f"{layer.dense:,}")
        for layer in report.operations
    ]
    effective = sum(layer.effective for layer in report.operations)
    dense = sum(layer.dense for layer in report.operations)
    rows.append(("total", f"{report.synops:,.0f}", f"{effective:,.0f}", "", f"{dense:,}"))
    title = f"operations per sample, mean of {_samples(report)}"
    return Table(title, ("layer", "SynOps", "effective", "kind", "dense"), tuple(rows), left=1)


def _confusion(report: Report) -> Table:
    rows = [
        (name, *(str(value) if value else "." for value in row))
        for name, row in zip(report.classes, report.confusion.tolist(), strict=True)
    ]
    title = f"confusion of {_samples(report)} (rows: true, columns: predicted)"
    return Table(title, ("", *report.classes), tuple(rows), left=1)


def _samples(report: Report) -> str:
    """How many samples the tables are of, and whether that is all."""
    whole = report.facts["data"]["test_samples"]
    of = "" if report.accuracy.samples == whole else f" of {whole}"
    return f"{report.accuracy.samples}{of} test samples"
