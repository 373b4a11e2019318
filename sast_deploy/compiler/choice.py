"""Explicit integers for one layer, in place of the compiler's own choice; what calibration hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.compiler.quantize import Float64Array, Scaling, on_grid, quantize
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import Int32Array, Shape


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """What is chosen for one weighted layer.

    scaling: its exponent and factors. weight (the layer's shape), bias, vth (neurons,): int32; None: what
    `scaling` makes of the trained values, to the nearest, as it always does of recurrent weights. A readout
    has no vth. centred: whether a readout's weights stand for the trained ones less their mean over the
    classes, which changes no prediction.
    """

    scaling: Scaling
    weight: Int32Array | None = None
    bias: Int32Array | None = None
    vth: Int32Array | None = None
    centred: bool = False

    def weights(self, real: Float64Array, profile: Profile) -> Int32Array:
        """The chosen weights, else those of `real` (weights per unit of the integer inputs)."""
        if self.weight is not None:
            return self.weight
        return quantize(real, self.scaling.factor, self.scaling.exponent, profile.weight_max)

    def lsbs(self, values: npt.NDArray[Any], chosen: Int32Array | None, profile: Profile) -> Float64Array:
        """`chosen`, else trained biases or thresholds in membrane LSBs on the profile's grid; float64."""
        if chosen is not None:
            return chosen.astype(np.float64)
        return on_grid(values, self.scaling.factor, profile.grid)


def check_choice(choice: LayerChoice, shape: Shape, profile: Profile, where: str) -> None:
    """Refuse integers that the profile does not allow.

    Raises:
        CompileError: an exponent, a weight, a bias or a threshold out of range, off the grid or of a wrong
            shape.
    """
    exponent, low, high = choice.scaling.exponent, profile.exponent_min, profile.exponent_max
    if not low <= exponent <= high:
        raise CompileError(f"chosen exponent {exponent}", where=where, expected=f"{low}..{high}")
    if choice.weight is not None:
        _need_shape(choice.weight, shape, where, "weights")
        limit = profile.weight_max
        if np.abs(choice.weight).max() > limit:
            raise CompileError(
                f"chosen weights reach {np.abs(choice.weight).max()}",
                where=where,
                expected=f"at most {limit}",
            )
    for name, values in (("biases", choice.bias), ("thresholds", choice.vth)):
        if values is None:
            continue
        _need_shape(values, shape[:1], where, name)
        if (values % profile.grid).any():
            raise CompileError(f"chosen {name}", where=where, expected=f"multiples of {profile.grid}")


def _need_shape(values: Int32Array, shape: Shape, where: str, what: str) -> None:
    if values.shape != shape:
        raise CompileError(f"chosen {what} of shape {values.shape}", where=where, expected=f"{shape}")
