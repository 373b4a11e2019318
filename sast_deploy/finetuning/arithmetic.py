"""The integer arithmetic of fixedpoint.py on floating-point tensors that hold integers.

A float type holds every integer up to 2**24 (float32) or 2**53 (float64) exactly, and dividing by a power of
two only moves its exponent: while all values stay below `exact_dtype`'s bound, these are the integers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sast_deploy.base.errors import CompileError
from sast_deploy.program.fixedpoint import QFormat

# One bit less than the types hold: rounding half up adds a half before it drops the fraction.
FLOAT32_HALVES = 1 << 23
FLOAT64_HALVES = 1 << 52


def exact_dtype(largest: float) -> torch.dtype:
    """The narrowest float type that holds every integer of magnitude up to `largest`. Raises CompileError."""
    if largest < FLOAT32_HALVES:
        return torch.float32
    if largest < FLOAT64_HALVES:
        return torch.float64
    raise CompileError(
        f"integers up to {largest:.3g} may occur", where="fine-tuning", expected=f"less than {FLOAT64_HALVES}"
    )


def round_(values: Tensor, rounding: str) -> Tensor:
    """Round to integers, in place, by one of `fixedpoint.ROUNDINGS`."""
    if rounding == "toward-zero":
        return values.trunc_()
    if rounding == "floor":
        return values.floor_()
    if rounding == "half-up":
        return values.add_(0.5).floor_()
    if rounding == "half-even":
        return values.round_()
    raise ValueError(f"rounding {rounding!r}")


def shift(values: Tensor, exponent: int, rounding: str) -> Tensor:
    """values * 2**exponent, a new tensor: exact to the left, rounded to the right (`fixedpoint.shift`)."""
    scaled = values * 2.0**exponent
    return scaled if exponent >= 0 else round_(scaled, rounding)


def fit_(values: Tensor, form: QFormat, overflow: str) -> Tensor:
    """Bring `values` into the format, in place, by one of `fixedpoint.OVERFLOWS` (`fixedpoint.fit`)."""
    if overflow == "saturate":
        return values.clamp_(form.low, form.high)
    if overflow == "saturate-symmetric":
        return values.clamp_(-form.high, form.high)
    if overflow == "wrap":
        return values.sub_(form.low).remainder_(1 << form.bits).add_(form.low)
    raise ValueError(f"overflow {overflow!r}")
