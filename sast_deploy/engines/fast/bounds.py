"""How wide a layer's integers must be: proved from its actual weights and the range of its inputs.

Whatever the order of summation, every partial sum of output i lies within

    +- ( sum_j |W_ij| * x_max + sum_j |R_ij| )

and that of any few inputs within +- max|W| * (the sum of their magnitudes). The first bound chooses the
total's type, the second says how many inputs a narrow partial sum may take before it is added to the total.
Inputs that uint8 does not hold, negative ones among them, get 64 bits, where the first bound is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sast_deploy.base.errors import CompileError
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import LEAK_BITS, NO_DECAY_FILTER, Dense, Int32Array, Readout, SpikingLayer
from sast_deploy.program.sums import Weighted

UINT8_MAX = 255


@dataclass(frozen=True)
class Widths:
    """The integer types of one layer.

    weight: of the stored weights. partial: of a sum of few products. total: of the weighted sum and of all
    arithmetic of the neurons. partial_inputs: the largest sum of inputs that a partial sum may take in.
    """

    weight: type[np.signedinteger[Any]]
    partial: type[np.signedinteger[Any]]
    total: type[np.signedinteger[Any]]
    partial_inputs: int

    @property
    def types(self) -> tuple[type[Any], ...]:
        """Those of weight, partial sum and total."""
        return self.weight, self.partial, self.total


# From the fastest to the one that always fits: types of weight, partial sum and total.
LADDER = (
    (np.int8, np.int16, np.int32),
    (np.int16, np.int32, np.int32),
    (np.int32, np.int64, np.int64),
)


def choose_widths(
    layer: Weighted, x_max: int, rules: Arithmetic, where: str, signed: bool = False
) -> Widths:
    """The narrowest types in which every integer of the layer is exact, for inputs of magnitude 0..x_max.

    signed: whether any may be negative.

    Raises:
        CompileError: not even 64 bits hold the weighted sum.
    """
    total = largest_sum(layer, x_max)
    needed = max(total, largest_intermediate(layer, total, rules))
    low, high = _weight_range(layer)
    peak = max(-low, high, 1)
    for types in LADDER:
        weight, partial, wide = (np.iinfo(kind) for kind in types)
        filtered = not isinstance(layer, Readout) and bool((layer.u_decay != NO_DECAY_FILTER).any())
        fits = weight.min <= low and high <= weight.max and needed <= wide.max
        fits &= min(x_max, UINT8_MAX) * peak <= partial.max
        if fits and (wide.bits == np.iinfo(np.int64).bits or not (filtered or signed or x_max > UINT8_MAX)):
            return Widths(*types, partial_inputs=int(partial.max) // peak)
    raise CompileError(
        f"intermediate results reach {needed}", where=where, expected=f"at most {np.iinfo(np.int64).max}"
    )


def largest_sum(layer: Weighted, x_max: int) -> int:
    """The largest magnitude of a weighted sum, exact, for inputs up to x_max and recurrent spikes 0..1."""
    rows = np.abs(layer.weight.reshape(len(layer.weight), -1).astype(np.int64))
    sums = [int(total) * x_max for total in rows.sum(axis=1)]
    if isinstance(layer, Dense) and layer.recurrent is not None:
        own = np.abs(layer.recurrent.astype(np.int64)).sum(axis=1)
        sums = [total + int(more) for total, more in zip(sums, own, strict=True)]
    return max(sums)


def most_rows(layer: Weighted, most: int) -> int:
    """How many inputs of a neuron, whichever, have weights whose magnitudes together stay within `most`.

    At most all inputs; -1 if `most` is negative.
    """
    rows = np.sort(np.abs(layer.weight.reshape(len(layer.weight), -1).astype(np.int32)), axis=1)[:, ::-1]
    sums = rows.cumsum(axis=1, dtype=np.int64).max(axis=0)
    return int(np.searchsorted(sums, most, side="right")) if most >= 0 else -1


def largest_intermediate(layer: Weighted, total: int, rules: Arithmetic) -> int:
    """The largest magnitude that any step of the kernels' arithmetic reaches from weighted sums +-total."""
    scaled = total << max(layer.weight_exp, 0)
    rounding = 1 << max(-layer.weight_exp, 0)
    if isinstance(layer, Readout):
        return scaled + rounding
    state = 1 << (rules.state.bits - 1)
    leaking = ((state + most_given(layer, rules)) << LEAK_BITS) + (1 << LEAK_BITS)
    current = scaled + (1 << 24 if (layer.u_decay != NO_DECAY_FILTER).any() else 0)
    # leaked state, current, bias, reset, and the offset to the format's lower end
    together = state + current + _peak(layer.bias) + _peak(layer.vth) + state
    return max(leaking, scaled + rounding, together, _peak(layer.vth) + 1)


def resets_early(layer: SpikingLayer, rules: Arithmetic) -> bool:
    """Whether a threshold is taken off before a leak: without any, the order is all the same."""
    return rules.reset_order == "before-leak" and bool(layer.v_decay.any())


def most_given(layer: SpikingLayer, rules: Arithmetic) -> int:
    """How far beyond the state's highest value such a reset leads: negative thresholds are added to it."""
    return max(0, -int(layer.vth.min())) if resets_early(layer, rules) else 0


def _weight_range(layer: Weighted) -> tuple[int, int]:
    parts = [layer.weight]
    if isinstance(layer, Dense) and layer.recurrent is not None:
        parts.append(layer.recurrent)
    return min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)


def _peak(values: Int32Array) -> int:
    return int(np.abs(values.astype(np.int64)).max())
