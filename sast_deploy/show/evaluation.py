"""An evaluation of a checkpoint as a table, a fine-tuning as lines."""

from __future__ import annotations

from sast_deploy.base.text import percent
from sast_deploy.exchange.network import FloatEvaluation
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.show.blocks import Table
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.evaluate import EvaluationResult


def evaluation_table(found: EvaluationResult) -> Table:
    """Accuracies with their intervals, and firing rates."""
    rows = []
    for name, correct, rates in (
        ("surrogate", found.surrogate_correct, found.surrogate_rates),
        ("hard spikes", found.hard_correct, found.hard_rates),
    ):
        accuracy = Accuracy(correct, found.samples)
        low, high = map(percent, accuracy.interval)
        rows.append((name, percent(accuracy.value), f"{low} to {high}", *(f"{rate:.3f}" for rate in rates)))
    layers = [f"rate of layer {index}" for index in range(len(found.hard_rates))]
    rows.append(("gap", percent(found.transfer_gap), *[""] * (1 + len(layers))))
    title = f"{found.samples} test samples, {found.seconds:.1f} s"
    return Table(title, ("", "accuracy", "95 % interval", *layers), tuple(rows), left=1)


def imported_table(found: FloatEvaluation) -> Table:
    """The accuracy of an imported network with its interval, and firing rates."""
    low, high = map(percent, found.accuracy.interval)
    rates = [f"{rate:.3f}" for rate in found.rates]
    columns = ("", "accuracy", "95 % interval", *(f"rate of layer {index}" for index in range(len(rates))))
    row = ("hard spikes", percent(found.accuracy.value), f"{low} to {high}", *rates)
    return Table(f"{found.accuracy.samples} test samples, {found.seconds:.1f} s", columns, (row,), left=1)


def finetuning_lines(found: Checkpoint) -> list[str]:
    """The integer accuracies before and after, on validation and test samples."""
    metrics, test = found.metrics, found.metrics["test"]
    start = metrics["finetuned"]["validation_integer_accuracy"]
    rows = [
        f"integer accuracy on {metrics['validation_samples']} validation samples: "
        f"{percent(start)} -> {percent(metrics['validation_integer_accuracy'])} "
        f"(epoch {metrics['epoch']} of {metrics['epochs']})",
        f"integer accuracy on {test['samples']} test samples: "
        f"{percent(test['integer_start'])} -> {percent(test['integer'])}",
    ]
    if metrics["epoch"] == 0:
        rows.append("no epoch was better: the weights are those it started from")
    return rows
