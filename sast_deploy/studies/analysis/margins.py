"""How far membranes stay from their thresholds: the histogram of u - theta, and the share close to it.

A membrane within a hair of its threshold is where smooth and hard spikes differ, and where a rounded weight
turns a spike on or off. The paper (arXiv 2604.09696) reports 4.8 % of the membranes within +-0.2 of threshold
for its baseline and 2.3 % for SAST.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.studies.analysis.subject import HARD, SMOOTH, Subject
from sast_deploy.training.batches import Indices

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


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins of every LIF layer, in the surrogate run and in the hard-spike run over the same samples.

    Attributes:
        samples: how many.
        band, bins: what "within" means, and the histogram's ends and number of bins.
        surrogate_share, hard_share: of all states of all layers within the band.
        surrogate, hard: layer by layer. Of an imported network there is no surrogate: None.
    """

    samples: int
    band: float
    bins: tuple[float, float, int]
    surrogate_share: float | None
    hard_share: float
    surrogate: tuple[MarginCounts, ...] | None
    hard: tuple[MarginCounts, ...]


def margins(subject: Subject) -> Margins:
    """Margins over all samples of a subject, steps and neurons."""
    tallies: dict[str, defaultdict[int, _Tally]] = {kind: defaultdict(_Tally) for kind in subject.forwards}

    def work(part: Indices) -> None:
        for kind, index, d in subject.margins(subject.inputs(part)):
            tallies[kind][index].add(d)

    subject.each_part(work, "membrane margins")
    found = {kind: tuple(row.counts() for row in rows.values()) for kind, rows in tallies.items()}
    surrogate, hard = found.get(SMOOTH), found[HARD]
    share = None if surrogate is None else _pooled(surrogate)
    return Margins(len(subject), BAND, (-REACH, REACH, BINS), share, _pooled(hard), surrogate, hard)


def _pooled(layers: tuple[MarginCounts, ...]) -> float:
    return sum(layer.within for layer in layers) / sum(layer.states for layer in layers)


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
