"""Exact integer products by floating-point BLAS, and the bound that makes them exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.geometry import taps
from sast_deploy.program.program import Conv2d, Dense, Int32Array, Program, Readout
from sast_deploy.program.sums import (
    FLOAT32_EXACT,
    FLOAT64_EXACT,
    input_maxima,
    readout_reach,
    weighted_bound,
    weighted_layers,
)

# Shifted sums and logits are kept in int64 with room for bias and threshold.
INT64_ROOM = 1 << 61

FloatType = type[np.float32] | type[np.float64]


def exact_type(weight: Int32Array, x_max: int) -> FloatType:
    """The narrowest float type in which this layer's weighted sums are exact."""
    return np.float32 if weighted_bound(weight, x_max) < FLOAT32_EXACT else np.float64


def products(program: Program) -> int:
    """Multiplications that one step of one sample takes."""
    shapes = program.shapes()
    sizes = (math.prod(shapes[index + 1]) * layer.weight[0].size for index, layer in weighted_layers(program))
    return sum(sizes)


def unfit_layer(program: Program, steps: int) -> str | None:
    """Why a program is too wide for `steps` steps on the Lava processes, or None where it is not."""
    maxima = input_maxima(program)
    for index, layer in weighted_layers(program):
        bound = weighted_bound(layer.weight, maxima[index])
        if isinstance(layer, Dense) and layer.recurrent is not None:
            bound += weighted_bound(layer.recurrent, 1)
        shifted = bound << max(layer.weight_exp, 0)
        if bound >= FLOAT64_EXACT or shifted * steps >= INT64_ROOM:
            return f"layer {index}: weighted sums reach {bound} * 2**{layer.weight_exp}"
        if isinstance(layer, Readout):
            reach = readout_reach(layer, shifted + 1, steps)
            if reach >= INT64_ROOM:
                return f"layer {index}: intermediate results reach {reach} in {steps} steps"
    return None


def convolve(inputs: npt.NDArray[Any], weight: npt.NDArray[Any], layer: Conv2d) -> npt.NDArray[Any]:
    """torch's conv2d, no bias: (batch, C, H, W) with weight (O, C/groups, kH, kW) -> (batch, O, H', W').

    One product over channels and taps at once: for single steps it is faster than `sums.real_sums`, which
    makes one for every tap and so needs less memory for whole recordings.
    """
    in_shape, kernel = inputs.shape[1:], weight.shape[2:]
    _, *size = layer.out_shape(in_shape)
    seen = np.zeros((*inputs.shape[:2], *kernel, *size), inputs.dtype)  # what lies under the kernel
    for dy, dx, met, outputs in taps(*layer.axes(in_shape)):
        seen[:, :, dy, dx][outputs] = inputs[met]
    patches = seen.reshape(len(inputs), layer.groups, weight[0].size, -1)
    sums: npt.NDArray[Any] = weight.reshape(layer.groups, -1, weight[0].size) @ patches
    return sums.reshape(len(inputs), -1, *size)
