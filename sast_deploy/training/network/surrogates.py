"""Spike functions that training may have in the step's place: cumulative distributions, with their densities.

    s = sigma(x) = F(k x),      sigma'(x) = k f(k x) / A,      x = u - theta,      A = the integral of f

F rises from 0 to 1, F(0) = 1/2, f(0) = 1 is the largest f, so k / A is the steepest slope: sigma' is the
exact derivative of the sigma that the forward pass computes. docs/surrogates.md has the table, and what other
frameworks call k.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sast_deploy.training.kernels.membranes import SurrogateName

Slope = float | Tensor  # k; a 0-dimensional float64 tensor where a CUDA graph reads it


@dataclass(frozen=True)
class Surrogate:
    """One spike function.

    Attributes:
        area: A; the steepest slope is k / A.
        reach: the largest |x| sigma'(x), whatever k is.
        bend: the least B with |sigma'(x) - sigma'(y)| <= B k^2 |x - y|: sigma is (B k^2)-smooth.
        kinks: values of k x at which sigma'' does not exist; without any, sigma has all derivatives.
        cumulative: z -> F(z), in place.
        density: z -> f(z), in place.

    >>> SURROGATES["sigmoid"].steepest(8.0)
    2.0
    """

    area: float
    reach: float
    bend: float
    kinks: tuple[float, ...]
    cumulative: Callable[[Tensor], Tensor]
    density: Callable[[Tensor], Tensor]

    def spike(self, x: Tensor, k: Slope) -> Tensor:
        """sigma(x), of any shape, in (0, 1) or, of "triangular", in [0, 1]."""
        return self.cumulative(x * k)

    def spike_(self, x: Tensor, k: Slope) -> Tensor:
        """`spike` in place of `x`."""
        return self.cumulative(x.mul_(k))

    def slope(self, x: Tensor, k: Slope) -> Tensor:
        """sigma'(x)."""
        return self.density(x * k).mul_(k / self.area)

    def slope_(self, x: Tensor, k: Slope) -> Tensor:
        """`slope` in place of `x`, bit for bit the same."""
        return self.density(x.mul_(k)).mul_(k / self.area)

    def steepest(self, k: float) -> float:
        """The largest sigma', at x = 0."""
        return k / self.area

    def smoothness(self, k: float) -> float:
        """The Lipschitz constant of sigma'."""
        return self.bend * k**2


def _by_tail(z: Tensor, tail: Tensor) -> Tensor:
    """F(z) from F(-|z|), in which nothing was cancelled."""
    return torch.where(z < 0, tail, 1.0 - tail, out=z)


def _arctan(z: Tensor) -> Tensor:
    return z.atan_().mul_(1.0 / math.pi).add_(0.5)


def _arctan_density(z: Tensor) -> Tensor:
    return z.square_().add_(1.0).reciprocal_()


def _fast_sigmoid(z: Tensor) -> Tensor:
    return _by_tail(z, z.abs().add_(1.0).reciprocal_().mul_(0.5))


def _fast_sigmoid_density(z: Tensor) -> Tensor:
    return z.abs_().add_(1.0).square_().reciprocal_()


def _sigmoid(z: Tensor) -> Tensor:
    return z.sigmoid_()


def _sigmoid_density(z: Tensor) -> Tensor:
    tail = z.abs_().neg_().exp_()
    return tail.mul_(4.0).div_((tail * 0.25 + 1.0).square_())


def _escape(z: Tensor) -> Tensor:
    return _by_tail(z, z.abs().neg_().exp_().mul_(0.5))


def _escape_density(z: Tensor) -> Tensor:
    return z.abs_().neg_().exp_()


def _triangular(z: Tensor) -> Tensor:
    return _by_tail(z, _triangular_density(z.clone()).square_().mul_(0.5))


def _triangular_density(z: Tensor) -> Tensor:
    return z.abs_().neg_().add_(1.0).clamp_(min=0.0)


_ROOT = 1.5434046384182083  # of z tanh(z / 2) = 1, where z e^-z / (1 + e^-z)^2 is largest: (z - 1 / z) / 4
SURROGATES: dict[SurrogateName, Surrogate] = {
    "arctan": Surrogate(
        math.pi, 1 / (2 * math.pi), 3 * math.sqrt(3) / (8 * math.pi), (), _arctan, _arctan_density
    ),
    "fast-sigmoid": Surrogate(2.0, 1 / 8, 1.0, (0.0,), _fast_sigmoid, _fast_sigmoid_density),
    "sigmoid": Surrogate(
        4.0, (_ROOT - 1 / _ROOT) / 4, 1 / (6 * math.sqrt(3)), (), _sigmoid, _sigmoid_density
    ),
    "spike-rate-escape": Surrogate(2.0, 1 / (2 * math.e), 0.5, (0.0,), _escape, _escape_density),
    "triangular": Surrogate(1.0, 1 / 4, 1.0, (-1.0, 0.0, 1.0), _triangular, _triangular_density),
}
ARCTAN = SURROGATES["arctan"]
