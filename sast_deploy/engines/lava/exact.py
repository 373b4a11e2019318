"""Exact integer products by floating-point BLAS, and the bound that makes them exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.program import Conv2d, Dense, Int32Array, Program, SumPool
from sast_deploy.program.sums import FLOAT32_EXACT, FLOAT64_EXACT, input_maxima, weighted_bound

# Shifted sums and logits are kept in int64 with room for bias and threshold.
INT64_ROOM = 1 << 61

FloatType = type[np.float32] | type[np.float64]


def exact_type(weight: Int32Array, x_max: int) -> FloatType:
    """The narrowest float type in which this layer's weighted sums are exact."""
    return np.float32 if weighted_bound(weight, x_max) < FLOAT32_EXACT else np.float64


def unfit_layer(program: Program, steps: int) -> str | None:
    """Why a program is too wide for `steps` steps on the Lava processes, or None where it is not."""
    for index, (layer, x_max) in enumerate(zip(program.layers, input_maxima(program), strict=True)):
        if isinstance(layer, SumPool):
            continue
        bound = weighted_bound(layer.weight, x_max)
        if isinstance(layer, Dense) and layer.recurrent is not None:
            bound += weighted_bound(layer.recurrent, 1)
        if bound >= FLOAT64_EXACT or (bound << max(layer.weight_exp, 0)) * steps >= INT64_ROOM:
            return f"layer {index}: weighted sums reach {bound} * 2**{layer.weight_exp}"
    return None


def convolve(inputs: npt.NDArray[Any], weight: npt.NDArray[Any], layer: Conv2d) -> npt.NDArray[Any]:
    """torch's conv2d, no bias: (batch, C, H, W) with weight (O, C/groups, kH, kW) -> (batch, O, H', W')."""
    patches = _patches(inputs, layer)
    batch, groups, depth, rows, columns = patches.shape
    kernels = weight.reshape(groups, -1, depth)
    sums: npt.NDArray[Any] = kernels @ patches.reshape(batch, groups, depth, -1)
    return sums.reshape(batch, -1, rows, columns)


def _patches(inputs: npt.NDArray[Any], layer: Conv2d) -> npt.NDArray[Any]:
    """(batch, groups, C/groups * kH * kW, H', W'): for each output position the inputs under the kernel."""
    batch, channels, height, width = inputs.shape
    (top, left), (kernel_h, kernel_w) = layer.padding, layer.weight.shape[2:]
    padded = np.zeros((batch, channels, height + 2 * top, width + 2 * left), inputs.dtype)
    padded[:, :, top : top + height, left : left + width] = inputs
    _, rows, columns = layer.out_shape((channels, height, width))
    n, c, y, x = padded.strides
    view = np.lib.stride_tricks.as_strided(
        padded,
        (batch, channels, kernel_h, kernel_w, rows, columns),
        (n, c, y * layer.dilation[0], x * layer.dilation[1], y * layer.stride[0], x * layer.stride[1]),
        writeable=False,
    )
    return view.reshape(batch, layer.groups, -1, rows, columns)


def sum_pool(inputs: npt.NDArray[Any], layer: SumPool) -> npt.NDArray[np.int64]:
    """Sums over windows: (batch, C, H, W) -> int64 (batch, C, H // kH, W // kW)."""
    batch, channels, height, width = inputs.shape
    kernel_h, kernel_w = layer.kernel
    rows, columns = height // kernel_h, width // kernel_w
    whole = inputs[:, :, : rows * kernel_h, : columns * kernel_w]
    windows = whole.reshape(batch, channels, rows, kernel_h, columns, kernel_w)
    return np.asarray(windows.sum(axis=(3, 5), dtype=np.int64))
