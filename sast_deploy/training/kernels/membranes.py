"""The LIF recursion over time and its gradient, each one pass over memory; float32, any slope, all resets.

The equations are those of network/lif.py. Positions are flat, (time, position), and threshold j belongs to
positions j, j + period, j + 2 period, ...: neurons of a dense layer, channels of a map that is stored
channels-last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.training.kernels.threads import share

BLOCK = 1024  # positions whose state stays in the first cache from one step to the next
OPERATIONS = 30  # of one position and step, about

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
# arctan(z) / (pi z) = sum_i P_i z^(2 i) on [0, 1], to 3e-9: a Chebyshev fit of degree 9 in z^2 in float64.
P0, P1, P2, P3, P4, P5, P6, P7, P8, P9 = (np.float32(p) for p in (
    0.3183098854026644, -0.10610313293616522, 0.06365634519014761, -0.04539599894966747, 0.0348237348739518,
    -0.026649107223857, 0.01829121855851507, -0.009777686763972346, 0.0033997785920345004,
    -0.0005550373128747998,
))  # fmt: skip

Floats = NDArray[np.float32]
Reset = Literal["subtract", "zero"]
ResetOrder = Literal["after-leak", "before-leak"]


@dataclass(frozen=True)
class Dynamics:
    """How a membrane u goes from one step to the next, with its current I, threshold theta and spikes s.

        u_t = alpha u_{t-1} + I_t - theta s_{t-1}          reset "subtract", order "after-leak"
        u_t = alpha (u_{t-1} - theta s_{t-1}) + I_t        reset "subtract", order "before-leak"
        u_t = alpha u_{t-1} (1 - s_{t-1}) + I_t            reset "zero"

    Both orders are u_t = alpha u_{t-1} + I_t - r s_{t-1} with r = `share` theta.
    """

    alpha: float
    reset: Reset = "subtract"
    order: ResetOrder = "after-leak"

    @property
    def to_zero(self) -> bool:
        """Whether a spike leaves nothing of the membrane."""
        return self.reset == "zero"

    @property
    def share(self) -> float:
        """r / theta: 1, or alpha where the leak takes its part of the reset too."""
        return self.alpha if self.order == "before-leak" else 1.0


@inlined
def smooth_spike(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """1/2 + arctan(x) / pi to 3 units in the last place, near 0 too: nothing is cancelled. NaN stays NaN.

    arctan(x) = pi/2 - arctan(1/x) for x > 1.
    """
    size = abs(x)
    near = size < ONE
    z = (size if near else ONE) / (ONE if near else size)
    y = z * z
    tail = P9 * y + P8
    tail = tail * y + P7
    tail = tail * y + P6
    tail = tail * y + P5
    tail = tail * y + P4
    tail = tail * y + P3
    tail = tail * y + P2
    tail = tail * y + P1
    tail = (tail * y + P0) * z
    tail = HALF - tail if near else tail  # sigma(-|x|)
    return tail if x < ZERO else ONE - tail


_OPTIONS: Any = {"fastmath": {"contract"}, "error_model": "numpy"}


@compiled(**_OPTIONS)
def _forward(current, theta, numbers, hard, to_zero, membrane, spikes, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    period, (alpha, part, k) = len(theta) - BLOCK, numbers
    for start in range(low, high, BLOCK):
        at, n = start % period, min(BLOCK, high - start)
        level = theta[at : at + n]
        for t in range(current.shape[0]):
            u, s = membrane[t, start : start + n], spikes[t, start : start + n]
            i = current[t, start : start + n]
            before, fired = membrane[t - 1, start : start + n], spikes[t - 1, start : start + n]
            if t == 0:
                for j in range(n):
                    u[j] = i[j]
            elif to_zero:
                for j in range(n):
                    u[j] = alpha * (before[j] - before[j] * fired[j]) + i[j]
            else:
                for j in range(n):
                    u[j] = alpha * before[j] + (i[j] - part * level[j] * fired[j])
            if hard:
                for j in range(n):
                    s[j] = ONE if u[j] >= level[j] else ZERO
            else:
                for j in range(n):
                    s[j] = smooth_spike(k * (u[j] - level[j]))


@compiled(**_OPTIONS)
def _backward(membrane, spikes, grad, theta, numbers, to_zero, delta, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    period, last, (alpha, part, k, top) = len(theta) - BLOCK, len(membrane) - 1, numbers
    for start in range(low, high, BLOCK):
        at, n = start % period, min(BLOCK, high - start)
        level = theta[at : at + n]
        for t in range(last, -1, -1):
            u, s = membrane[t, start : start + n], spikes[t, start : start + n]
            g, d = grad[min(t, len(grad) - 1), start : start + n], delta[t, start : start + n]
            later = delta[min(t + 1, last), start : start + n]
            if t == last:
                for j in range(n):
                    x = k * (u[j] - level[j])
                    d[j] = g[j] * (top / (ONE + x * x))
            elif to_zero:
                for j in range(n):
                    x = k * (u[j] - level[j])
                    slope = top / (ONE + x * x)
                    d[j] = slope * g[j] + alpha * (ONE - s[j] - u[j] * slope) * later[j]
            else:
                for j in range(n):
                    x = k * (u[j] - level[j])
                    slope = top / (ONE + x * x)
                    d[j] = slope * (g[j] - part * level[j] * later[j]) + alpha * later[j]


def lif_forward(
    current: Floats, membrane: Floats, spikes: Floats, theta: Floats, dynamics: Dynamics, k: float | None
) -> None:
    """Fill membranes u and spikes s; all arrays (time, positions); k None: of the step H.

    theta: (period,), thresholds of the positions, see the module's text.
    """
    level, numbers = _repeated(theta), (*_factors(dynamics), np.float32(k or 1.0))
    given = current, level, numbers, k is None, dynamics.to_zero, membrane, spikes
    _share(current, lambda low, high: _forward(*given, low, high))


def lif_backward(
    membrane: Floats, spikes: Floats, grad: Floats, delta: Floats, theta: Floats, dynamics: Dynamics,
    k: float,
) -> None:  # fmt: skip
    """Fill delta = dL/dI for grad = dL/ds, (time or 1, positions); spikes count where the reset is "zero"."""
    numbers = *_factors(dynamics), np.float32(k), np.float32(k / math.pi)
    given = membrane, spikes, grad, _repeated(theta), numbers, dynamics.to_zero, delta
    _share(membrane, lambda low, high: _backward(*given, low, high))


def _factors(dynamics: Dynamics) -> tuple[np.float32, np.float32]:
    return np.float32(dynamics.alpha), np.float32(dynamics.share)


def _repeated(theta: Floats) -> Floats:
    """Thresholds of any BLOCK positions in a row, wherever in a period they begin."""
    return np.resize(theta, len(theta) + BLOCK)


def _share(each: Floats, work: Callable[[int, int], Any]) -> None:
    steps, positions = each.shape
    blocks, cost = -(-positions // BLOCK), BLOCK * OPERATIONS * steps
    share(blocks, lambda low, high: work(low * BLOCK, min(high * BLOCK, positions)), cost)
