"""An evaluation of a checkpoint as a table."""

from __future__ import annotations

from sast_deploy.base.text import percent
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.show.blocks import Table
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
