"""From real weights to integer weights: scales, clipping, exponents.

For neuron n with weights A_n (recurrent ones R_n among them: its sum is one integer), bias b_n and
threshold theta_n the compiler chooses a factor c_n > 0 and
an exponent e for the layer, and rounds to the nearest integer, ties to even:

    W_n = round(A_n * c_n / 2**e),  vth_n = g * round(theta_n * c_n / g),  bias_n = g * round(b_n * c_n / g)

g is the profile's grid, 1 but for stock Lava. c_n is the number of membrane LSBs per unit of the trained
network. Since all three are multiplied by the same number, no spike changes but for rounding.
Granularities: `unit` is the format's own 2**fraction_bits for all neurons, `layer` one factor a layer,
`neuron` one each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.lava_constants import BIAS_MANT_MAX
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import CURRENT, LEAK_BITS

Float64Array = npt.NDArray[np.float64]
Reach = int | npt.NDArray[np.int64]  # the largest input: of all weights, or of each, (n,)

# Candidate clipping points as shares of the largest magnitude, searched by `mse` clipping.
CLIP_SHARES = np.linspace(0.2, 1.0, 81)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Outcome of the search: the layer's exponent e and c, float64 (neurons,), LSBs per real unit."""

    exponent: int
    factor: Float64Array


def clipping_points(weights: Float64Array, weight_max: int, clipping: str) -> Float64Array:
    """The magnitude that becomes `weight_max`, per row of `weights` (rows, n); 0 for an all-zero row.

    `none`: the largest magnitude. `mse`: the share of it that minimises the squared error after
    rounding and clipping (Sung et al., 2015, arXiv 1511.06488, grid search).
    """
    largest: Float64Array = np.abs(weights).max(axis=1)
    if clipping == "none":
        return largest
    return searched_points(weights, largest, weight_max, CLIP_SHARES, lambda off: (off**2).sum(axis=1))


def searched_points(
    weights: Float64Array,
    largest: Float64Array,
    weight_max: int,
    shares: Float64Array,
    error_of: Callable[[Float64Array], Float64Array],
) -> Float64Array:
    """The one of `shares` times `largest`, for each row of `weights` (rows, n), that rounds with least error.

    error_of: (rows,) for differences (rows, n) between weights and what they become. Ties: the larger point.
    """
    best: Float64Array = largest.copy()
    best_error: Float64Array = np.full(len(weights), np.inf)
    for share in shares[::-1]:
        step = np.where(largest > 0, largest * share / weight_max, 1.0)[:, None]
        rounded = np.clip(np.rint(weights / step), -weight_max, weight_max) * step
        error = error_of(rounded - weights)
        better = error < best_error
        best[better], best_error[better] = (largest * share)[better], error[better]
    return best


def choose_scaling(
    weights: Float64Array, thresholds: Float64Array, profile: Profile, input_max: Reach
) -> Scaling:
    """Exponent and factors of a spiking layer; weights (neurons, n), thresholds (neurons,).

    A neuron's clipping point becomes weight_max * 2**e LSBs. e is the largest exponent that keeps the
    median threshold below the state's maximum divided by the profile's headroom, because what a
    small threshold loses to rounding and what a large one loses to saturation pull in opposite ways.
    Where a threshold would still exceed the state's maximum divided by the headroom's square root, its
    neuron (its layer, where all share one factor) gives up weight resolution instead; with excess
    "rescale" so does one whose weighted sum of inputs up to `input_max` may leave the accumulator.
    """
    form = profile.arithmetic.state
    if profile.weight_scale == "unit":
        largest = max(np.abs(weights).max() * form.one, 1e-30)  # fits at the smallest exponent that is enough
        exponent = math.ceil(math.log2(largest / profile.weight_max))
        exponent = min(max(exponent, profile.exponent_min), profile.exponent_max)
        return Scaling(exponent, np.full(len(weights), float(form.one)))
    points = _points(weights, profile)
    per_exponent = profile.weight_max / points
    limit = form.high / profile.headroom
    exponent = math.floor(math.log2(limit / float(np.median(thresholds * per_exponent))))
    exponent = min(max(exponent, profile.exponent_min), profile.exponent_max)
    scaling = scale_at(exponent, per_exponent, thresholds, profile)
    return rescaled(weights, scaling, profile, input_max) if profile.excess == "rescale" else scaling


def scale_at(
    exponent: int, per_exponent: Float64Array, thresholds: Float64Array, profile: Profile
) -> Scaling:
    """Factors per_exponent * 2**exponent, smaller where a threshold would come too near the state's end."""
    ceiling = profile.arithmetic.state.high / math.sqrt(profile.headroom) / np.maximum(thresholds, 1e-30)
    if profile.weight_scale == "layer":
        ceiling = np.full_like(ceiling, ceiling.min())
    return Scaling(exponent, np.minimum(per_exponent * 2.0**exponent, ceiling))


def choose_readout_scaling(
    weights: Float64Array, total_bias: float, profile: Profile, gain: float = 0.0
) -> Scaling:
    """Exponent and factor of a readout (classes, n): one factor for all classes, or argmax would change.

    total_bias: the largest bias, where it sums over time times the number of steps. gain: the largest input
    times what a current filter makes of 1 in every step; 0 without a filter. The largest exponent gives the
    bias the finest grid, but stock NetX adds `total_bias` at once from 16 bits and a filtered current has a
    register of 24, so the exponent falls until both fit, though not below 0, from where on it would cost the
    weights. Logits are exact in any case.
    """
    point = float(clipping_points(weights.reshape(1, -1), profile.weight_max, profile.clipping)[0])
    return readout_scale(profile.weight_max / point, weights, total_bias, profile, gain)


def readout_scale(
    unit: float, weights: Float64Array, total_bias: float, profile: Profile, gain: float = 0.0
) -> Scaling:
    """The readout's scaling when `unit` weight steps stand for 1; the rest as in choose_readout_scaling."""
    exponent = profile.exponent_max
    rounded = np.abs(weights).sum(axis=1).max() * unit + weights.shape[1] / 2  # and more, by its rounding
    needs = max(total_bias * unit / BIAS_MANT_MAX, rounded * gain / CURRENT.high)
    while exponent > max(profile.exponent_min, 0) and needs * 2.0**exponent > 1:
        exponent -= 1
    return Scaling(exponent, np.full(len(weights), unit * 2.0**exponent))


def quantize(values: Float64Array, factor: Float64Array, exponent: int, limit: int) -> npt.NDArray[np.int32]:
    """round(values * factor / 2**exponent), ties to even, clipped to +-limit; factor is per row."""
    scaled = values * (factor / 2.0**exponent).reshape(-1, *[1] * (values.ndim - 1))
    return np.clip(np.rint(scaled), -limit, limit).astype(np.int32)


def on_grid(values: npt.NDArray[Any], factor: Float64Array, grid: int) -> Float64Array:
    """values * factor, rounded to multiples of `grid`, ties to even, in membrane LSBs."""
    rounded: Float64Array = np.rint(values.astype(np.float64) * factor / grid) * grid
    return rounded


def rescaled(weights: Float64Array, scaling: Scaling, profile: Profile, input_max: Reach) -> Scaling:
    """Factors at which no weighted sum of the rounded weights leaves the accumulator."""
    limit = ((1 << (profile.accumulator_bits - 1)) - 1) / 2.0 ** max(scaling.exponent, 0)
    factor = scaling.factor.copy()
    while True:
        rounded = quantize(weights, factor, scaling.exponent, profile.weight_max).astype(np.int64)
        summed = rounded * input_max
        worst = np.maximum(np.maximum(summed, 0).sum(axis=1), -np.minimum(summed, 0).sum(axis=1))
        if (worst <= limit).all():
            return Scaling(scaling.exponent, factor)
        factor *= np.where(worst > limit, 0.99 * limit / np.maximum(worst, 1), 1.0)


def gain_errors(leak: Float64Array, decay: Float64Array, steps: int) -> Float64Array:
    """By what share the leak 1 - decay / 4096 changes the sum over `steps` steps of a constant input.

    leak, decay: (neurons,).
    """
    wanted, found = (constant_gain(kept, steps) for kept in (leak, 1 - decay / (1 << LEAK_BITS)))
    return np.asarray(np.abs(found / wanted - 1))


def constant_gain(leak: Float64Array, steps: int) -> Float64Array:
    """What a leaky sum over `steps` steps makes of 1 in each: sum_{k < steps} leak**k."""
    return np.where(leak < 1, (1 - leak**steps) / np.maximum(1 - leak, 1e-300), steps)


def _points(weights: Float64Array, profile: Profile) -> Float64Array:
    if profile.weight_scale == "layer":
        point = clipping_points(weights.reshape(1, -1), profile.weight_max, profile.clipping)
        return np.repeat(point, len(weights))
    points = clipping_points(weights, profile.weight_max, profile.clipping)
    # A neuron without any weight only integrates its bias; the others' typical scale serves it.
    return np.where(points > 0, points, np.median(points[points > 0]))
