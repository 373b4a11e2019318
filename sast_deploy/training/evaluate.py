"""How a checkpoint does before quantization: surrogate accuracy, hard-spike accuracy, transfer gap, rates.

Part of a layer's activity is the surrogate's tail: a neuron far below its threshold still emits something
while it is trained, by the arctan sigma(u - theta) ~ 1 / (pi k (theta - u)), and a layer above can add up
hundreds of these.
Hard spikes have none of it. Where this share is large, so is the gap between smooth and hard spikes
(docs/sast-study.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import track
from sast_deploy.base.text import percent
from sast_deploy.data import FrameSplit
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.training.batches import BatchFeeder, Indices, feeder_of, fitting_threads, pick_device
from sast_deploy.training.checkpoint import Checkpoint, load_network
from sast_deploy.training.network.network import Network, cross_entropy
from sast_deploy.training.recipes import Recipe

LARGE = 0.15  # networks with a gap of several points have more of it, others less than 0.1


@dataclass(frozen=True)
class EvaluationResult:
    """Accuracies of one network with smooth and with hard spikes, on the same samples.

    Attributes:
        samples: how many.
        surrogate_correct, hard_correct: how many of them are classified correctly with sigma and with H.
        surrogate_rates, hard_rates: mean spike value per layer, neuron, step and sample, in [0, 1].
        seconds: wall time.
    """

    samples: int
    surrogate_correct: int
    hard_correct: int
    surrogate_rates: tuple[float, ...]
    hard_rates: tuple[float, ...]
    seconds: float

    @property
    def surrogate_accuracy(self) -> float:
        """Share of samples classified correctly with smooth spikes."""
        return self.surrogate_correct / self.samples

    @property
    def hard_accuracy(self) -> float:
        """Share of samples classified correctly with hard spikes, nothing else changed."""
        return self.hard_correct / self.samples

    @property
    def transfer_gap(self) -> float:
        """Surrogate accuracy - hard-spike accuracy."""
        return self.surrogate_accuracy - self.hard_accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the accuracies and their 95 % intervals."""
        return asdict(self) | {
            "surrogate_accuracy": self.surrogate_accuracy,
            "surrogate_interval": Accuracy(self.surrogate_correct, self.samples).interval,
            "hard_accuracy": self.hard_accuracy,
            "hard_interval": Accuracy(self.hard_correct, self.samples).interval,
            "transfer_gap": self.transfer_gap,
        }


def evaluate(
    checkpoint: Checkpoint,
    split: FrameSplit,
    *,
    device: str = "auto",
    batch: int = 256,
) -> EvaluationResult:
    """Run the checkpoint's network over all samples of `split`, with smooth and with hard spikes.

    Of a network that was trained with hard spikes (recipe.forward "hard") the surrogate figures say what its
    weights do with smooth spikes, which it never saw: the gap is then the cost of the swap the other way.

    Raises UsageError: frames of another shape than the network's, or no samples.

    >>> sast.evaluate(trained, data.test).samples == len(data.test)
    True
    """
    shape = (checkpoint.frames.steps, *checkpoint.network.input_shape)
    if split.frames.shape[1:] != shape or len(split.labels) == 0:
        raise UsageError(
            f"{len(split.labels)} frames of shape {split.frames.shape[1:]}",
            where=checkpoint.name,
            expected=f"one or more of the network's shape, {shape}",
            todo="train it again on frames like these",
        )
    start = time.perf_counter()
    feeder = feeder_of(split, checkpoint.frames.clip, pick_device(device), checkpoint.network)
    network = load_network(checkpoint).to(feeder.device)
    correct = np.zeros(2, np.int64)
    rates = np.zeros((2, len(network.layers)))
    total = math.ceil(len(split.labels) / batch)
    batches = feeder.in_order(np.arange(len(split.labels)), batch)
    with torch.no_grad(), fitting_threads(checkpoint.network, feeder.device):
        for x, y in track(batches, "evaluating", total):
            for row, hard in enumerate((False, True)):
                layers = network.spikes(x, hard=hard)
                correct[row] += int((network.logits(layers[-1]).argmax(1) == y).sum())
                rates[row] += [float(s.mean()) * len(y) for s in layers]
    soft_rates, hard_rates = (tuple(row) for row in (rates / len(split.labels)).tolist())
    seconds = time.perf_counter() - start
    return EvaluationResult(
        len(split.labels), int(correct[0]), int(correct[1]), soft_rates, hard_rates, seconds
    )


@torch.no_grad()
def score(network: Network, feeder: BatchFeeder, indices: Indices, *, hard: bool) -> tuple[float, float]:
    """(accuracy, mean cross-entropy) over the samples at `indices`."""
    correct, loss = 0, 0.0
    for x, y in feeder.in_order(indices):
        logits = network(x, hard=hard)
        correct += int((logits.argmax(1) == y).sum())
        loss += float(cross_entropy(logits, y)) * len(y)
    return correct / len(indices), loss / len(indices)


def tail_shares(smooth: Sequence[float], hard: Sequence[float]) -> tuple[float, ...]:
    """1 - hard / smooth for each LIF layer, of its mean spikes per neuron and step; at least 0."""
    return tuple(max(0.0, 1.0 - h / s) if s > 0 else 0.0 for s, h in zip(smooth, hard, strict=True))


def tail_warning(recipe: Recipe, smooth: Sequence[float], hard: Sequence[float]) -> str | None:
    """One line that names the layers with a `LARGE` share; None where there are none.

    A network that was trained with hard spikes forward never used the tails.
    """
    if recipe.forward == "hard":
        return None
    found = [
        f"layer {index} ({percent(share)}: {h:.4f} hard spikes per neuron and step, {s:.4f} smooth)"
        for index, (share, h, s) in enumerate(zip(tail_shares(smooth, hard), hard, smooth, strict=True))
        if share > LARGE
    ]
    if not found:
        return None
    return (
        f"WARNING: the surrogate's tails, which hard spikes do not have, are much of {', '.join(found)}; "
        "train with --set init=lsuv, whose neurons fire from the start, or with --set forward=hard"
    )
