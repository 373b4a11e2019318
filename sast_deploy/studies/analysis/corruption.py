"""What accuracy does as something is disturbed more and more: what drop and noise share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.studies.analysis.significance import summary
from sast_deploy.studies.analysis.subject import Subject
from sast_deploy.training.batches import Indices

Case = tuple[float, int]  # strength, draw
WORDS = {"drop": "event drop", "noise": "weight noise"}


@dataclass(frozen=True, kw_only=True)
class Level:
    """One strength of a disturbance.

    Attributes:
        amount: probability (event drop) or relative standard deviation (weight noise); 0 is undisturbed.
        draws: how often it was drawn; one draw suffices at amount 0.
        surrogate, surrogate_sd: accuracy with smooth spikes, its mean and, over several draws, its sample
            standard deviation.
        surrogate_correct: correctly classified samples of each draw. All three None of an imported network.
        hard, hard_sd, hard_correct: the same with hard spikes.
    """

    amount: float
    draws: int
    surrogate: float | None = None
    surrogate_sd: float | None = None
    surrogate_correct: tuple[int, ...] | None = None
    hard: float
    hard_sd: float | None
    hard_correct: tuple[int, ...]


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


def cases_of(amounts: Sequence[float], draws: int) -> list[Case]:
    """All that is measured: one draw where nothing is disturbed."""
    return [(amount, draw) for amount in amounts for draw in range(draws if amount else 1)]


def corruption(
    kind: str, subject: Subject, seed: int, cases: list[Case],
    disturbed: Callable[[Indices], Iterable[tuple[Subject, Any]]],
) -> Corruption:  # fmt: skip
    """Count correct predictions of every case.

    disturbed: makes of a batch, for each case, what is shown, and its inputs.
    """
    correct = {each: np.zeros(len(cases), np.int64) for each in subject.forwards}

    def work(part: Indices) -> None:
        labels = subject.labels[part]
        for case, (shown, x) in zip(range(len(cases)), disturbed(part), strict=True):
            for each, classes in shown.classes(x).items():
                correct[each][case] += int((classes == labels).sum())

    subject.each_part(work, WORDS[kind])
    amounts = np.array([amount for amount, _ in cases])
    levels = (
        _level(amount, {each: counts[amounts == amount] for each, counts in correct.items()}, len(subject))
        for amount in dict.fromkeys(amounts)
    )
    return Corruption(kind, len(subject), seed, tuple(levels))


def _level(amount: float, correct: Mapping[str, NDArray[np.int64]], samples: int) -> Level:
    """correct: by kind of spikes, (draws,)."""
    found: dict[str, Any] = {}
    for each, counts in correct.items():
        share = summary((counts / samples).tolist())
        found |= {each: share.mean, f"{each}_sd": share.sd, f"{each}_correct": tuple(counts.tolist())}
    return Level(amount=float(amount), draws=len(counts), **found)
