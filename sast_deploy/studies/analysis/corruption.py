"""What accuracy does as something is disturbed more and more: what drop and noise share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.studies.analysis.significance import summary
from sast_deploy.studies.analysis.stream import Stream, logits_from
from sast_deploy.training.batches import Indices
from sast_deploy.training.network.network import Network

Case = tuple[float, int]  # strength, draw
WORDS = {"drop": "event drop", "noise": "weight noise"}


@dataclass(frozen=True)
class Level:
    """One strength of a disturbance.

    Attributes:
        amount: probability (event drop) or relative standard deviation (weight noise); 0 is undisturbed.
        draws: how often it was drawn; one draw suffices at amount 0.
        surrogate, surrogate_sd: accuracy with smooth spikes, its mean and, over several draws, its sample
            standard deviation.
        surrogate_correct: correctly classified samples of each draw.
        hard, hard_sd, hard_correct: the same with hard spikes.
    """

    amount: float
    draws: int
    surrogate: float
    surrogate_sd: float | None
    surrogate_correct: tuple[int, ...]
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
    kind: str, stream: Stream, seed: int, cases: list[Case],
    disturbed: Callable[[Indices], Iterable[tuple[Network, Tensor]]],
) -> Corruption:  # fmt: skip
    """Count correct predictions of every case.

    disturbed: makes of a batch, for each case, the network and its first layer's currents (T, batch, *layer).
    """
    correct = np.zeros((len(cases), 2), np.int64)

    def work(part: Indices) -> None:
        labels = torch.from_numpy(stream.feeder.labels[part]).to(stream.feeder.device)
        for counts, (network, current) in zip(correct, disturbed(part), strict=True):
            for row, hard in enumerate((False, True)):
                counts[row] += int((logits_from(network, current, hard=hard).argmax(1) == labels).sum())

    stream.each_part(work, WORDS[kind])
    amounts = np.array([amount for amount, _ in cases])
    levels = (_level(amount, correct[amounts == amount], len(stream)) for amount in dict.fromkeys(amounts))
    return Corruption(kind, len(stream), seed, tuple(levels))


def _level(amount: float, correct: NDArray[np.int64], samples: int) -> Level:
    """correct: int64 (draws, 2), with smooth and with hard spikes."""
    smooth, hard = (summary(column / samples) for column in correct.T)
    counts, hard_counts = (tuple(column.tolist()) for column in correct.T)
    return Level(float(amount), len(correct), smooth.mean, smooth.sd, counts, hard.mean, hard.sd, hard_counts)
