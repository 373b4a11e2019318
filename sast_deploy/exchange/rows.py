"""Weights in the order of events: for every input, one row with its weights to the outputs."""

from __future__ import annotations

import numpy as np

from sast_deploy.program.program import Conv2d, Int32Array
from sast_deploy.program.sums import Weighted


def weight_rows(layer: Weighted) -> Int32Array:
    """int32 (rows, outputs): what one event adds, row by row.

    Dense and readout: row j, the weights of input j to all outputs. Convolution: row (c * kH + dy) * kW + dx,
    those of input channel c at the tap (dy, dx) to the O / groups output channels of the channel's group.
    """
    if not isinstance(layer, Conv2d):
        return np.asarray(layer.weight.T)
    grouped = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:])  # group, output, input, dy, dx
    return np.asarray(np.moveaxis(grouped, 1, -1).reshape(-1, grouped.shape[1]))


def reduced(values: Int32Array) -> Int32Array:
    """One value where all are equal, else the values."""
    return values[:1] if (values == values[0]).all() else values
