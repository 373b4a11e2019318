"""The report of a run: frozen facts, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table

from sast_deploy.accuracy import Accuracy
from sast_deploy.netx import NetFile
from sast_deploy.simulate.record import SpikeRecord
from sast_deploy.synops import LayerOps, count_operations

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


def print_report(report: Report, console: Console) -> None:
    """Print the report as aligned tables."""
    console.print(Group(_summary(report), "", _operations(report), "", _confusion(report)))


def _summary(report: Report) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    data, net, checkpoint = (report.facts[key] for key in ("data", "net", "checkpoint"))
    table.add_row("network", f"{net['path']}")
    table.add_row("profile", report.facts["profile"])
    table.add_row("data", f"{data['provenance']}")
    table.add_row("test split", _split(report.accuracy.samples, data))
    if data["unlike_training"]:
        table.add_row("WARNING", data["unlike_training"])
    table.add_row("accuracy", f"{report.accuracy}, integers on {report.run.backend}")
    for key, label in (("hard", "float, hard spikes"), ("surrogate", "float, surrogate")):
        table.add_row(f"  {label}", _training_accuracy(checkpoint, key))
    table.add_row("reference check", _check(report.run))
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in report.firing_rates.items())
    table.add_row("firing rates", f"{rates} spikes per neuron and step")
    start = ", its start included" if report.run.backend == "lava" else ""
    table.add_row("seconds", f"{report.run.seconds:.1f} on {report.run.backend}{start}")
    table.add_row("program digest", net["program_digest"])
    table.add_row("checkpoint digest", checkpoint.get("digest", "not recorded"))
    table.add_row("versions", ", ".join(f"{k} {v}" for k, v in report.facts["versions"].items()))
    return table


def _split(samples: int, data: Mapping[str, Any]) -> str:
    whole = samples == data["test_samples"]
    text = f"{samples} samples" if whole else f"{samples} of {data['test_samples']} samples, evenly spread"
    if data["holdout"] is None:
        return f"{text}, the data set's own"
    return f"{text}, {100 * data['holdout']:g} % held out by seed {data['holdout_seed']}"


def _training_accuracy(checkpoint: Mapping[str, Any], kind: str) -> str:
    test = checkpoint.get("metrics", {}).get("test", {})
    if kind not in test:
        return "not recorded in the checkpoint"
    accuracy = Accuracy(round(test[kind] * test["samples"]), test["samples"])
    return f"{accuracy}, measured after training"


def _check(run: Run) -> str:
    if run.backend == "reference":
        return "this run is the reference's"
    if run.checked == 0:
        return "not done"
    if run.difference is not None:
        return f"DIFFERS: {run.difference}"
    return f"{run.checked} samples replayed: spike counts, logits and predictions identical"


def _operations(report: Report) -> RenderableType:
    table = Table(title="operations per sample", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer")
    for name in ("SynOps", "effective", "kind", "dense"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for layer in report.operations:
        table.add_row(
            layer.name, f"{layer.synops:,.0f}", f"{layer.effective:,.0f}", layer.operation, f"{layer.dense:,}"
        )
    effective = sum(layer.effective for layer in report.operations)
    dense = sum(layer.dense for layer in report.operations)
    table.add_row("total", f"{report.synops:,.0f}", f"{effective:,.0f}", "", f"{dense:,}", style="bold")
    return table


def _confusion(report: Report) -> RenderableType:
    table = Table(
        title="confusion (rows: true, columns: predicted)", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("")
    for name in report.classes:
        table.add_column(name, justify="right")
    for name, row in zip(report.classes, report.confusion.tolist(), strict=True):
        table.add_row(name, *(str(value) if value else "." for value in row))
    return table
