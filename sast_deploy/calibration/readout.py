"""The readout's integers: one factor for all classes, searched on the loss itself.

Logits are compared with one another only, so the mean over the classes is taken off every input's weights
first, for free: what is left is smaller and rounds better.
"""

from __future__ import annotations

import numpy as np

from sast_deploy.calibration.objective import divergence
from sast_deploy.calibration.scales import CLIP_SHARES
from sast_deploy.calibration.task import Task
from sast_deploy.compiler.choice import LayerChoice
from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    on_grid,
    readout_scale,
)
from sast_deploy.program.program import Int32Array, frozen_ints


def choose_readout(task: Task, wanted: Float64Array) -> LayerChoice:
    """The choice of least loss. wanted: the float network's logits, (n, classes)."""
    total_bias = float(np.abs(task.bias).max()) * task.x.shape[1]
    profile = task.profile
    if not task.options.search:
        scalings = [choose_readout_scaling(task.real, total_bias, profile)]
    else:
        largest = float(np.abs(task.aim).max())
        units = profile.weight_max / (CLIP_SHARES * largest)
        scalings = [readout_scale(unit, len(task.real), total_bias, profile) for unit in units]
    counts = task.x.reshape(*task.x.shape[:2], -1).sum(axis=1).astype(np.float64)
    best: tuple[float, LayerChoice] | None = None
    for scaling in scalings:
        weight = task.rounded(scaling)
        if not weight.any():
            continue
        bias = _bias(task, weight, scaling)
        logits = counts @ weight.T.astype(np.float64) * 2.0**scaling.exponent + task.x.shape[1] * bias
        loss = divergence(wanted, logits)
        if best is None or loss < best[0]:
            best = (loss, LayerChoice(scaling, weight, bias, centred=task.centred))
    return best[1] if best is not None else LayerChoice(scalings[0], centred=task.centred)


def _bias(task: Task, weight: Int32Array, scaling: Scaling) -> Int32Array:
    bias = task.bias
    if task.options.correction:
        error = task.mean_error(weight, scaling) / scaling.factor / task.x.shape[1]
        bias = bias - (error - error.mean())
    return frozen_ints(on_grid(bias, scaling.factor, task.profile.grid))
