"""Biases and thresholds moved in integer steps until a layer's spikes are nearest to the float network's.

Rounded weights, rounded thresholds, the leak's rounding and saturation all shift a neuron's mean membrane
potential and its firing rate. First the bias takes back the mean error of the membrane that the weights'
rounding makes (bias correction, Nagel et al. 2019, arXiv 1906.04721); then bias and threshold move by one
grid step at a time, every neuron or channel by itself, as long as the distance of its spikes from the float
network's falls (place.py). The inputs are the integer network's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.calibration.place import Place
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import SpikingLayer, frozen_ints

ROUNDS = 8
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
Float64Array = npt.NDArray[np.float64]


def correct(layer: SpikingLayer, place: Place, error: Float64Array, profile: Profile) -> SpikingLayer:
    """The layer with corrected bias and vth.

    error: the mean error of each neuron's current per step, in LSBs, which the bias could take back.
    """
    grid = profile.grid
    best, off = layer, place.distances(layer)
    back = (np.rint(-error / grid) * grid).astype(np.int64)
    best, off, _ = _take(best, off, place, best.bias + back, best.vth, profile)
    for _ in range(ROUNDS):
        moved = False
        for b, v in MOVES:
            bias, vth = best.bias + b * grid, best.vth + v * grid
            best, off, nearer = _take(best, off, place, bias, vth, profile)
            moved |= nearer
        if not moved:
            break
    return best


def _take(
    best: SpikingLayer, off: Float64Array, place: Place, bias: Any, vth: Any, profile: Profile
) -> tuple[SpikingLayer, Float64Array, bool]:
    """The layer and its distances with those neurons moved that come nearer; whether any did."""
    rules = profile.arithmetic
    highest = rules.state.high - (rules.comparison == ">")
    allowed = (vth >= profile.grid) & (vth <= highest) & (np.abs(bias) <= rules.state.high)
    moved = replace(
        best,
        bias=frozen_ints(np.where(allowed, bias, best.bias)),
        vth=frozen_ints(np.where(allowed, vth, best.vth)),
    )
    found = place.distances(moved)
    nearer = found < off
    kept = replace(
        best,
        bias=frozen_ints(np.where(nearer, moved.bias, best.bias)),
        vth=frozen_ints(np.where(nearer, moved.vth, best.vth)),
    )
    return kept, np.where(nearer, found, off), bool(nearer.any())
