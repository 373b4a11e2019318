"""Post-hoc threshold calibration: how much of a transfer gap could re-tuned thresholds have closed?

A control for SAST: if the baseline's hard spikes do badly, scaling each layer's theta after training, on
validation data, costs nothing and might do as much.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.progress import task
from sast_deploy.calibration.data import training_parts
from sast_deploy.data import FrameSet
from sast_deploy.reports.accuracy import Accuracy, McNemar, mcnemar
from sast_deploy.studies.analysis.stream import Stream, first_current, logits_from, neurons_of, open_stream
from sast_deploy.training.batches import Batch, fitting_threads
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.network.network import Network, cross_entropy

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0)
SWEEPS = 3  # over all layers, at most
CACHE_BYTES = 2**30  # first-layer currents kept in memory; beyond that they are computed again each time

Factors = tuple[float, ...]  # one for every LIF layer
Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """Hard-spike result on one set of samples: how many, how many correct, mean cross-entropy."""

    samples: int
    correct: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of correct samples."""
        return Accuracy(self.correct, self.samples).value

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return Accuracy(self.correct, self.samples).interval


@dataclass(frozen=True)
class ThresholdTuning:
    """What re-tuned thresholds gain.

    Attributes:
        factors: chosen factor of every LIF layer's thresholds.
        tried: how many settings were measured on the validation part, the search budget.
        validation_before, validation_after: on the part that chose them.
        test_before, test_after: on the test split, which chose nothing.
        test: McNemar's test of after (a) against before (b) on the test split.
    """

    factors: Factors
    tried: int
    validation_before: Measured
    validation_after: Measured
    test_before: Measured
    test_after: Measured
    test: McNemar


def tune_thresholds(
    checkpoint: Checkpoint, data: FrameSet, *, factors: Sequence[float] = FACTORS, device: str = "auto"
) -> ThresholdTuning:
    """Scale every layer's thresholds for the best hard-spike accuracy on the trainer's validation part.

    Coordinate descent: layer by layer the best of `factors` with all others as they stand, until a sweep
    over all layers changes nothing (three sweeps at most). Ties: the lower hard-spike loss, then the factor
    closest to 1. The test split is measured before and after, and decides nothing.

    factors: positive, 1.0 among them. Raises CheckpointError: unknown validation part.
    """
    held = training_parts(checkpoint, data)[1]
    judge = _Judge(open_stream(checkpoint, data.train, indices=held, device=device))
    with task("thresholds") as settings:
        chosen = _descend(judge, factors, settings.advance)
    unchanged = (1.0,) * len(chosen)
    test = open_stream(checkpoint, data.test, device=device)
    (hits, before), (new_hits, after) = (_measure(test, setting) for setting in (unchanged, chosen))
    return ThresholdTuning(
        chosen, len(judge.measured), judge.measured[unchanged], judge.measured[chosen],
        before, after, mcnemar(new_hits, hits),
    )  # fmt: skip


def _descend(judge: _Judge, factors: Sequence[float], advance: Callable[[], None]) -> Factors:
    chosen: Factors = (1.0,) * len(judge.stream.network.layers)
    for _ in range(SWEEPS):
        before = chosen
        for index in range(len(chosen)):
            ranks = {}
            for factor in factors:
                setting = (*chosen[:index], factor, *chosen[index + 1 :])
                found = judge(setting)
                ranks[setting] = (found.correct, -found.loss, -abs(factor - 1.0))
                advance()
            chosen = max(ranks, key=lambda setting: ranks[setting])
        if chosen == before:
            break
    return chosen


class _Judge:
    """Measures settings on the stream's samples, each setting once.

    Thresholds do not touch the first layer's currents, most of the work: where memory allows they are kept.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.measured: dict[Factors, Measured] = {}
        neurons = neurons_of(stream.network)[0] * stream.steps
        self.currents: list[Batch] = []
        if 4 * neurons * len(stream) <= CACHE_BYTES:
            stream.each(lambda x, y: self.currents.append((first_current(stream.network, x), y)), "currents")

    def __call__(self, setting: Factors) -> Measured:
        if setting not in self.measured:
            self.measured[setting] = _measure(self.stream, setting, self.currents)[1]
        return self.measured[setting]


def _measure(stream: Stream, setting: Factors, currents: Sequence[Batch] = ()) -> tuple[Hits, Measured]:
    """Which samples come out right with hard spikes and thresholds times `setting`, and the figures."""
    network, hits, loss = scaled(stream.network, setting), [], 0.0

    def work(current: Tensor, y: Tensor) -> None:
        nonlocal loss
        logits = logits_from(network, current, hard=True)
        hits.append((logits.argmax(1) == y).cpu().numpy())
        loss += float(cross_entropy(logits, y)) * len(y)

    if currents:
        with torch.no_grad(), fitting_threads(network.spec, stream.feeder.device):
            for current, y in currents:
                work(current, y)
    else:
        stream.each(lambda x, y: work(first_current(stream.network, x), y), "thresholds")
    right = np.concatenate(hits)
    return right, Measured(len(right), int(right.sum()), loss / len(right))


def scaled(network: Network, setting: Factors) -> Network:
    """A copy of `network` with the thresholds of layer l multiplied by setting[l]."""
    other = copy.deepcopy(network)
    for index, factor in enumerate(setting):
        other.get_buffer(f"theta_{index}").mul_(factor)
    return other
