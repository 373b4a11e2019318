"""What goes from layer to layer of a circuit: which inputs are events, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.program import Readout, SumPool
from sast_deploy.program.sums import resampled
from sast_deploy.rtl.plan import Plan

Events = npt.NDArray[np.bool_]


def events(plan: Plan, frames: npt.NDArray[Any], spikes: Sequence[npt.NDArray[Any]]) -> list[Events]:
    """bool (samples, time, inputs) of every layer of the circuit, C, H, W order: which values are not 0.

    frames: (samples, time, C, H, W). spikes: of every spiking layer, (samples, time, neurons).
    """
    program, shapes = plan.program, plan.program.shapes()
    samples, steps = frames.shape[:2]
    found, trains, train = [frames != 0], iter(spikes), frames
    for index, layer in enumerate(program.layers):
        if isinstance(layer, SumPool):
            train = resampled(layer, train.astype(np.int64), program.arithmetic.shift_rounding)
            if layer.exponent != 0:
                found.append(train != 0)
        elif not isinstance(layer, Readout):
            train = next(trains).reshape(samples, steps, *shapes[index + 1])
            found.append(train != 0)
    return [each.reshape(samples, steps, -1) for each in found[: len(plan.units)]]
