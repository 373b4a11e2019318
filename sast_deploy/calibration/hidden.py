"""A spiking layer's integers: the candidate whose spikes are nearest to the float network's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sast_deploy.calibration.correction import correct
from sast_deploy.calibration.moments import constant_trace
from sast_deploy.calibration.place import Place
from sast_deploy.calibration.scales import candidates
from sast_deploy.calibration.task import Task
from sast_deploy.compiler.quantize import Scaling, choose_scaling, on_grid
from sast_deploy.program.program import SpikingLayer, frozen_ints

Float64Array = npt.NDArray[np.float64]


def choose_hidden(
    task: Task, layer: SpikingLayer, threshold: Float64Array, place: Place
) -> tuple[SpikingLayer, Scaling]:
    """The layer with its integers, and their scaling. layer: task.layer. threshold: trained, (neurons,)."""
    scalings, seen = _scalings(task, threshold), place.measured()
    built = [_integers(task, layer, threshold, scaling) for scaling in scalings]
    best = 0
    if len(built) > 1:
        best = int(np.argmin([seen.distances(candidate).sum() for candidate in built]))
    chosen, scaling = built[best], scalings[best]
    if task.options.correction:
        error = task.mean_error(chosen.weight, scaling) / constant_trace(task.alpha, task.x.shape[1])
        chosen = correct(chosen, seen, error, task.profile)
    return chosen, scaling


def _scalings(task: Task, threshold: Float64Array) -> list[Scaling]:
    profile = task.profile
    if task.points is None:
        return [choose_scaling(task.real, threshold, profile, task.input_max)]
    return candidates(task.aim, threshold, task.points, profile, task.input_max)


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
