"""The report of a run as aligned tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sast_deploy.base.text import counted, percent_given
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.run import Execution, Report
from sast_deploy.show.blocks import Facts, Out, Table


def print_report(report: Report, out: Out) -> None:
    """Print the report as aligned tables."""
    out.print(Facts(_summary(report)), "", _operations(report))
    if report.confusion is not None:
        out.print("", _confusion(report, report.confusion.tolist()))


def _summary(report: Report) -> dict[str, str]:
    data, net = report.facts["data"], report.facts["net"]
    start = ", its start included" if report.run.backend == "lava" else ""
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in report.firing_rates.items())
    return {
        "network": net["path"] or "not saved",
        "profile": report.facts["profile"],
        "data": str(data["provenance"]),
        **_accuracies(report),
        "reference check": _check(report.run),
        "firing rates": f"{rates} spikes per neuron and step",
        "seconds": f"{report.run.seconds:.1f} on {report.run.backend}{start}",
        "program digest": net["program_digest"],
        "checkpoint digest": report.facts["checkpoint"].get("digest", "not recorded"),
        "versions": ", ".join(f"{k} {v}" for k, v in report.facts["versions"].items()),
    }


def _accuracies(report: Report) -> dict[str, str]:
    """The test split and the share of it that is right; the training's own figures beside it."""
    data, checkpoint, samples = report.facts["data"], report.facts["checkpoint"], report.samples
    accuracy = "no labels" if report.accuracy is None else f"{report.accuracy}"
    found = {"accuracy": f"{accuracy}, integers on {report.run.backend}"}
    if data["dataset"] is None:
        return found
    unlike = data["unlike_training"]
    return {
        "test split": _split(samples, data),
        **({"WARNING": unlike} if unlike else {}),
        **found,
        "  float, hard spikes": _training_accuracy(checkpoint, "hard", unlike, samples),
        "  float, surrogate": _training_accuracy(checkpoint, "surrogate", unlike, samples),
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


def _check(run: Execution) -> str:
    if run.backend == "reference":
        return "this run is the reference's"
    if run.checked == 0:
        return "not done"
    if run.difference is not None:
        return f"DIFFERS: {run.difference}"
    identical = f"{counted(run.checked, 'sample')} replayed: spike counts, logits and predictions identical"
    some = f"all by the vectorised specification, {run.by_reference} by the reference"
    return f"{identical}; {'all by the reference' if run.by_reference == run.checked else some}"


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


def _confusion(report: Report, confusion: list[list[int]]) -> Table:
    rows = [
        (name, *(str(value) if value else "." for value in row))
        for name, row in zip(report.classes, confusion, strict=True)
    ]
    title = f"confusion of {_samples(report)} (rows: true, columns: predicted)"
    return Table(title, ("", *report.classes), tuple(rows), left=1)


def _samples(report: Report) -> str:
    """How many samples the tables are of, and whether that is all."""
    data = report.facts["data"]
    of = "" if report.samples == data["test_samples"] else f" of {data['test_samples']}"
    return f"{report.samples}{of} {'samples' if data['dataset'] is None else 'test samples'}"
