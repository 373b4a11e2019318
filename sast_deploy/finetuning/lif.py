"""The deployed LIF layer, integer for integer, with a gradient, on floating-point tensors that hold integers.

A float type holds every integer up to 2**24 (float32) or 2**53 (float64) exactly, and dividing by a power of
two only moves its exponent: while all values stay below `exact_dtype`'s bound, these are the integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sast_deploy.base.errors import CompileError
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import LEAK_BITS, NO_DECAY_FILTER
from sast_deploy.training.kernels.membranes import SurrogateName
from sast_deploy.training.network.surrogates import SURROGATES

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


@dataclass(frozen=True)
class LayerRules:
    """What a layer obeys besides its weights: the profile's rules, its exponent e, its leaks in 1/4096.

    v_decay: one for all neurons, or one for each, float64 that broadcasts as their thresholds. u_decay: of
    the current; UNFILTERED: it has no filter. surrogate: whose slope counts in the backward pass.
    """

    arithmetic: Arithmetic
    exponent: int
    v_decay: int | Tensor
    u_decay: int = NO_DECAY_FILTER
    surrogate: SurrogateName = "arctan"

    @property
    def kept(self) -> Any:
        """The share of the membrane potential that one step of leak keeps, before rounding: exact."""
        return 1.0 - self.v_decay / (1 << LEAK_BITS)

    @property
    def kept_current(self) -> float:
        """The same of the current; 0 without a filter."""
        return 1.0 - self.u_decay / (1 << LEAK_BITS)

    def dtype(self, largest_sum: int) -> torch.dtype:
        """A float type in which a layer whose weighted sums reach `largest_sum` computes exactly."""
        decays = set(torch.as_tensor(self.v_decay).flatten().tolist())
        odd = max(_odd((1 << LEAK_BITS) - int(each)) for each in decays)
        state = self.arithmetic.state.high + 1
        current = largest_sum * 2.0 ** max(self.exponent, 0) / max(1.0 - self.kept_current, 1e-9)
        membrane = 4 * state + current  # leak, bias, reset; current
        filtered = current * _odd((1 << LEAK_BITS) - self.u_decay)
        return exact_dtype(max(membrane, filtered, state * odd))


def _odd(share: int) -> int:
    """What a leak multiplies by, but for a power of two."""
    while share and share % 2 == 0:
        share //= 2
    return share


class _IntegerLIF(torch.autograd.Function):
    """Forward: `integrate`. Backward: lif.py's recursion, in units of membrane LSBs.

    With v_t the membrane before saturation, h_t = sigma'((u_t - vth) / c) / c, m_t = 1 where v_t was not
    clipped and 0 where it was, a = 1 - d / 4096, g_t = dL/ds_t from the layers above:

        after-leak:  dL/du_t = h_t g_t + (a - vth h_t) dL/dv_{t+1}
        before-leak: dL/du_t = h_t g_t + (a - a vth h_t) dL/dv_{t+1}
        zero:        dL/du_t = h_t g_t + (a (1 - s_t) - a u_t h_t) dL/dv_{t+1}
        dL/dv_t = m_t dL/du_t,    dL/d sum_t = 2**e dL/dc_t,    dL/d bias = sum_t dL/dv_t
        dL/dc_t = dL/dv_t + kept dL/dc_{t+1}, kept = 1 - u_decay / 4096: 0 without a filter of the current

    Straight-through: the step H counts as sigma, the roundings of shift and leak as the identity.
    Exact: everything else, the clipping included. A value that wraps counts as not clipped.
    """

    @staticmethod
    def forward(
        ctx: Any, sums: Tensor, bias: Tensor, vth: Tensor, factor: Tensor, rules: LayerRules, k: float
    ) -> tuple[Tensor, Tensor]:
        membrane, spikes, clipped = integrate(sums, bias, vth, rules)
        ctx.save_for_backward(membrane, spikes, clipped, vth, factor)
        ctx.rules, ctx.k = rules, k
        ctx.mark_non_differentiable(membrane)
        return membrane, spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        membrane, spikes, clipped, vth, factor = ctx.saved_tensors
        rules: LayerRules = ctx.rules
        slope = SURROGATES[rules.surrogate].slope_((membrane - vth).div_(factor), ctx.k).div_(factor)
        delta = grads[1] * slope
        if rules.arithmetic.reset == "zero":
            carry = slope.mul_(membrane).add_(spikes).sub_(1.0).mul_(-rules.kept)
        elif rules.arithmetic.reset_order == "before-leak":
            carry = slope.mul_(vth).sub_(1.0).mul_(-rules.kept)
        else:
            carry = slope.mul_(-vth).add_(rules.kept)
        for t in range(len(delta) - 1, -1, -1):
            if t + 1 < len(delta):
                delta[t].addcmul_(carry[t], delta[t + 1])
            delta[t].masked_fill_(clipped[t], 0.0)
        over_neurons = [axis for axis in range(delta.ndim) if axis != 2]
        bias = delta.sum(over_neurons).reshape(vth.shape)
        if rules.kept_current:
            for t in range(len(delta) - 2, -1, -1):
                delta[t].add_(delta[t + 1], alpha=rules.kept_current)
        return delta.mul_(2.0**rules.exponent), bias, None, None, None, None


def integrate(sums: Tensor, bias: Tensor, vth: Tensor, rules: LayerRules) -> tuple[Tensor, Tensor, Tensor]:
    """Membranes, spikes (0 or 1) and where the membrane was clipped (bool), each of the shape of `sums`.

    c_t = shift(sum_t, e), filtered where the layer does so; u_t and s_t as in program.py; c, u and s are 0
    before the first step. That no current wraps is the compiler's to prove.
    """
    law = rules.arithmetic
    current = shift(sums, rules.exponent, law.shift_rounding)
    if rules.kept_current:
        for t in range(1, len(current)):
            current[t].add_(round_(current[t - 1] * rules.kept_current, law.leak_rounding))
    membrane = current.add_(bias)  # until its step
    spikes = torch.empty_like(membrane)
    clipped = torch.zeros_like(membrane, dtype=torch.bool)
    for t, u in enumerate(membrane):
        if t > 0:
            u.add_(_after_reset(membrane[t - 1], spikes[t - 1], vth, rules))
        before = u.clone() if law.overflow != "wrap" else None
        fit_(u, law.state, law.overflow)
        if before is not None:
            torch.ne(u, before, out=clipped[t])
        torch.ge(u, vth, out=spikes[t]) if law.comparison == ">=" else torch.gt(u, vth, out=spikes[t])
    return membrane, spikes, clipped


def _after_reset(u: Tensor, s: Tensor, vth: Tensor, rules: LayerRules) -> Tensor:
    """What the leak and the delayed reset leave of the last step's membrane potential."""
    rounding, law = rules.arithmetic.leak_rounding, rules.arithmetic
    if law.reset == "subtract" and law.reset_order == "after-leak":
        return round_(u * rules.kept, rounding).addcmul_(s, vth, value=-1)
    taken = u if law.reset == "zero" else vth
    return round_(torch.addcmul(u, taken, s, value=-1).mul_(rules.kept), rounding)


def integer_lif(
    sums: Tensor, bias: Tensor, vth: Tensor, factor: Tensor, rules: LayerRules, k: float
) -> tuple[Tensor, Tensor]:
    """The deployed LIF layer: membranes (no gradient) and spikes (differentiable), as integer-valued floats.

    Args:
        sums: weighted sums a_t, (time, batch, neurons or channels, ...), integers in a float type that
            `rules.dtype` allows.
        bias, vth: membrane LSBs; factor: c, membrane LSBs per unit of the trained network. They broadcast
            against (batch, ...), one value per neuron or channel.
        rules: the profile's rules, the layer's exponent and leak.
        k: slope factor of the surrogate gradient.
    """
    if isinstance(rules.v_decay, Tensor):
        rules = replace(rules, v_decay=rules.v_decay.to(sums))
    membrane, spikes = _IntegerLIF.apply(sums, bias, vth, factor, rules, k)  # type: ignore[no-untyped-call]
    return membrane, spikes
