"""How far membranes stay from their thresholds: the histogram of u - theta, and the share close to it.

A membrane within a hair of its threshold is where smooth and hard spikes differ, and where a rounded weight
turns a spike on or off. The paper (arXiv 2604.09696) reports 4.8 % of the membranes within +-0.2 of threshold
for its baseline and 2.3 % for SAST.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.data import FrameSplit
from sast_deploy.studies.analysis.stream import open_stream
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint

BAND = 0.2  # the paper's
REACH = 4.0  # the histogram covers +-4 ...
BINS = 160  # ... in bins of 0.05


@dataclass(frozen=True, eq=False)
class MarginCounts:
    """Margins d = u - theta of one LIF layer over all its (sample, step, neuron).

    Attributes:
        states: how many there are.
        within: how many have |d| <= 0.2.
        mean, sd: of d.
        below, above: how many have d < -4 and d > 4.
        histogram: (160,) int64 counts of the others, in bins of 0.05.
    """

    states: int
    within: int
    mean: float
    sd: float
    below: int
    above: int
    histogram: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Share of the states with |d| <= 0.2."""
        return self.within / self.states

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"share": self.share, "histogram": self.histogram.tolist()}


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins of every LIF layer, in the surrogate run and in the hard-spike run over the same samples."""

    samples: int
    surrogate: tuple[MarginCounts, ...]
    hard: tuple[MarginCounts, ...]

    @property
    def surrogate_share(self) -> float:
        """Share of all states of all layers with |u - theta| <= 0.2, with smooth spikes."""
        return pooled_share(self.surrogate)

    @property
    def hard_share(self) -> float:
        """The same with hard spikes."""
        return pooled_share(self.hard)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "samples": self.samples, "band": BAND, "bins": [-REACH, REACH, BINS],
            "surrogate_share": self.surrogate_share, "hard_share": self.hard_share,
            "surrogate": [layer.to_dict() for layer in self.surrogate],
            "hard": [layer.to_dict() for layer in self.hard],
        }  # fmt: skip


def pooled_share(layers: tuple[MarginCounts, ...]) -> float:
    """Share within the band over all layers together, every state counting once."""
    return sum(layer.within for layer in layers) / sum(layer.states for layer in layers)


def margins(
    checkpoint: Checkpoint,
    split: FrameSplit,
    *,
    indices: Indices | None = None,
    device: str = "auto",
) -> Margins:
    """Margins over all samples of `split` (or those at `indices`), steps and neurons. Raises UsageError."""
    stream = open_stream(checkpoint, split, indices=indices, device=device)
    layers = range(len(stream.network.layers))
    tallies = {hard: [_Tally() for _ in layers] for hard in (False, True)}

    def work(x: Tensor, y: Tensor) -> None:
        for hard, rows in tallies.items():
            for index, (u, _) in enumerate(stream.network.states(x, hard=hard)):
                rows[index].add(u.sub_(stream.network.theta(index)))

    stream.each(work, "membrane margins")
    surrogate, hard = (tuple(row.counts() for row in rows) for rows in tallies.values())
    return Margins(len(stream), surrogate, hard)


class _Tally:
    """Running counts of one layer's margins."""

    def __init__(self) -> None:
        self.states = self.within = self.below = self.above = 0
        self.sum = self.squares = 0.0
        self.histogram = np.zeros(BINS, np.int64)

    def add(self, d: Tensor) -> None:
        self.states += d.numel()
        self.within += int((d.abs() <= BAND).sum())
        self.below += int((d < -REACH).sum())
        self.above += int((d > REACH).sum())
        self.sum += float(d.sum(dtype=torch.float64))
        self.squares += float(d.double().square_().sum())
        self.histogram += torch.histc(d.cpu(), BINS, -REACH, REACH).numpy().astype(np.int64)

    def counts(self) -> MarginCounts:
        mean = self.sum / self.states
        sd = max(0.0, self.squares / self.states - mean**2) ** 0.5
        return MarginCounts(self.states, self.within, mean, sd, self.below, self.above, self.histogram)
