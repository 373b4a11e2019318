"""What the choice of one weighted layer's integers starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.calibration.moments import Moments
from sast_deploy.calibration.rounding import Feedback, round_with_feedback
from sast_deploy.compiler.quantize import Float64Array, Scaling, quantize
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import Int32Array, frozen_ints
from sast_deploy.program.sums import Weighted


@dataclass(frozen=True)
class Options:
    """Which steps a pass through the network takes; without any, the choices are the compiler's own.

    clipping: clipping points of least squared weight error. search: clipping points and exponents on the
    layer's inputs. rounding: with error feedback, after making good what the layers below get wrong.
    correction: of biases and thresholds.
    """

    clipping: bool = False
    search: bool = False
    rounding: bool = False
    correction: bool = False

    @property
    def measures(self) -> bool:
        """Whether any step looks at the layers' inputs."""
        return self.search or self.rounding or self.correction


@dataclass(frozen=True, eq=False)
class Seen:
    """What a layer's inputs tell; without what no step of the pass needs.

    points: clipping points (neurons,) that the search found.
    """

    moments: Moments | None = None
    feedback: tuple[Feedback, ...] = ()
    points: Float64Array | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One weighted layer in one pass.

    layer: of any program of the network, for its geometry. real: trained weights per unit of the integer
    inputs, (neurons, d). aim: what the integers should be, in the same unit. bias: trained, (neurons,).
    x: the integer network's inputs (n, T, *in_shape), up to input_max. alpha: the layer's leak. centred: as
    in `LayerChoice`.
    """

    layer: Weighted
    real: Float64Array
    aim: Float64Array
    bias: Float64Array
    x: npt.NDArray[Any]
    input_max: int
    seen: Seen
    profile: Profile
    options: Options
    alpha: float
    centred: bool = False

    def rounded(self, scaling: Scaling) -> Int32Array:
        """The layer's integer weights, in its shape."""
        limit, shape = self.profile.weight_max, self.layer.weight.shape
        nearest = quantize(self.aim, scaling.factor, scaling.exponent, limit)
        if not self.options.rounding:
            return frozen_ints(nearest.reshape(shape))
        scaled = self.aim * (scaling.factor / 2.0**scaling.exponent)[:, None]
        found = round_with_feedback(scaled, self.seen.feedback, limit)
        too_wide = self._beyond_accumulator(found, scaling.exponent)
        return frozen_ints(np.where(too_wide[:, None], nearest, found).reshape(shape))

    def mean_error(self, weight: Int32Array, scaling: Scaling) -> Float64Array:
        """(neurons,): by how many LSBs the leaky trace of the weighted sums is too large, mean over steps.

        Against the float network's own inputs; of a readout, by how much its logits are.
        """
        if (moments := self.seen.moments) is None:
            return np.zeros(len(self.real))
        groups = len(moments.mean)
        rows = (weight.reshape(len(weight), -1) * 2.0**scaling.exponent, self.real * scaling.factor[:, None])
        means = (moments.mean, moments.wanted)
        sums = [
            np.concatenate([part @ mean for part, mean in zip(np.split(row, groups), of, strict=True)])
            for row, of in zip(rows, means, strict=True)
        ]
        return np.asarray(sums[0] - sums[1])

    def _beyond_accumulator(self, weight: Float64Array, exponent: int) -> npt.NDArray[np.bool_]:
        limit = ((1 << (self.profile.accumulator_bits - 1)) - 1) / 2.0 ** max(exponent, 0)
        ends = np.maximum(weight, 0).sum(axis=1), -np.minimum(weight, 0).sum(axis=1)
        return np.asarray(np.maximum(*ends) * self.input_max > limit)
