"""The step that a surrogate becomes on deployment, the leaky integrate-and-fire recursion over time, and the
filter of its current, both with gradients written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.progress import say
from sast_deploy.training.kernels.membranes import Dynamics, lif_backward, lif_forward
from sast_deploy.training.network.surrogates import ARCTAN, SURROGATES

CHUNK = 1 << 18  # membranes whose slopes are computed in one go: they stay in the processor's cache


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

    s_t depends on u_t - theta alone, so what reaches theta by way of s_t is what reaches u_t by way of it,
    with the other sign; what the leak multiplies is what is left of u. Hence

        dL/dtheta = sum_t  (alpha - r / theta s_t) d_{t+1} - d_t     reset by subtraction
        dL/dtheta = sum_t  alpha (1 - s_t) d_{t+1} - d_t             reset to zero
        dL/dalpha = sum_t  left_t d_{t+1},     left_t = u_t, u_t - theta s_t or u_t (1 - s_t).
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, theta: Tensor, alpha: Tensor | None, dynamics: Dynamics, k: float,
        hard: bool,
    ) -> Tensor:  # fmt: skip
        membrane, spikes = lif_states(current, theta, dynamics, None if hard else k)
        ctx.learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        ctx.save_for_backward(membrane, theta, *((spikes,) if dynamics.to_zero or ctx.learns else ()))
        ctx.dynamics, ctx.k = dynamics, k
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        membrane, theta, *spikes = ctx.saved_tensors
        gradient = _gradient_here if _is_here(membrane) else _gradient
        fired = spikes[0] if spikes else membrane  # which nobody reads
        delta = gradient(membrane, fired, grads[0], theta, ctx.dynamics, ctx.k)
        learned = _learned(membrane, fired, delta, theta, ctx.dynamics) if ctx.learns else (None, None)
        return delta, *learned, None, None, None


def _learned(
    membrane: Tensor, spikes: Tensor, delta: Tensor, theta: Tensor, dynamics: Dynamics
) -> tuple[Tensor, Tensor | None]:
    """dL/dtheta and, where each neuron may have a leak of its own, dL/dalpha, for delta = dL/dI."""
    alpha, u, s, later = dynamics.alpha, membrane[:-1], spikes[:-1], delta[1:]
    kept = alpha * (1.0 - s) if dynamics.to_zero else alpha - dynamics.share * s
    of_theta = (kept * later).sum_to_size(theta.shape) - delta.sum_to_size(theta.shape)
    if not isinstance(alpha, Tensor):
        return of_theta, None
    taken = u if dynamics.to_zero else theta if dynamics.order == "before-leak" else 0.0
    return of_theta, ((u - taken * s) * later).sum_to_size(alpha.shape)


def _gradient(
    membrane: Tensor, spikes: Tensor, grad: Tensor, theta: Tensor, dynamics: Dynamics, k: float
) -> Tensor:
    """dL/dI for grad = dL/ds; spikes count where the reset is to zero."""
    delta, surrogate = torch.empty_like(membrane), SURROGATES[dynamics.surrogate]
    length = max(1, CHUNK // membrane[0].numel())
    for end in range(len(delta), 0, -length):
        start = max(0, end - length)
        u = membrane[start:end]
        slope = surrogate.slope_(u - theta, k)
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
    alpha, taken, surrogate = dynamics.alpha, theta * dynamics.share, SURROGATES[dynamics.surrogate]
    for t, u in enumerate(membrane):
        if t == 0:
            u.copy_(current[0])
        elif dynamics.to_zero:
            torch.addcmul(membrane[t - 1], membrane[t - 1], spikes[t - 1], value=-1, out=u)
            u.mul_(alpha).add_(current[t])
        else:
            torch.addcmul(current[t], spikes[t - 1], taken, value=-1, out=u)
            if isinstance(alpha, Tensor):
                u.addcmul_(membrane[t - 1], alpha)
            else:
                u.add_(membrane[t - 1], alpha=alpha)
        s = torch.sub(u, theta, out=spikes[t])
        s.copy_(step(s)) if k is None else surrogate.spike_(s, k)
    return membrane, spikes


def _is_here(tensor: Tensor) -> bool:
    """Whether the compiled loops of kernels/membranes.py apply; elsewhere torch's operations do the same."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def _states_here(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | None
) -> tuple[Tensor, Tensor]:
    stored = current if _is_dense(current) else current.contiguous()
    membrane, spikes = torch.empty_like(stored), torch.empty_like(stored)
    levels = _thresholds(theta, stored), _leaks(theta, stored, dynamics)
    lif_forward(_flat(stored), _flat(membrane), _flat(spikes), *levels, dynamics, k)
    return membrane, spikes


def _gradient_here(
    membrane: Tensor, spikes: Tensor, grad: Tensor, theta: Tensor, dynamics: Dynamics, k: float
) -> Tensor:
    delta = torch.empty_like(membrane)
    steps = 1 if grad.stride(0) == 0 else len(grad)  # a sum over time has one gradient for all steps
    alike = grad[:steps]
    if not _is_laid_out_as(alike, membrane):
        alike = torch.empty_like(membrane[:steps]).copy_(alike)
    levels = _thresholds(theta, membrane), _leaks(theta, membrane, dynamics)
    states, top = (_flat(membrane), _flat(spikes)), SURROGATES[dynamics.surrogate].steepest(k)
    lif_backward(*states, _flat(alike), _flat(delta), *levels, dynamics, k, top)
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


def _leaks(theta: Tensor, each: Tensor, dynamics: Dynamics) -> NDArray[np.float32]:
    """Leaks of the positions, as many as `_thresholds` gives."""
    if isinstance(dynamics.alpha, Tensor):
        return _thresholds(dynamics.alpha.expand_as(theta).contiguous(), each)
    return np.full(len(_thresholds(theta, each)), dynamics.alpha, np.float32)


def lif(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | Tensor, *, hard: bool = False
) -> Tensor:
    """Surrogate-forward LIF layer: u_t as its `Dynamics` say, s_t = sigma(u_t - theta).

    Args:
        current: I, shape (time, batch, ...), float; u_0 and s_0 are 0 for every call (no state is kept).
        theta: thresholds, broadcast against (batch, ...).
        dynamics: leak, in [0, 1], one for all or one for each threshold, what a spike does to its membrane a
            step later, and the surrogate sigma.
        k: slope factor of the surrogate; a 0-dimensional float64 tensor, on the device of `current`, where a
            CUDA graph is to find another value there with every replay.
        hard: the step H, H(0) = 1, in place of sigma, and nothing else changed.

    Returns: s, the shape of `current`, differentiable with respect to `current`, theta and a leak that is a
    tensor: exactly, because sigma is the forward function too; with `hard`, by the straight-through estimate,
    which puts sigma' where the slope of H belongs, in the reset as well. Source: Nicholson, arXiv 2603.18039;
    the estimate: Neftci et al., arXiv 1901.09948.
    """
    if not current.is_cuda:
        k = float(k)
    elif current.dtype == torch.float32 and (fused := _fused_for(theta, dynamics)) is not None:
        return fused(current, theta, dynamics, k, hard)
    leak = dynamics.alpha if isinstance(dynamics.alpha, Tensor) else None
    spikes: Tensor = _LIF.apply(current, theta, leak, dynamics, k, hard)  # type: ignore[no-untyped-call]
    return spikes


def _fused_for(theta: Tensor, dynamics: Dynamics) -> Callable[..., Tensor] | None:
    """`_fused`, of what its kernels know: the arctan, one leak, and thresholds that are not learned."""
    learns = isinstance(dynamics.alpha, Tensor) or theta.requires_grad
    if SURROGATES[dynamics.surrogate] is ARCTAN and not learns:
        return _fused()
    _remark()
    return None


@cache
def _remark() -> None:
    say("the Triton kernels know the arctan and fixed neurons: LIF layers run as some hundred small kernels")


@cache
def _fused() -> Callable[..., Tensor] | None:
    """The same in one kernel a direction, for a GPU; None, and a remark, where Triton is not installed."""
    try:
        from sast_deploy.training.network.tritonlif import triton_lif
    except ImportError:
        say("Triton is not installed: LIF layers run as some hundred small kernels, `pip install triton`")
        return None
    return triton_lif


class _Filter(torch.autograd.Function):
    """c_t = kappa c_{t-1} + a_t; with e_t = dL/dc_t of the steps' own, dL/da_t = e_t + kappa dL/da_{t+1}."""

    @staticmethod
    def forward(ctx: Any, arriving: Tensor, kappa: float) -> Tensor:
        ctx.kappa = kappa
        current = arriving.clone()
        for t in range(1, len(current)):
            current[t].add_(current[t - 1], alpha=kappa)
        return current

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        delta = grads[0].clone()
        for t in range(len(delta) - 2, -1, -1):
            delta[t].add_(delta[t + 1], alpha=ctx.kappa)
        return delta, None


def filtered(arriving: Tensor, kappa: float) -> Tensor:
    """The current c of what arrives, (time, batch, ...); c_0 = a_0, as nothing is kept between calls."""
    current: Tensor = _Filter.apply(arriving, kappa)  # type: ignore[no-untyped-call]
    return current
