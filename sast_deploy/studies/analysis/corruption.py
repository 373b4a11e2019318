"""What accuracy does as something is disturbed more and more: the result that drop and noise share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sast_deploy.studies.analysis.significance import summary
from sast_deploy.studies.analysis.stream import logits_from
from sast_deploy.training.network.network import Network


@dataclass(frozen=True)
class Level:
    """One strength of a disturbance.

    Attributes:
        amount: probability (event drop) or relative standard deviation (weight noise); 0 is undisturbed.
        surrogate, hard: correctly classified samples of each draw, with smooth and with hard spikes;
            one draw suffices at amount 0.
    """

    amount: float
    surrogate: tuple[int, ...]
    hard: tuple[int, ...]


class Draws:
    """Counts correct predictions of every draw of every strength; one draw where nothing is disturbed.

    Attributes:
        cases: (level, draw) of each network run, level an index into `amounts`.
        correct: int64 (2, levels, draws), with smooth and with hard spikes.
    """

    def __init__(self, amounts: Sequence[float], draws: int) -> None:
        self.amounts = amounts
        self.cases = [(level, draw) for level, x in enumerate(amounts) for draw in range(draws if x else 1)]
        self.correct = np.zeros((2, len(amounts), draws), np.int64)

    def count(self, level: int, draw: int, network: Network, current: Tensor, labels: Tensor) -> None:
        """Add a batch: the first layer's `current` (T, batch, *layer) and the true classes (batch,)."""
        for row, hard in enumerate((False, True)):
            right = logits_from(network, current, hard=hard).argmax(1) == labels
            self.correct[row, level, draw] += int(right.sum())

    def levels(self) -> tuple[Level, ...]:
        """The counts, strength by strength."""
        taken = [sum(level == each for level, _ in self.cases) for each in range(len(self.amounts))]
        return tuple(
            Level(amount, *(tuple(row[level, : taken[level]].tolist()) for row in self.correct))
            for level, amount in enumerate(self.amounts)
        )


@dataclass(frozen=True)
class Corruption:
    """Accuracy under a disturbance of growing strength, each strength drawn several times.

    Attributes:
        kind: "drop" or "noise".
        samples: how many each draw is measured on.
        seed: of the draws.
        levels: in the order asked for.
    """

    kind: str
    samples: int
    seed: int
    levels: tuple[Level, ...]

    def accuracy(self, level: Level, *, hard: bool) -> tuple[float, float | None]:
        """(mean, sample standard deviation or None) of the accuracy over the draws of a level."""
        found = summary([n / self.samples for n in (level.hard if hard else level.surrogate)])
        return found.mean, found.sd

    def to_dict(self) -> dict[str, Any]:
        """Plain values: for each level mean, standard deviation over the draws and the draws themselves."""
        return {
            "kind": self.kind, "samples": self.samples, "seed": self.seed,
            "levels": [self._level(level) for level in self.levels],
        }  # fmt: skip

    def _level(self, level: Level) -> dict[str, Any]:
        row: dict[str, Any] = {"amount": level.amount, "draws": len(level.hard)}
        for name, hard, draws in (("surrogate", False, level.surrogate), ("hard", True, level.hard)):
            row[name], row[f"{name}_sd"] = self.accuracy(level, hard=hard)
            row[f"{name}_correct"] = list(draws)
        return row
