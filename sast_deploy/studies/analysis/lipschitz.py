"""How much a network's output can change when its input does: a bound from the weights alone.

The paper's own theorem was not at hand; this is derived from its recursion, for the surrogate-forward
network. Take two inputs x and x', and write D for differences. By the mean value theorem D s_t = m_t D u_t
with 0 < m_t <= sigma'(0) = k/pi for every neuron and step, so one LIF layer obeys

    D u_t = c_{t-1} D u_{t-1} + A D x_t,        |c| <= gamma,

    reset by subtraction:  c = alpha - r m,           gamma = max(alpha, r k/pi - alpha)
    reset to zero:         c = alpha h,               gamma = alpha max(1 + 1/(2 pi), theta k/pi + 1/(2 pi))

where r, what a spike takes off the next membrane, is theta after the leak and alpha theta before it, and h is
a slope of u (1 - sigma(u - theta)), that is 1 - sigma - u sigma', and |x| sigma'(x) <= 1/(2 pi).
Neuron by neuron |D u_t| <= sum_j gamma^(t-j) |(A D x_j)|. With G the lower triangular T x T matrix
gamma^(i-j) and all norms Euclidean over time and neurons together,

    ||D s|| <= (k/pi) ||G|| ||A|| ||D x||,          ||G|| <= 1/(1 - gamma) for every T if gamma < 1,

and logits = W mean_t s + b divide by sqrt(T) (the mean of T values; conv: and by sqrt(H W), its pooling):

    ||D logits|| <= ||W|| / sqrt(T H W)  prod_l (k/pi) ||G_l|| ||A_l||   ||D x||.
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

ITERATIONS = 1000  # of the power iteration, at most
TOLERANCE = 1e-6  # relative change of the norm between iterations
SLACK = 1.01  # for what a power iteration may still be short of


@dataclass(frozen=True)
class LayerBound:
    """What the bound is made of, for one LIF layer.

    Attributes:
        norm: spectral norm ||A|| of the weights, as a matrix (fc) or as the convolution's operator on its
            whole map, zero padding and stride included (conv; times 1.01, as it is found by iteration).
        gamma: largest |d u_{t+1} / d u_t| that any state could give.
        gain: ||G||, the growth over T steps.
        constant: (k/pi) ||G|| ||A||, of the layer's spikes with respect to its input.
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


def lipschitz_bound(network: Network, steps: int) -> LipschitzBound:
    """The bound above for `steps` time steps."""
    spec, layers = network.spec, []
    s = network.shaped(network.readout.weight.new_zeros(1, 1, math.prod(spec.input_shape)))
    for index, module in enumerate(network.layers):
        norm = operator_norm(module, s.shape[2:])
        gamma = steepest_carry(spec.dynamics(index), float(network.theta(index).max()), spec.k)
        gain = time_gain(gamma, steps)
        layers.append(LayerBound(norm, gamma, gain, spec.k / math.pi * gain * norm))
        with torch.no_grad():
            s = network.current(index, s)
    places = math.prod(s.shape[3:])  # of the last map; 1 for fc
    readout = operator_norm(network.readout, s.shape[2:3]) / math.sqrt(steps * places)
    return LipschitzBound(tuple(layers), readout, readout * math.prod(layer.constant for layer in layers))


def steepest_carry(dynamics: Dynamics, theta: float, k: float) -> float:
    """gamma: the largest |d u_{t+1} / d u_t| over all membranes u, for a neuron with that threshold."""
    alpha, steepest, tail = dynamics.alpha, theta * k / math.pi, 1 / (2 * math.pi)
    if dynamics.to_zero:
        return alpha * max(1 + tail, steepest + tail)
    return max(alpha, dynamics.share * steepest - alpha)


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
