"""The arctan spike function, the step it becomes on deployment, and the leaky integrate-and-fire recursion
over time, with its gradient written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.progress import say
from sast_deploy.training.kernels.membranes import Dynamics, lif_backward, lif_forward

CHUNK = 1 << 18  # membranes whose slopes are computed in one go: they stay in the processor's cache


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


class _LIF(torch.autograd.Function):
    """Forward: `lif_states`, smooth or hard. Backward: back-propagation through time, sigma' for either.

    With g_t = dL/ds_t from the layers above and d_t = dL/du_t = dL/dI_t, reset by subtraction, of r = theta
    after the leak and r = alpha theta before it, gives

        d_t = sigma'_t (g_t - r d_{t+1}) + alpha d_{t+1}
            = sigma'_t g_t + (alpha - r sigma'_t) d_{t+1},

    hence gamma = alpha + r sigma' bounds the growth of the gradient per step (the papers' proxy, whose r is
    theta), and reset to zero gives

        d_t = sigma'_t (g_t - alpha u_t d_{t+1}) + alpha (1 - s_t) d_{t+1}
            = sigma'_t g_t + alpha (1 - s_t - u_t sigma'_t) d_{t+1}.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, theta: Tensor, dynamics: Dynamics, k: float, hard: bool
    ) -> Tensor:
        membrane, spikes = lif_states(current, theta, dynamics, None if hard else k)
        ctx.save_for_backward(membrane, theta, *((spikes,) if dynamics.to_zero else ()))
        ctx.dynamics, ctx.k = dynamics, k
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        membrane, theta, *spikes = ctx.saved_tensors
        gradient = _gradient_here if _is_here(membrane) else _gradient
        fired = spikes[0] if spikes else membrane  # which nobody reads
        delta = gradient(membrane, fired, grads[0], theta, ctx.dynamics, ctx.k)
        return delta, None, None, None, None


def _gradient(
    membrane: Tensor, spikes: Tensor, grad: Tensor, theta: Tensor, dynamics: Dynamics, k: float
) -> Tensor:
    """dL/dI for grad = dL/ds; spikes count where the reset is to zero."""
    delta = torch.empty_like(membrane)
    length = max(1, CHUNK // membrane[0].numel())
    for end in range(len(delta), 0, -length):
        start = max(0, end - length)
        u = membrane[start:end]
        slope = arctan_slope_(u - theta, k)
        torch.mul(grad[start:end], slope, out=delta[start:end])
        if dynamics.to_zero:
            carry = slope.mul_(u).add_(spikes[start:end]).neg_().add_(1.0).mul_(dynamics.alpha)
        else:
            carry = slope.mul_(theta * -dynamics.share).add_(dynamics.alpha)
        for t in reversed(range(start, min(end, len(delta) - 1))):
            delta[t].addcmul_(carry[t - start], delta[t + 1])
    return delta


@torch.no_grad()
def lif_states(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | None
) -> tuple[Tensor, Tensor]:
    """Membranes u and spikes s of `lif`, each the shape of `current`; k None: of the step H. No gradient."""
    if _is_here(current):
        return _states_here(current, theta, dynamics, k)
    membrane, spikes = torch.empty_like(current), torch.empty_like(current)
    alpha, taken = dynamics.alpha, theta * dynamics.share
    for t, u in enumerate(membrane):
        if t == 0:
            u.copy_(current[0])
        elif dynamics.to_zero:
            torch.addcmul(membrane[t - 1], membrane[t - 1], spikes[t - 1], value=-1, out=u)
            u.mul_(alpha).add_(current[t])
        else:
            torch.addcmul(current[t], spikes[t - 1], taken, value=-1, out=u)
            u.add_(membrane[t - 1], alpha=alpha)
        s = torch.sub(u, theta, out=spikes[t])
        if k is None:
            s.copy_(step(s))
        else:
            s.mul_(k).atan_().mul_(1.0 / math.pi).add_(0.5)
    return membrane, spikes


def _is_here(tensor: Tensor) -> bool:
    """Whether the compiled loops of kernels/membranes.py apply; elsewhere torch's operations do the same."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def _states_here(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | None
) -> tuple[Tensor, Tensor]:
    stored = current if _is_dense(current) else current.contiguous()
    membrane, spikes = torch.empty_like(stored), torch.empty_like(stored)
    level = _thresholds(theta, stored)
    lif_forward(_flat(stored), _flat(membrane), _flat(spikes), level, dynamics, k)
    return membrane, spikes


def _gradient_here(
    membrane: Tensor, spikes: Tensor, grad: Tensor, theta: Tensor, dynamics: Dynamics, k: float
) -> Tensor:
    delta = torch.empty_like(membrane)
    steps = 1 if grad.stride(0) == 0 else len(grad)  # a sum over time has one gradient for all steps
    alike = grad[:steps]
    if not _is_laid_out_as(alike, membrane):
        alike = torch.empty_like(membrane[:steps]).copy_(alike)
    level = _thresholds(theta, membrane)
    lif_backward(_flat(membrane), _flat(spikes), _flat(alike), _flat(delta), level, dynamics, k)
    return delta


def _is_laid_out_as(each: Tensor, other: Tensor) -> bool:
    """Whether the positions of a step lie in the same order of memory."""
    return _is_dense(each) and each.stride()[1:] == other.stride()[1:]


def _is_dense(each: Tensor) -> bool:
    """Whether (time, batch, ...) lies in memory as its shape says, or maps (.., C, H, W) channels-last."""
    return each.is_contiguous() or (each.ndim == 5 and each.movedim(2, -1).is_contiguous())


def _flat(each: Tensor) -> NDArray[np.float32]:
    """A view of (time, ...), dense as above, as (time, positions in the order of memory)."""
    ordered = each.detach() if each.is_contiguous() else each.detach().movedim(2, -1)
    array: NDArray[np.float32] = ordered.view(len(each), -1).numpy()
    return array


def _thresholds(theta: Tensor, each: Tensor) -> NDArray[np.float32]:
    """Those of positions 0, 1, ... of `_flat(each)`, up to where they repeat."""
    level = theta.detach().expand(each.shape[1:])
    level = level if each.is_contiguous() else level.movedim(1, -1)
    while level.ndim > 1 and (level.stride(0) == 0 or len(level) == 1):
        level = level[0]
    array: NDArray[np.float32] = level.reshape(-1).numpy()
    return array


def lif(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | Tensor, *, hard: bool = False
) -> Tensor:
    """Surrogate-forward LIF layer: u_t as its `Dynamics` say, s_t = sigma(u_t - theta).

    Args:
        current: I, shape (time, batch, ...), float; u_0 and s_0 are 0 for every call (no state is kept).
        theta: thresholds, fixed, broadcast against (batch, ...).
        dynamics: leak, in [0, 1), and what a spike does to its membrane a step later.
        k: slope factor of the arctan spike; a 0-dimensional float64 tensor, on the device of `current`, where
            a CUDA graph is to find another value there with every replay.
        hard: the step H, H(0) = 1, in place of sigma, and nothing else changed.

    Returns: s, the shape of `current`, differentiable with respect to `current`: exactly, because sigma is
    the forward function too; with `hard`, by the straight-through estimate, which puts sigma' where the
    slope of H belongs, in the reset as well. Source: Nicholson, arXiv 2603.18039; the estimate: Neftci et
    al., arXiv 1901.09948.
    """
    if not current.is_cuda:
        k = float(k)
    elif current.dtype == torch.float32 and (fused := _fused()) is not None:
        return fused(current, theta, dynamics, k, hard)
    spikes: Tensor = _LIF.apply(current, theta, dynamics, k, hard)  # type: ignore[no-untyped-call]
    return spikes


@cache
def _fused() -> Callable[..., Tensor] | None:
    """The same in one kernel a direction, for a GPU; None, and a remark, where Triton is not installed."""
    try:
        from sast_deploy.training.network.tritonlif import triton_lif
    except ImportError:
        say("Triton is not installed: LIF layers run as some hundred small kernels, `pip install triton`")
        return None
    return triton_lif
