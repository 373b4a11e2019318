"""The readout's integers: one factor for all classes, searched on the loss itself.

Logits are compared with one another only, so the mean over the classes is taken off every input's weights
first, for free: what is left is smaller and rounds better. Not where classes leak differently, or the largest
membrane over time is the logit: then it would not be free.
"""

from __future__ import annotations

import numpy as np

from sast_deploy.calibration.moments import constant_trace
from sast_deploy.calibration.objective import divergence
from sast_deploy.calibration.scales import CLIP_SHARES
from sast_deploy.calibration.task import Task
from sast_deploy.compiler.build import biases_at_once, filter_gain
from sast_deploy.compiler.choice import LayerChoice
from sast_deploy.compiler.floatrun import integrate
from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    on_grid,
    readout_scale,
)
from sast_deploy.program.program import NO_DECAY_FILTER, Int32Array, Readout, frozen_ints
from sast_deploy.program.sums import real_sums, sums_over_time


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
    counts = task.x.reshape(len(task.x), steps, -1).sum(axis=1).astype(np.float64)
    best: tuple[float, LayerChoice] | None = None
    for scaling in scalings:
        weight = task.rounded(scaling)
        if not weight.any():
            continue
        bias = _bias(task, weight, scaling)
        if layer.sums:
            logits = counts @ weight.T.astype(np.float64) * 2.0**scaling.exponent + steps * bias
        else:
            logits = _leaky_logits(task, weight.astype(np.float64) * 2.0**scaling.exponent, bias)
        loss = divergence(wanted, logits)
        if best is None or loss < best[0]:
            best = (loss, LayerChoice(scaling, weight, bias, centred=task.centred))
    return best[1] if best is not None else LayerChoice(scalings[0], centred=task.centred)


def is_linear(readout: Readout) -> bool:
    """Whether what all classes receive alike leaves the differences between their logits as they are."""
    alike = all((each == each[0]).all() for each in (readout.v_decay, readout.u_decay))
    return readout.decoding != "max" and alike


def _leaky_logits(task: Task, weight: Float64Array, bias: Int32Array) -> Float64Array:
    """(n, classes): membranes of the readout in LSBs, leaks not rounded, as its decoding reads them."""
    layer = task.layer
    assert isinstance(layer, Readout)
    sums = sums_over_time(layer, task.x.astype(np.float64), weight, real_sums)
    leak, kappa = (1 - each / NO_DECAY_FILTER for each in (layer.v_decay, layer.u_decay))
    membrane = integrate(sums, leak, kappa, bias)
    if layer.decoding == "last":
        return np.asarray(membrane[:, -1], np.float64)
    read = membrane.max(axis=1) if layer.decoding == "max" else membrane.mean(axis=1)
    return np.asarray(read, np.float64)


def _bias(task: Task, weight: Int32Array, scaling: Scaling) -> Int32Array:
    bias = task.bias
    if task.options.correction:
        steps = task.x.shape[1]
        sums = isinstance(task.layer, Readout) and task.layer.sums
        trace = steps if sums else constant_trace(task.alpha, steps)
        error = task.mean_error(weight, scaling) / scaling.factor / trace
        bias = bias - (error - (error.mean() if task.centred or sums else 0.0))
    return frozen_ints(on_grid(bias, scaling.factor, task.profile.grid))
