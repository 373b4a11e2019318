"""What a readout makes of what arrives, when: a weight for every step, and one for the bias.

    m_t = alpha * m_{t-1} + c_t + b,    c_t = kappa * c_{t-1} + a_t

is linear, so that the last m and the mean m are sum_t w_t a_t + g b, the same w and g for all classes where
they have one leak and one current filter. Its largest m is not, and is refused (targets.py). Without leak and
filter the last m is the sum over time: w = 1, g = T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.compiler.floatnet import FloatReadout
from sast_deploy.compiler.quantize import Float64Array


@dataclass(frozen=True, eq=False)
class Response:
    """steps: w, float64 (T,), or None where all are 1. bias: g."""

    steps: Float64Array | None
    bias: float

    def seen(self, x: npt.NDArray[Any]) -> Float64Array:
        """What the weights meet of inputs (n, T, ...): sum_t w_t x_t, float64 (n, d)."""
        flat = x.reshape(*x.shape[:2], -1)
        if self.steps is None:
            return np.asarray(flat.sum(axis=1), np.float64)
        weighted = self.steps.astype(np.float32) @ flat.astype(np.float32)
        return np.asarray(weighted, np.float64)


SUM = Response(None, 1.0)  # of whoever does not ask for more


def response_of(layer: FloatReadout, steps: int) -> Response:
    """Of a readout whose classes have one leak and one current filter, in so many steps."""
    alpha = 1.0 if layer.leak is None else float(layer.leak[0])
    kappa = 0.0 if layer.current_leak is None else float(layer.current_leak[0])
    if alpha == 1.0 and kappa == 0.0 and layer.decoding == "last":
        return Response(None, float(steps))
    membrane = _leaky(np.power(kappa, np.arange(steps)), alpha)  # of an input 1 in the first step, then none
    constant = _leaky(np.ones(steps), alpha)
    if layer.decoding == "last":
        return Response(membrane[::-1].copy(), float(constant[-1]))
    return Response(membrane.cumsum()[::-1] / steps, float(constant.mean()))


def _leaky(values: npt.NDArray[Any], alpha: float) -> Float64Array:
    found, state = np.empty(len(values)), 0.0
    for t, value in enumerate(values):
        found[t] = state = alpha * state + value
    return found
