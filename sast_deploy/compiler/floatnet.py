"""The trained network as NumPy arrays: what the compiler reads, free of torch.

Hidden layer l with weights A, bias b, threshold theta and leak alpha, all in floating point:

    u_t = alpha * u_{t-1} + A x_t + b - theta * s_{t-1},    s_t = (u_t >= theta)
    logits = W_out * mean_t(s_t) + b_out

With reset "zero" instead of "subtract": u_t = alpha * u_{t-1} * (1 - s_{t-1}) + A x_t + b.

The input x is the frame's count divided by `input_clip`, so it lies in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FloatDense:
    """weight (out, in), bias (out,), threshold (out,); float32."""

    weight: FloatArray
    bias: FloatArray
    threshold: FloatArray

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only."""
        _freeze(self)


@dataclass(frozen=True, eq=False)
class FloatConv2d:
    """weight (O, I/groups, kH, kW), bias (O,), threshold (O,); float32; geometry (rows, columns)."""

    weight: FloatArray
    bias: FloatArray
    threshold: FloatArray
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only."""
        _freeze(self)


@dataclass(frozen=True, eq=False)
class FloatPool:
    """Average pooling of spikes over windows `kernel` (rows, columns), stride = kernel."""

    kernel: tuple[int, int]


@dataclass(frozen=True, eq=False)
class FloatReadout:
    """weight (classes, in), bias (classes,); float32."""

    weight: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only."""
        _freeze(self)


FloatLayer = FloatDense | FloatConv2d | FloatPool | FloatReadout


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A trained network, ready to compile.

    layers: hidden layers in order, then one FloatReadout. input_shape: (C, H, W).
    alpha: leak factor per step. input_clip: the count that training scaled to 1.0. steps: T.
    reset: "subtract" or "zero", what it was trained with; a profile's own reset may differ.
    """

    layers: tuple[FloatLayer, ...]
    input_shape: tuple[int, int, int]
    alpha: float
    input_clip: int
    steps: int
    classes: tuple[str, ...]
    reset: str = "subtract"


def _freeze(layer: FloatDense | FloatConv2d | FloatReadout) -> None:
    for field in fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, np.ndarray):
            copy = np.array(value, dtype=np.float32)
            copy.flags.writeable = False
            object.__setattr__(layer, field.name, copy)
