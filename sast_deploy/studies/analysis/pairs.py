"""Does the bound hold? Pairs of inputs, searched for the one whose outputs differ most for their distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sast_deploy.base.progress import track
from sast_deploy.studies.analysis.lipschitz import LipschitzBound, lipschitz_bound, time_gain
from sast_deploy.studies.analysis.stream import Stream, batch_size
from sast_deploy.training.batches import fitting_threads
from sast_deploy.training.network.network import Network
from sast_deploy.training.network.surrogates import SURROGATES

SAMPLES = 32  # inputs the search starts from
DISTANCES = (1e-4, 1e-2, 1.0)  # of the disturbed input from the sample, Euclidean over all steps and pixels
ASCENT = 100  # steps of the search
ASCENT_STEPS = (0.02, 0.0001)  # how far it moves a pair in the first and in the last of them
ROUNDING = 1e-6  # relative, in double precision
CLOSE = 1e-9  # membranes no further apart have the derivative for their secant

States = tuple[Tensor, Tensor]  # membranes and spikes


@dataclass(frozen=True)
class PairCheck:
    """The largest ||D logits|| / ||D input|| found, against the bound from the weights.

    Attributes:
        bound: see lipschitz.py.
        samples: inputs the pairs are made from.
        real, disturbed, adversarial: largest ratio between two samples, between a sample and the same with
            a little random noise, and after gradient ascent on the ratio over both inputs.
        layer_use: for each LIF layer, the largest ||D s|| / (constant ||D input||) over all those pairs.
        secant_use: the same with a constant of each pair's own, made from the slopes between its two
            membranes instead of the steepest possible: the same derivation, much tighter. All at most 1.
    """

    bound: LipschitzBound
    samples: int
    real: float
    disturbed: float
    adversarial: float
    layer_use: tuple[float, ...]
    secant_use: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest ratio found: the network's Lipschitz constant is at least this."""
        return max(self.real, self.disturbed, self.adversarial)

    @property
    def holds(self) -> bool:
        """Whether no pair violates the bound, as a whole or layer by layer."""
        uses = (self.used, *self.layer_use, *self.secant_use)
        return all(use <= 1 + ROUNDING for use in uses)

    @property
    def used(self) -> float:
        """The share of the bound that the worst pair uses; 0 where nothing passes through the network."""
        constant = self.bound.constant
        return self.worst / constant if constant else math.inf if self.worst else 0.0


def check_pairs(stream: Stream, *, seed: int = 0) -> PairCheck:
    """Search pairs of inputs around samples of a stream for a violation; its network becomes float64."""
    network = stream.network.double()
    with fitting_threads(network.spec, stream.feeder.device):
        bound = lipschitz_bound(network, stream.steps)
        x = _samples(stream, seed)
        generator = torch.Generator().manual_seed(seed)
        uses = _Uses(network, bound)
        real = max(uses.add(x, other) for other in _others(x))
        starts = [x + _scaled(torch.randn(x.shape, generator=generator).to(x), d) for d in DISTANCES]
        disturbed = max(uses.add(x, start) for start in starts)
        searched = track(starts, "searching pairs")
        adversarial = max(uses.add(*_ascend(network, x, start)) for start in searched)
    return PairCheck(
        bound, x.shape[1], real, disturbed, adversarial, tuple(uses.layers), tuple(uses.secants)
    )  # fmt: skip


def _samples(stream: Stream, seed: int) -> Tensor:
    """Up to 32 samples drawn by `seed`, (T, n, inputs) float64."""
    fitting = max(2, batch_size(stream.network, stream.steps) // 4)
    count = min(SAMPLES, fitting, len(stream))
    chosen = np.random.default_rng(seed).choice(stream.indices, count, replace=False)
    return stream.feeder.batch(np.sort(chosen))[0].double()


def _others(x: Tensor) -> list[Tensor]:
    """Up to 8 times the batch in another order, so that every sample meets others."""
    return [x.roll(shift, 1) for shift in range(1, max(2, min(9, x.shape[1])))]


def _scaled(x: Tensor, length: float | Tensor) -> Tensor:
    return x * (length / _norm(x)).nan_to_num(0.0, 0.0)[None, :, None]


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm over time and neurons of (T, n, ...), (n,)."""
    return x.transpose(0, 1).flatten(1).square().sum(1).sqrt()


def _ascend(network: Network, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Move both inputs uphill on ln ||D logits||, their distance kept; returns the last pair.

    The difference itself takes the gradient's direction, d <- |d| J^T D logits / ||.||: for small distances
    that is the power iteration for the Jacobian's largest singular value.
    """
    distance, x = _norm(other - x), x.clone()
    for length in np.geomspace(*ASCENT_STEPS, ASCENT).tolist():
        pair = torch.cat([x, other], 1).requires_grad_()
        first, second = network(pair).chunk(2)
        height = (second - first).square().sum(1).clamp(min=1e-300).log().sum()
        (gradient,) = torch.autograd.grad(height, pair)
        left, right = gradient.chunk(2, 1)
        x = (x + _scaled(left + right, length)).clamp_(0.0, 1.0)
        other = x + _scaled(right, distance)
    return x, other


class _Uses:
    """The largest share of the bound that any pair has used, layer by layer."""

    def __init__(self, network: Network, bound: LipschitzBound) -> None:
        self.network, self.bound = network, bound
        self.layers = [0.0] * len(bound.layers)
        self.secants = [0.0] * len(bound.layers)

    @torch.no_grad()
    def add(self, x: Tensor, other: Tensor) -> float:
        """Note pairs, x and other (T, n, inputs); returns their largest ||D logits|| / ||D input||."""
        apart = _norm(other - x) > 0
        if not apart.any():
            return 0.0
        x, other = x[:, apart], other[:, apart]
        runs = [self.network.states(run) for run in (x, other)]
        below = distance = _norm(other - x)
        for index, (one, two) in enumerate(zip(*runs, strict=True)):
            spread = _norm(two[1] - one[1])
            own = _secant_constants(self.network, index, one, two) * self.bound.layers[index].norm
            ratio = _share(spread, below)
            constant = ratio.new_tensor(self.bound.layers[index].constant)
            self.layers[index] = max(self.layers[index], float(_share(ratio, constant).max()))
            self.secants[index] = max(self.secants[index], float(_share(ratio, own).max()))
            below = spread
        first, second = (self.network.logits(run[-1][1]) for run in runs)
        return float(((second - first).norm(dim=1) / distance).max())


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0 where the part is 0: a layer without weights passes nothing on, and its bound is 0."""
    return torch.where(part == 0, torch.zeros_like(part), part / whole)


def _secant_constants(network: Network, index: int, one: States, two: States) -> Tensor:
    """max m ||G(max |c|)|| of each pair, (n,); m, c: slopes of s and of the next u between the two runs."""
    k, dynamics, theta = network.spec.k, network.dynamics(index), network.theta(index)
    (u, s), (v, r) = one, two
    same = (v - u).abs() < CLOSE
    step = torch.where(same, 1.0, v - u)
    m = torch.where(same, SURROGATES[dynamics.surrogate].slope(u - theta, k), (r - s) / step)
    if dynamics.to_zero:
        change = torch.where(same, 1 - s - u * m, (v * (1 - r) - u * (1 - s)) / step)
        c = (dynamics.alpha * change).abs()
    else:
        c = (dynamics.alpha - dynamics.share * theta * m).abs()
    steepest, carries = (value.transpose(0, 1).flatten(1).amax(1) for value in (m, c))
    gains = torch.tensor([time_gain(float(carry), len(u)) for carry in carries])
    return steepest * gains.to(steepest)
