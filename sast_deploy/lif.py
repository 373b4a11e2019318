"""The leaky integrate-and-fire recursion over time, with its gradient written by hand."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sast_deploy.surrogate import arctan_slope, arctan_spike, step


class _SmoothLIF(torch.autograd.Function):
    """Forward: `_integrate` with the arctan spike. Backward: back-propagation through time.

    With g_t = dL/ds_t from the layers above and d_t = dL/du_t,

        d_t = sigma'(u_t - theta) (g_t - theta d_{t+1}) + alpha d_{t+1}
            = sigma'_t g_t + (alpha - theta sigma'_t) d_{t+1},        dL/dI_t = d_t.

    Hence gamma = alpha + theta sigma' bounds the growth of the gradient per step (the papers' proxy).
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, theta: Tensor, alpha: float, k: float) -> Tensor:
        membrane, spikes = _integrate(current, theta, alpha, k)
        ctx.save_for_backward(membrane, theta)
        ctx.alpha, ctx.k = alpha, k
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        membrane, theta = ctx.saved_tensors
        slope = arctan_slope(membrane - theta, ctx.k)
        delta = grads[0] * slope
        carry = slope.mul_(-theta).add_(ctx.alpha)
        for t in range(len(delta) - 2, -1, -1):
            delta[t].addcmul_(carry[t], delta[t + 1])
        return delta, None, None, None


def _integrate(current: Tensor, theta: Tensor, alpha: float, k: float | None) -> tuple[Tensor, Tensor]:
    """Membranes and spikes over time; `k` None means the hard step."""
    membrane = torch.empty_like(current)
    spikes = torch.empty_like(current)
    for t, u in enumerate(membrane):
        if t == 0:
            u.copy_(current[0])
        else:
            torch.addcmul(current[t], spikes[t - 1], theta, value=-1, out=u)
            u.add_(membrane[t - 1], alpha=alpha)
        s = torch.sub(u, theta, out=spikes[t])
        if k is None:
            s.copy_(step(s))
        else:
            s.mul_(k).atan_().mul_(1.0 / math.pi).add_(0.5)
    return membrane, spikes


def lif(current: Tensor, theta: Tensor, alpha: float, k: float) -> Tensor:
    """Surrogate-forward LIF layer: u_t = alpha u_{t-1} + I_t - theta s_{t-1}, s_t = sigma(u_t - theta).

    Args:
        current: I, shape (time, batch, ...), float; u_0 and s_0 are 0 for every call (no state is kept).
        theta: thresholds, fixed, broadcast against (batch, ...).
        alpha: leak, in [0, 1).
        k: slope factor of the arctan spike.

    Returns: s, the shape of `current`, differentiable with respect to `current` (exactly: sigma is the
    forward function too). Source: Nicholson, arXiv 2603.18039.
    """
    spikes: Tensor = _SmoothLIF.apply(current, theta, alpha, k)  # type: ignore[no-untyped-call]
    return spikes


@torch.no_grad()
def hard_lif(current: Tensor, theta: Tensor, alpha: float) -> Tensor:
    """`lif` with the step H in place of sigma and nothing else changed; spikes are 0 or 1, no gradient."""
    return _integrate(current, theta, alpha, None)[1]


@torch.no_grad()
def lif_states(current: Tensor, theta: Tensor, alpha: float, k: float | None) -> tuple[Tensor, Tensor]:
    """Membranes u and spikes s, each the shape of `current`, of `lif`, or of `hard_lif` where k is None."""
    return _integrate(current, theta, alpha, k)


def lif_by_autograd(current: Tensor, theta: Tensor, alpha: float, k: float) -> Tensor:
    """The same layer as plain torch operations, slow and obvious: what tests compare `lif` with."""
    u = torch.zeros_like(current[0])
    s = torch.zeros_like(current[0])
    spikes = []
    for current_t in current:
        u = alpha * u + current_t - theta * s
        s = arctan_spike(u - theta, k)
        spikes.append(s)
    return torch.stack(spikes)
