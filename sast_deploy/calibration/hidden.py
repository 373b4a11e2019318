"""A spiking layer's integers: the candidate whose spikes are nearest to the float network's, corrected.

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

from sast_deploy.calibration.moments import constant_trace
from sast_deploy.calibration.place import Place
from sast_deploy.calibration.scales import candidates
from sast_deploy.calibration.task import Task
from sast_deploy.compiler.quantize import Float64Array, Scaling, choose_scaling, on_grid
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import SpikingLayer, frozen_ints

ROUNDS = 8
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))  # of bias and threshold, in grid steps


def choose_hidden(
    task: Task, layer: SpikingLayer, threshold: Float64Array, place: Place
) -> tuple[SpikingLayer, Scaling]:
    """The layer with its integers, and their scaling. layer: task.layer. threshold: trained, (neurons,)."""
    scalings, seen = _scalings(task, threshold), place.measured()
    built = [_integers(task, layer, threshold, scaling) for scaling in scalings]
    alone = len(built) == 1
    best = 0 if alone else int(np.argmin([seen.distances(candidate).sum() for candidate in built]))
    chosen, scaling = built[best], scalings[best]
    if task.options.correction:
        error = task.mean_error(chosen.weight, scaling) / constant_trace(task.alpha, task.x.shape[1])
        chosen = correct(chosen, seen, error, task.profile)
    return chosen, scaling


def _scalings(task: Task, threshold: Float64Array) -> list[Scaling]:
    if not task.options.search or task.seen.points is None:
        return [choose_scaling(task.real, threshold, task.profile, task.input_max)]
    return candidates(task.aim, threshold, task.seen.points, task.profile, task.input_max)


def _integers(task: Task, layer: SpikingLayer, threshold: Float64Array, scaling: Scaling) -> SpikingLayer:
    grid = task.profile.grid
    # At least one grid step, so that a candidate can be judged at all; the builder refuses what is amiss.
    vth = np.maximum(on_grid(threshold, scaling.factor, grid), grid)
    bias = on_grid(task.bias, scaling.factor, grid)
    return replace(
        layer,
        weight=task.rounded(scaling),
        bias=frozen_ints(bias),
        vth=frozen_ints(vth),
        weight_exp=scaling.exponent,
    )


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
    moved = _moved(best, allowed, bias, vth)
    found = place.distances(moved)
    nearer = found < off
    kept = _moved(best, nearer, moved.bias, moved.vth)
    return kept, np.where(nearer, found, off), bool(nearer.any())


def _moved(layer: SpikingLayer, where: Any, bias: Any, vth: Any) -> SpikingLayer:
    """The layer with those biases and thresholds of the neurons `where`."""
    return replace(
        layer,
        bias=frozen_ints(np.where(where, bias, layer.bias)),
        vth=frozen_ints(np.where(where, vth, layer.vth)),
    )
