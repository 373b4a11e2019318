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
    limit, grid, per_neuron = profile.weight_max, profile.grid, shape[:1]
    parts = {"weights": (choice.weight, shape)}
    parts |= {"biases": (choice.bias, per_neuron), "thresholds": (choice.vth, per_neuron)}
    for name, (values, wanted) in parts.items():
        if values is None:
            continue
        if values.shape != wanted:
            raise CompileError(f"chosen {name} of shape {values.shape}", where=where, expected=f"{wanted}")
        if name == "weights" and (reach := np.abs(values).max()) > limit:
            raise CompileError(f"chosen weights reach {reach}", where=where, expected=f"at most {limit}")
        if name != "weights" and (values % grid).any():
            raise CompileError(f"chosen {name}", where=where, expected=f"multiples of {grid}")
