"""The LIF layer of lif.py on a GPU: one Triton kernel a direction, all time steps in it.

Each thread follows one neuron of one sample through time, its membrane and spike in registers. As loops of
torch operations the same takes four kernels a step and direction, each of which waits longer than it works.
Triton comes with torch where torch comes with CUDA; lif.py does without it elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra import libdevice

from sast_deploy.training.kernels.membranes import Dynamics

BLOCK = tl.constexpr(128)  # neurons a program: 168 neurons and 128 samples take 168 programs
PI = tl.constexpr(math.pi)
AFTER, BEFORE, ZERO = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # resets


def triton_lif(
    current: Tensor, theta: Tensor, dynamics: Dynamics, k: float | Tensor, hard: bool
) -> Tensor:
    """`lif.lif` for float32 on CUDA; k: a number, or a 0-dimensional float64 tensor on the same device."""
    slope = k if isinstance(k, Tensor) else torch.full((), k, dtype=torch.float64, device=current.device)
    thresholds = theta.expand(current.shape[2:]).contiguous()
    spikes: Tensor = _TritonLIF.apply(current, thresholds, slope, dynamics, hard)  # type: ignore[no-untyped-call]
    return spikes


class _TritonLIF(torch.autograd.Function):
    """What `lif._LIF` computes, with its recursion of the gradient; theta: one threshold a neuron."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, theta: Tensor, slope: Tensor, dynamics: Dynamics, hard: bool
    ) -> Tensor:
        states = current.new_empty(2, *current.shape)  # membranes, spikes
        sizes = len(current), current[0].numel(), theta.numel()
        ctx.launch, ctx.reset = (*sizes, dynamics.alpha), _reset(dynamics)
        _forward[_programs(sizes[1])](
            current.contiguous(), theta, slope, states, *ctx.launch, HARD=hard, RESET=ctx.reset
        )
        ctx.save_for_backward(states, theta, slope)
        return states[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, theta, slope = ctx.saved_tensors
        delta = torch.empty_like(states[0])
        _backward[_programs(delta[0].numel())](
            grads[0].contiguous(), states, theta, slope, delta, *ctx.launch, RESET=ctx.reset
        )
        return delta, None, None, None, None


def _reset(dynamics: Dynamics) -> int:
    kind = ZERO if dynamics.to_zero else BEFORE if dynamics.order == "before-leak" else AFTER
    return int(kind.value)


def _programs(neurons: int) -> tuple[int]:
    return (triton.cdiv(neurons, BLOCK.value),)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _forward(  # type: ignore[no-untyped-def]  # pragma: no cover
    current, theta, slope, states, steps, neurons, thresholds, alpha, HARD: tl.constexpr, RESET: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = at < neurons
    th = tl.load(theta + at % thresholds, mask=here, other=1.0)
    k = tl.load(slope).to(tl.float32)
    spikes = states + tl.full((BLOCK,), steps, tl.int64) * neurons
    u = tl.zeros((BLOCK,), tl.float32)
    s = tl.zeros((BLOCK,), tl.float32)
    for _ in range(steps):
        i = tl.load(current + at, mask=here, other=0.0)
        if RESET == ZERO:
            u = alpha * (u - u * s) + i
        elif RESET == BEFORE:
            u = alpha * (u - th * s) + i
        else:
            u = i - th * s + alpha * u
        if HARD:
            s = tl.where(u >= th, 1.0, 0.0)
        else:
            s = libdevice.atan((u - th) * k) / PI + 0.5
        tl.store(states + at, u, mask=here)
        tl.store(spikes + at, s, mask=here)
        at += neurons


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward(  # type: ignore[no-untyped-def]  # pragma: no cover
    grad, states, theta, slope, delta, steps, neurons, thresholds, alpha, RESET: tl.constexpr
):
    first = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = first < neurons
    th = tl.load(theta + first % thresholds, mask=here, other=1.0)
    k = tl.load(slope).to(tl.float32)
    whole = tl.full((BLOCK,), steps, tl.int64) * neurons
    at = first + whole
    d = tl.zeros((BLOCK,), tl.float32)
    for _ in range(steps):
        at -= neurons
        g = tl.load(grad + at, mask=here, other=0.0)
        u = tl.load(states + at, mask=here, other=0.0)
        x = (u - th) * k
        rate = (k / PI) / (1.0 + x * x)
        if RESET == ZERO:
            s = tl.load(states + whole + at, mask=here, other=0.0)
            carry = alpha * (1.0 - s - u * rate)
        elif RESET == BEFORE:
            carry = alpha * (1.0 - th * rate)
        else:
            carry = alpha - th * rate
        d = g * rate + carry * d
        tl.store(delta + at, d, mask=here)
