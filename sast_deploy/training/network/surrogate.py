"""The arctan spike function, its slope, and the step it becomes on deployment."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def arctan_spike(x: Tensor, k: float) -> Tensor:
    """Smooth spike sigma(x) = 1/2 + arctan(k x) / pi, in (0, 1); sigma(0) = 1/2.

    `x` is the distance u - theta of the membrane from its threshold, of any shape; `k` > 0 is the slope
    factor (25 in the papers). sigma tends to `step` as k grows. Source: Nicholson, arXiv 2603.18039.
    """
    return torch.atan(x * k) / math.pi + 0.5


def arctan_slope(x: Tensor, k: float) -> Tensor:
    """Derivative sigma'(x) = k / (pi (1 + (k x)^2)); its maximum, at x = 0, is k / pi."""
    return (k / math.pi) / (1.0 + (x * k) ** 2)


def arctan_slope_(x: Tensor, k: float) -> Tensor:
    """`arctan_slope` in place of `x`, bit for bit the same."""
    return x.mul_(k).square_().add_(1.0).reciprocal_().mul_(k / math.pi)


def step(x: Tensor) -> Tensor:
    """Hard spike H(x): 1 where x >= 0, else 0 (H(0) = 1), in the dtype of `x`."""
    return (x >= 0).to(x.dtype)
