"""Clipping points and exponents searched on what the layer really sees, not on the weights alone."""

from __future__ import annotations

import math

import numpy as np

from sast_deploy.calibration.moments import Moments
from sast_deploy.calibration.rounding import squared_error
from sast_deploy.compiler.quantize import Float64Array, Scaling, rescaled, scale_at, searched_points
from sast_deploy.program.profile import Profile

# Candidate clipping points, as shares of the largest magnitude: fine for few levels, which cut off more.
CLIP_SHARES = np.linspace(0.05, 1.0, 58)
# The exponent is tried where the median threshold is the state's largest value over 4, 8, 16 and 32.
LARGEST_MEDIAN, EXPONENTS = 4.0, 4


def moment_points(weights: Float64Array, moments: Moments, profile: Profile) -> Float64Array:
    """The magnitude that becomes the largest integer, per row of `weights` (neurons, d).

    Each neuron's (with scale "layer", all neurons') is the share of its largest magnitude at which the
    weights, rounded to nearest, change the membrane potential least in the mean square.
    """
    largest = np.abs(weights).max(axis=1)
    if profile.weight_scale == "layer":
        largest = np.full_like(largest, largest.max())

    def error_of(off: Float64Array) -> Float64Array:
        error = squared_error(off, moments)
        return np.full_like(error, error.sum()) if profile.weight_scale == "layer" else error

    best = searched_points(weights, largest, profile.weight_max, CLIP_SHARES, error_of)
    # A neuron without any weight only integrates its bias; the others' typical scale serves it.
    return np.where(largest > 0, best, np.median(best[largest > 0]))


def candidates(
    weights: Float64Array, thresholds: Float64Array, points: Float64Array, profile: Profile, input_max: int
) -> list[Scaling]:
    """Scalings of a spiking layer with the same weight steps and other numbers of LSBs per threshold."""
    per_exponent = profile.weight_max / points
    median = float(np.median(thresholds * per_exponent))
    top = math.floor(math.log2(profile.arithmetic.state.high / LARGEST_MEDIAN / median))
    tried = {min(max(top - k, profile.exponent_min), profile.exponent_max) for k in range(EXPONENTS)}
    found = [scale_at(exponent, per_exponent, thresholds, profile) for exponent in sorted(tried)]
    if profile.excess == "rescale":
        return [rescaled(weights, scaling, profile, input_max) for scaling in found]
    return found
