"""A layer's integers from its float weights by the compiler's own functions, with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    choose_scaling,
    on_grid,
    quantize,
)
from sast_deploy.program.profile import Profile

Clamp = Callable[[Float64Array], Float64Array]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """One layer's integers as float tensors, and the scale that made them.

    weight: the shape of the float weight, differentiable with respect to it; bias (out,), likewise.
    vth: (out,), no gradient; empty for a readout. exponent: e; factor: c (out,), LSBs per real unit.
    """

    weight: Tensor
    bias: Tensor
    vth: Tensor
    exponent: int
    factor: Tensor


class _StraightThrough(torch.autograd.Function):
    """Forward: the given integers. Backward: d integer / d value = slope, 0 where it was clipped.

    The scale, though chosen from the weights, counts as a constant.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, integers: Tensor, slope: Tensor, clipped: Tensor | None) -> Tensor:
        ctx.save_for_backward(slope, clipped)
        return integers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        slope, clipped = ctx.saved_tensors
        grad = grads[0] * slope
        return grad if clipped is None else grad.masked_fill_(clipped, 0.0), None, None, None


def integer_layer(
    weight: Tensor,
    bias: Tensor,
    theta: Tensor,
    profile: Profile,
    unit: float,
    input_max: int,
    clamp: Clamp | None = None,
) -> IntegerLayer:
    """The integers of a spiking layer: weight (out, ...), bias (out,), theta (out,), float32.

    unit: the real value of one integer unit of its input. input_max: the largest integer of its input.
    clamp: brings the weights between clipping points found before; without it the profile's are found.
    """
    real, thresholds = _real(weight, unit), theta.detach().cpu().numpy().astype(np.float64)
    used, profile = _clamped(real, clamp, profile)
    scaling = choose_scaling(used.reshape(len(used), -1), thresholds, profile, input_max)
    vth = torch.from_numpy(on_grid(thresholds, scaling.factor, profile.grid)).to(weight)
    return _layer(weight, bias, real, used, unit, scaling, profile, vth)


def integer_readout(
    weight: Tensor, bias: Tensor, profile: Profile, unit: float, steps: int, clamp: Clamp | None = None
) -> IntegerLayer:
    """The integers of a readout: weight (classes, n), bias (classes,), float32; steps: T."""
    real, total_bias = _real(weight, unit), float(bias.detach().abs().max()) * steps
    used, profile = _clamped(real, clamp, profile)
    scaling = choose_readout_scaling(used, total_bias, profile)
    return _layer(weight, bias, real, used, unit, scaling, profile, bias.new_empty(0))


def _real(weight: Tensor, unit: float) -> Float64Array:
    real: Float64Array = np.multiply(weight.detach().cpu().numpy(), unit, dtype=np.float64)
    return real


def _clamped(real: Float64Array, clamp: Clamp | None, profile: Profile) -> tuple[Float64Array, Profile]:
    """The weights clamped, and the profile for what is clamped already."""
    return (real, profile) if clamp is None else (clamp(real), replace(profile, clipping="none"))


def _layer(
    weight: Tensor,
    bias: Tensor,
    real: Float64Array,
    used: Float64Array,
    unit: float,
    scaling: Scaling,
    profile: Profile,
    vth: Tensor,
) -> IntegerLayer:
    """Integers of the weights `used`, which are `real` but for a clamp."""
    limit, factor = profile.weight_max, torch.from_numpy(scaling.factor).to(weight.device)
    integers = torch.from_numpy(quantize(used, scaling.factor, scaling.exponent, limit))
    per_real = (scaling.factor / 2.0**scaling.exponent).reshape(-1, *[1] * (real.ndim - 1))
    clipped = None
    if used is not real:
        clipped = torch.from_numpy(used != real).to(weight.device)
    elif profile.clipping != "none" or profile.weight_scale == "unit":  # else the largest weight just fits
        clipped = torch.from_numpy(np.abs(real) > (limit + 0.5) / per_real).to(weight.device)
    slope = torch.from_numpy(per_real * unit).to(weight)
    offsets = torch.from_numpy(on_grid(bias.detach().cpu().numpy(), scaling.factor, profile.grid))
    return IntegerLayer(
        _apply(weight, integers.to(weight), slope, clipped),
        _apply(bias, offsets.to(bias), factor.to(bias), None),
        vth,
        scaling.exponent,
        factor,
    )


def _apply(value: Tensor, integers: Tensor, slope: Tensor, clipped: Tensor | None) -> Tensor:
    result: Tensor = _StraightThrough.apply(value, integers, slope, clipped)  # type: ignore[no-untyped-call]
    return result
