"""How much a network's output can change when its input does: a bound from the weights alone.

The paper's own theorem was not at hand; this is derived from its recursion, for the surrogate-forward
network. Take two inputs x and x', and write D for differences. By the mean value theorem D s_t = m_t D u_t
with 0 <= m_t <= M = sigma'(0) for every neuron and step; M is k/pi with the papers' arctan, and every
surrogate (training/network/surrogates.py) has the one derivative everywhere that the theorem asks for, kinks
of the derivative itself or not. So one LIF layer obeys

    D u_t = c_{t-1} D u_{t-1} + A D x_t,        |c| <= gamma,

    reset by subtraction:  c = alpha - r m,           gamma = max(alpha, r M - alpha)
    reset to zero:         c = alpha h,               gamma = alpha max(1 + R, theta M + R)

where r, what a spike takes off the next membrane, is theta after the leak and alpha theta before it, and h is
a slope of u (1 - sigma(u - theta)), that is 1 - sigma - u sigma', and R the largest |x| sigma'(x), which is
1/(2 pi) with the arctan.
Neuron by neuron |D u_t| <= sum_j gamma^(t-j) |(A D x_j)|. With G the lower triangular T x T matrix
gamma^(i-j) and all norms Euclidean over time and neurons together,

    ||D s|| <= M ||G|| ||A|| ||D x||,          ||G|| <= 1/(1 - gamma) for every T if gamma < 1,

and logits = W mean_t s + b divide by sqrt(T) (the mean of T values; conv: and by sqrt(H W), its pooling):

    ||D logits|| <= ||W|| / sqrt(T H W)  prod_l M ||G_l|| ||A_l||   ||D x||.

An input gain ("lapicque") multiplies A; a current filter ("cuba") is a G of its own leak behind A, and its
norm multiplies ||A||.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from sast_deploy.training.kernels.membranes import Dynamics
from sast_deploy.training.network.network import Network
from sast_deploy.training.network.surrogates import SURROGATES

ITERATIONS = 1000  # of the power iteration, at most
TOLERANCE = 1e-6  # relative change of the norm between iterations
SLACK = 1.01  # for what a power iteration may still be short of


@dataclass(frozen=True)
class LayerBound:
    """What the bound is made of, for one LIF layer.

    Attributes:
        norm: spectral norm ||A|| of the weights, as a matrix (fc) or as the convolution's operator on its
            whole map, zero padding and stride included (conv; times 1.01, as it is found by iteration),
            with the gain and the filter of its current.
        gamma: largest |d u_{t+1} / d u_t| that any state could give.
        gain: ||G||, the growth over T steps.
        constant: M ||G|| ||A||, of the layer's spikes with respect to its input.
    """

    norm: float
    gamma: float
    gain: float
    constant: float


@dataclass(frozen=True)
class LipschitzBound:
    """||D logits|| <= constant ||D input||, Euclidean norms over all steps and pixels.

    Attributes:
        layers: its factors.
        readout: ||W|| / sqrt(T H W).
        constant: their product.
    """

    layers: tuple[LayerBound, ...]
    readout: float
    constant: float


@torch.no_grad()
def lipschitz_bound(network: Network, steps: int) -> LipschitzBound:
    """The bound above for `steps` time steps."""
    spec, layers = network.spec, []
    s = network.shaped(network.readout.weight.new_zeros(1, 1, math.prod(spec.input_shape)))
    for index, module in enumerate(network.layers):
        norm = operator_norm(module, s.shape[2:]) * spec.gains[index]
        if kappa := spec.current_leaks[index]:
            norm *= time_gain(kappa, steps)
        dynamics = network.dynamics(index)
        gamma = steepest_carry(dynamics, network.theta(index), spec.k)
        gain, steepest = time_gain(gamma, steps), SURROGATES[dynamics.surrogate].steepest(spec.k)
        layers.append(LayerBound(norm, gamma, gain, steepest * gain * norm))
        s = network.current(index, s)
    places = math.prod(s.shape[3:])  # of the last map; 1 for fc
    readout = operator_norm(network.readout, s.shape[2:3]) / math.sqrt(steps * places)
    return LipschitzBound(tuple(layers), readout, readout * math.prod(layer.constant for layer in layers))


def steepest_carry(dynamics: Dynamics, theta: float | Tensor, k: float) -> float:
    """gamma: the largest |d u_{t+1} / d u_t| over all membranes u, for neurons with such thresholds."""
    surrogate, theta = SURROGATES[dynamics.surrogate], torch.as_tensor(theta, dtype=torch.float64)
    alpha, steepest = torch.as_tensor(dynamics.alpha).double(), theta * surrogate.steepest(k)
    if dynamics.to_zero:
        return float((alpha * (steepest.clamp(min=1.0) + surrogate.reach)).max())
    return float(torch.maximum(alpha, dynamics.share * steepest - alpha).max())


def time_gain(gamma: float, steps: int) -> float:
    """||G||: spectral norm of the lower triangular matrix G_ij = gamma^(i - j), i >= j, i, j < steps."""
    lag = np.subtract.outer(np.arange(steps), np.arange(steps))
    return float(np.linalg.norm(np.where(lag >= 0, gamma ** np.maximum(lag, 0.0), 0.0), 2))


@torch.no_grad()
def operator_norm(module: nn.Module, shape: torch.Size) -> float:
    """Spectral norm of a Linear or Conv2d module's weights, without its bias, on inputs of `shape`."""
    if isinstance(module, nn.Conv2d):
        return SLACK * _convolution_norm(module, shape)
    weight = module.get_parameter("weight")
    return float(torch.linalg.matrix_norm(weight.double(), 2))


def _convolution_norm(module: nn.Conv2d, shape: torch.Size) -> float:
    """Power iteration on A^T A, from a fixed random start."""
    weight: Tensor = module.weight.double()
    stride, padding = (int(pair[0]) for pair in (module.stride, module.padding))  # square, both
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, *shape), generator=generator).to(weight)
    norm = 0.0
    for _ in range(ITERATIONS):
        x = x / x.norm()
        y: Tensor = conv2d(x, weight, None, stride, padding)
        before, norm = norm, float(y.norm())
        if abs(norm - before) <= TOLERANCE * norm:
            break
        x = conv2d_input(x.shape, weight, y, stride, padding)  # type: ignore[no-untyped-call]
    return norm
