"""Several networks beside each other: which of them is right where, and whether that could be chance."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import UsageError
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.reports.accuracy import Accuracy, McNemar, mcnemar
from sast_deploy.studies.analysis.predictions import Predictions
from sast_deploy.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Duel:
    """Network a against network b on the same test samples: smooth spikes, if both have them, and hard."""

    a: str
    b: str
    surrogate: McNemar | None
    hard: McNemar

    def lines(self) -> list[str]:
        """One per kind of spike."""
        rows = []
        for name, test in (("hard spikes", self.hard), ("surrogate", self.surrogate)):
            if test is None:
                continue
            rows.append(
                f"{self.a} - {self.b}, {name}: {100 * test.difference:+.2f} points "
                f"on {test.samples} samples (right alone: {test.only_a} against {test.only_b}; "
                f"McNemar p = {test.p:.2g})"
            )
        return rows


def compare(
    predictions: Mapping[str, Predictions],
) -> tuple[tuple[Duel, ...], tuple[tuple[str, str], ...]]:
    """Every pair of networks that predicted the same samples, and the pairs that did not, in the order given.

    The same: of the same recordings, by name and class. Real N-MNIST, and what is simulated of MNIST, have
    the same names.
    """
    found, apart = [], []
    for (a, one), (b, two) in itertools.combinations(predictions.items(), 2):
        if (one.data, one.ids) != (two.data, two.ids) or not np.array_equal(one.labels, two.labels):
            apart.append((a, b))
            continue
        surrogate = None
        if one.surrogate is not None and two.surrogate is not None:
            surrogate = mcnemar(one.surrogate == one.labels, two.surrogate == two.labels)
        hard = mcnemar(one.hard == one.labels, two.hard == two.labels)
        found.append(Duel(a, b, surrogate, hard))
    return tuple(found), tuple(apart)


def accuracies(predictions: Predictions) -> dict[str, Any]:
    """Plain values: accuracy with smooth and with hard spikes, 95 % intervals, transfer gap; or None."""
    values: dict[str, Any] = {"samples": len(predictions.labels)}
    for name, classes in (("surrogate", predictions.surrogate), ("hard", predictions.hard)):
        keys, found = [f"{name}_{each}" for each in ("correct", "accuracy", "interval")], None
        if classes is not None:
            found = Accuracy(int((classes == predictions.labels).sum()), len(predictions.labels))
        held = (None,) * 3 if found is None else (found.correct, found.value, list(found.interval))
        values |= dict(zip(keys, held, strict=True))
    smooth = values["surrogate_accuracy"]
    return values | {"transfer_gap": None if smooth is None else smooth - values["hard_accuracy"]}


def tell_apart(checkpoints: Sequence[Checkpoint | ImportedNetwork], paths: Sequence[Path]) -> list[str]:
    """The checkpoints' own names where they tell them apart, else their paths. Raises UsageError."""
    recorded = [each.name for each in checkpoints]
    names = recorded if len(set(recorded)) == len(recorded) else [str(path) for path in paths]
    if len(set(names)) != len(names):
        raise UsageError("the same checkpoint twice", where=str(paths[0]), expected="different ones")
    return names
