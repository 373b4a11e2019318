"""The readout's integers: one factor for all classes, searched on the loss itself.

Logits are compared with one another only, so the mean over the classes is taken off every input's weights
first, for free: what is left is smaller and rounds better.
"""

from __future__ import annotations

import numpy as np

from sast_deploy.calibration.objective import divergence
from sast_deploy.calibration.scales import CLIP_SHARES
from sast_deploy.calibration.task import Task
from sast_deploy.compiler.build import biases_at_once, filter_gain
from sast_deploy.compiler.choice import LayerChoice
from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    on_grid,
    readout_scale,
)
from sast_deploy.program.program import Int32Array, Readout, frozen_ints


def choose_readout(task: Task, wanted: Float64Array) -> LayerChoice:
    """The choice of least loss. wanted: the float network's logits, (n, classes)."""
    layer, profile, steps = task.layer, task.profile, task.x.shape[1]
    assert isinstance(layer, Readout)
    total_bias = float(np.abs(task.bias).max()) * biases_at_once(layer, steps)
    gain = filter_gain(layer, steps) * task.input_max
    if not task.options.search:
        scalings = [choose_readout_scaling(task.real, total_bias, profile, gain)]
    else:
        largest = float(np.abs(task.aim).max())
        units = profile.weight_max / (CLIP_SHARES * largest)
        scalings = [readout_scale(unit, task.aim, total_bias, profile, gain) for unit in units]
    seen = task.response.seen(task.x)
    best: tuple[float, LayerChoice] | None = None
    for scaling in scalings:
        weight = task.rounded(scaling)
        if not weight.any():
            continue
        bias = _bias(task, weight, scaling)
        logits = seen @ weight.T.astype(np.float64) * 2.0**scaling.exponent + task.response.bias * bias
        loss = divergence(wanted, logits)
        if best is None or loss < best[0]:
            best = (loss, LayerChoice(scaling, weight, bias, centred=task.centred))
    return best[1] if best is not None else LayerChoice(scalings[0], centred=task.centred)


def _bias(task: Task, weight: Int32Array, scaling: Scaling) -> Int32Array:
    bias = task.bias
    if task.options.correction:
        error = task.mean_error(weight, scaling) / scaling.factor / task.response.bias
        bias = bias - (error - error.mean())
    return frozen_ints(on_grid(bias, scaling.factor, task.profile.grid))
