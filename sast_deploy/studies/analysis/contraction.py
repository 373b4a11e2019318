"""Do membranes forget? The papers' contraction proxy over every state a network visits, and its state bound.

How a membrane's deviation is carried to the next step, for reset by subtraction:

    d u_{t+1} / d u_t = alpha - r sigma'(u_t - theta),       |.| <= gamma = alpha + r sigma'(u_t - theta)

with r = theta where the reset acts after the leak, as in the papers, and r = alpha theta where before it.
The papers (arXiv 2603.18039, 2604.09696) report gamma_hat = alpha + max r max |sigma'(u - theta)| over
the visited states, below 1 for every checkpoint. With alpha = 0.5, theta = 1 and k = 25 that says that no
membrane, in no sample, ever comes closer to its threshold, with their arctan, than

    |u - theta| = sqrt(theta k / (pi (1 - alpha)) - 1) / k = 0.1545,

which is hard to reconcile with their own 2.3 to 4.8 % of the membranes within +-0.2. Measured here: the
largest gamma, its distribution, the share of states above 1, and the mean of ln |d u_{t+1} / d u_t|, which
says what happens to a deviation on its way through many states. For reset to zero the derivative is
alpha (1 - s - u sigma') and gamma = alpha (1 - s + |u| sigma').

The state bound: with inputs in [0, 1] a layer's current lies in [I_min, I_max], neuron by neuron (the sums of
its negative and of its positive weights, plus the bias), hence low_t <= u_t <= high_t with

    subtract:  low_t = alpha low_{t-1} + I_min - r,            high_t = alpha high_{t-1} + I_max
    zero:      low_t = alpha min(low_{t-1}, 0) + I_min,        high_t = alpha max(high_{t-1}, 0) + I_max

A filtered current ("cuba") has an I_min and an I_max of each step, which the same filter makes of those sums;
it forgets by its own leak, which no state of the neuron changes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sast_deploy.studies.analysis.stream import Stream
from sast_deploy.training.kernels.membranes import Dynamics
from sast_deploy.training.network.network import Network
from sast_deploy.training.network.surrogates import SURROGATES

QUANTILES = (0.5, 0.9, 0.99, 0.999)
BINS = 4096  # of ln gamma: quantiles are exact to 0.3 %
LOWEST = 1e-5  # smallest gamma told apart, relative to the largest possible
ROUNDING = 1e-4  # relative excess over the state bound that single precision explains


@dataclass(frozen=True)
class LayerContraction:
    """One LIF layer over all its visited (sample, step, neuron), in the surrogate run.

    Attributes:
        states: how many.
        gamma: the largest gamma(u).
        quantiles: of gamma, at 0.5, 0.9, 0.99 and 0.999.
        above_one: share of the states with gamma > 1.
        carry: the largest |d u_{t+1} / d u_t|.
        log_carry: mean of ln |d u_{t+1} / d u_t|; below 0, deviations shrink on average.
        lowest, highest: of the visited membranes.
        low, high: of the state bound over all neurons and steps.
        reach: largest |u - middle| / half width of the state bound; above 1 it is violated.
    """

    states: int
    gamma: float
    quantiles: tuple[float, ...]
    above_one: float
    carry: float
    log_carry: float
    lowest: float
    highest: float
    low: float
    high: float
    reach: float


@dataclass(frozen=True)
class Contraction:
    """The proxy over all layers, and the layers.

    Attributes:
        samples: how many were passed through the network.
        gamma: the papers' gamma_hat, alpha + max r max |sigma'|; for reset to zero the largest gamma.
        above_one: share of all states with gamma > 1.
        quantiles_at: shares of the states, at which layers have quantiles of gamma.
        state_bound_holds: whether every visited state lies within the state bound, up to rounding.
        layers: one by one.
    """

    samples: int
    gamma: float
    above_one: float
    quantiles_at: tuple[float, ...]
    state_bound_holds: bool
    layers: tuple[LayerContraction, ...]


@torch.no_grad()
def contraction(stream: Stream) -> Contraction:
    """The proxy over every state that a stream's samples visit."""
    network = stream.network
    bounds = state_bounds(network, stream.steps)
    tallies = [_Tally(network, index, *bound) for index, bound in enumerate(bounds)]

    def work(x: Tensor, y: Tensor) -> None:
        for tally, (u, s) in zip(tallies, network.states(x), strict=True):
            tally.add(u, s)

    stream.each(work, "contraction")
    layers = tuple(tally.result() for tally in tallies)
    states = sum(layer.states for layer in layers)
    above = sum(layer.above_one * layer.states for layer in layers) / states
    holds = all(layer.reach <= 1 + ROUNDING for layer in layers)
    return Contraction(len(stream), _proxy(tallies), above, QUANTILES, holds, layers)


def _proxy(tallies: list[_Tally]) -> float:
    if tallies[0].dynamics.to_zero:
        return max(tally.gamma for tally in tallies)
    alpha = max(tally.alpha for tally in tallies)
    taken = max(float((tally.dynamics.share * tally.theta).max()) for tally in tallies)
    return alpha + taken * max(tally.slope for tally in tallies)


@torch.no_grad()
def state_bounds(network: Network, steps: int) -> list[tuple[Tensor, Tensor]]:
    """(low, high), each (steps, 1, *layer), of every layer's membranes for inputs and spikes in [0, 1]."""
    spec = network.spec
    told = steps if any(spec.current_leaks) else 1  # without a filter all steps are as the first
    ones = network.shaped(network.readout.weight.new_ones(told, 1, math.prod(spec.input_shape)))
    found = []
    for index in range(len(network.layers)):
        least, most = (_extreme_currents(network, index, ones, positive=p) for p in (False, True))
        dynamics, low, high = network.dynamics(index), [least[0]], [most[0]]
        alpha, taken = dynamics.alpha, dynamics.share * network.theta(index)
        for t in range(1, steps):
            now = min(t, told - 1)
            if dynamics.to_zero:
                low.append(alpha * low[-1].clamp(max=0) + least[now])
                high.append(alpha * high[-1].clamp(min=0) + most[now])
            else:
                low.append(alpha * low[-1] + least[now] - taken)
                high.append(alpha * high[-1] + most[now])
        found.append((torch.stack(low), torch.stack(high)))
        ones = torch.ones_like(network.current(index, ones))
    return found


def _extreme_currents(network: Network, index: int, ones: Tensor, *, positive: bool) -> Tensor:
    """The largest (or smallest) currents of every neuron: only its positive (negative) weights, input 1."""
    other = copy.deepcopy(network)
    weight = other.layers[index].get_parameter("weight")
    weight.clamp_(min=0) if positive else weight.clamp_(max=0)
    return other.current(index, ones)


class _Tally:
    """Running figures of one layer."""

    def __init__(self, network: Network, index: int, low: Tensor, high: Tensor) -> None:
        self.dynamics, self.k = network.dynamics(index), network.spec.k
        self.surrogate = SURROGATES[self.dynamics.surrogate]
        self.theta, self.low, self.high = network.theta(index), low, high
        self.alpha = float(torch.as_tensor(self.dynamics.alpha, dtype=torch.float64).max())
        largest = self.alpha * 2 + float(self.theta.max()) * self.surrogate.steepest(self.k)
        self.range = (math.log(LOWEST * largest), math.log(2 * largest))
        self.histogram = torch.zeros(BINS, dtype=torch.float64)
        self.states = self.above = 0
        self.slope = self.gamma = self.carry = self.reach = self.logs = 0.0
        self.lowest, self.highest = math.inf, -math.inf

    def add(self, u: Tensor, s: Tensor) -> None:
        slope = self.surrogate.slope(u - self.theta, self.k)
        carry, gamma = _carry(self.dynamics, self.theta, u, s, slope)
        self.states += u.numel()
        self.above += int((gamma > 1).sum())
        self.slope = max(self.slope, float(slope.max()))
        self.gamma = max(self.gamma, float(gamma.max()))
        self.carry = max(self.carry, float(carry.max()))
        self.logs += float(carry.clamp_(min=1e-12).log_().sum(dtype=torch.float64))
        inside = gamma.clamp_(min=0).log_().clamp_(*self.range).cpu()
        self.histogram += torch.histc(inside, BINS, *self.range)
        self.lowest, self.highest = min(self.lowest, float(u.min())), max(self.highest, float(u.max()))
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        self.reach = max(self.reach, float(((u - middle).abs() / half.clamp(min=1e-6)).max()))

    def result(self) -> LayerContraction:
        return LayerContraction(
            self.states, self.gamma, tuple(map(self._quantile, QUANTILES)), self.above / self.states,
            self.carry, self.logs / self.states, self.lowest, self.highest,
            float(self.low.min()), float(self.high.max()), self.reach,
        )  # fmt: skip

    def _quantile(self, share: float) -> float:
        low, high = self.range
        place = int(torch.searchsorted(self.histogram.cumsum(0), share * self.states))
        return math.exp(low + (place + 0.5) / BINS * (high - low))


def _carry(
    dynamics: Dynamics, theta: Tensor, u: Tensor, s: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """(|d u_{t+1} / d u_t|, gamma) of every state."""
    alpha = dynamics.alpha
    if dynamics.to_zero:
        kept, lost = alpha * (1 - s), alpha * u * slope
        return (kept - lost).abs_(), kept + lost.abs()
    lost = dynamics.share * theta * slope
    return (alpha - lost).abs_(), alpha + lost
