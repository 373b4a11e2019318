"""The LIF recursion over time and its gradient, one pass over memory each; float32, any surrogate and reset.

The equations are those of network/lif.py. Positions are flat, (time, position), and threshold and leak j
belong to positions j, j + period, j + 2 period, ...: neurons of a dense layer, channels of a map that is
stored channels-last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.training.kernels.threads import share

BLOCK = 1024  # positions whose state stays in the first cache from one step to the next
OPERATIONS = 30  # of one position and step, about

ZERO, HALF, ONE, FOUR = (np.float32(each) for each in (0.0, 0.5, 1.0, 4.0))
# arctan(z) / (pi z) = sum_i P_i z^(2 i) on [0, 1], to 3e-9: a Chebyshev fit of degree 9 in z^2 in float64.
P0, P1, P2, P3, P4, P5, P6, P7, P8, P9 = (np.float32(p) for p in (
    0.3183098854026644, -0.10610313293616522, 0.06365634519014761, -0.04539599894966747, 0.0348237348739518,
    -0.026649107223857, 0.01829121855851507, -0.009777686763972346, 0.0033997785920345004,
    -0.0005550373128747998,
))  # fmt: skip

# Of exp(r): Taylor's coefficients 1/6 to 1/5040, as far as float32 asks for on [-ln(2) / 2, ln(2) / 2].
E1, E2, E3, E4, E5 = (np.float32(1 / math.factorial(n)) for n in range(3, 8))
PER_LN2 = np.float32(1 / math.log(2))
LN2_HIGH = np.float32(355 / 512)  # of few bits, so that n times it is exact
LN2_LOW = np.float32(math.log(2) - 355 / 512)
MOST = np.float32(85.0)  # whose exponential is below 1e-36; float32's smallest is 1.2e-38
BIAS, BIAS_AT = np.int32(127), np.int32(23)  # of a float32's exponent

Floats = NDArray[np.float32]
Reset = Literal["subtract", "zero"]
ResetOrder = Literal["after-leak", "before-leak"]
SurrogateName = Literal["arctan", "fast-sigmoid", "sigmoid", "spike-rate-escape", "triangular"]
ARCTAN, FAST_SIGMOID, SIGMOID, ESCAPE, TRIANGULAR = range(5)  # as the names stand
HARD = -1  # the step H in a surrogate's place
CODES = {name: code for code, name in enumerate(get_args(SurrogateName))}


@dataclass(frozen=True)
class Dynamics:
    """How a membrane u goes from one step to the next, with its current I, threshold theta and spikes s.

        u_t = alpha u_{t-1} + I_t - theta s_{t-1}          reset "subtract", order "after-leak"
        u_t = alpha (u_{t-1} - theta s_{t-1}) + I_t        reset "subtract", order "before-leak"
        u_t = alpha u_{t-1} (1 - s_{t-1}) + I_t            reset "zero"

    Both orders are u_t = alpha u_{t-1} + I_t - r s_{t-1} with r = `share` theta.

    alpha: one number, or a tensor of them that broadcasts as the thresholds do. surrogate: what s_t is of
    u_t - theta, see network/surrogates.py.
    """

    alpha: Any
    reset: Reset = "subtract"
    order: ResetOrder = "after-leak"
    surrogate: SurrogateName = "arctan"

    @property
    def to_zero(self) -> bool:
        """Whether a spike leaves nothing of the membrane."""
        return self.reset == "zero"

    @property
    def share(self) -> Any:
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


@inlined
def arctan_slope(x, top):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Of `smooth_spike`, whose largest is `top`."""
    return top / (ONE + x * x)


@inlined
def decaying(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """exp(-|x|) to 2 units in the last place, 0 from |x| = 85 on; unlike the libraries', in vectors.

    exp(-|x|) = 2^-n exp(r) with n the whole number next to |x| / ln 2, so that |r| <= ln(2) / 2.
    """
    size = abs(x)
    size = MOST if size > MOST else size  # NaN stays NaN
    n = np.floor(size * PER_LN2 + HALF)
    r = n * LN2_HIGH - size + n * LN2_LOW
    y = E5 * r + E4
    y = y * r + E3
    y = y * r + E2
    y = y * r + E1
    y = y * r + HALF
    y = y * r * r + r + ONE
    y = y * np.int32((BIAS - np.int32(n)) << BIAS_AT).view(np.float32)
    return ZERO if size == MOST else y


@inlined
def fast_sigmoid_spike(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """1/2 + x / (2 (1 + |x|)), by its tail 1 / (2 (1 + |x|)), of which nothing is cancelled."""
    tail = HALF / (ONE + abs(x))
    return tail if x < ZERO else ONE - tail


@inlined
def sigmoid_spike(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """1 / (1 + exp(-x)), without an exponential that overflows."""
    tail = decaying(x)
    tail = tail / (ONE + tail)
    return tail if x < ZERO else ONE - tail


@inlined
def escape_spike(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """exp(x) / 2 below 0, 1 - exp(-x) / 2 above it."""
    tail = HALF * decaying(x)
    return tail if x < ZERO else ONE - tail


@inlined
def triangular_spike(x):  # type: ignore[no-untyped-def]  # pragma: no cover
    """0 up to -1, (1 + x)^2 / 2 up to 0, 1 - (1 - x)^2 / 2 up to 1, then 1."""
    rest = ONE - abs(x)
    rest = ZERO if rest < ZERO else rest  # NaN stays NaN
    tail = HALF * rest * rest
    return tail if x < ZERO else ONE - tail


_OPTIONS: Any = {"fastmath": {"contract"}, "error_model": "numpy"}


@inlined
def _spikes(kind, k, u, level, s):  # type: ignore[no-untyped-def]  # pragma: no cover
    """s = sigma(k (u - theta)), or H(u - theta): one loop for each, as no loop may ask which."""
    if kind == HARD:
        for j in range(len(s)):
            s[j] = ONE if u[j] >= level[j] else ZERO
    elif kind == ARCTAN:
        for j in range(len(s)):
            s[j] = smooth_spike(k * (u[j] - level[j]))
    elif kind == FAST_SIGMOID:
        for j in range(len(s)):
            s[j] = fast_sigmoid_spike(k * (u[j] - level[j]))
    elif kind == SIGMOID:
        for j in range(len(s)):
            s[j] = sigmoid_spike(k * (u[j] - level[j]))
    elif kind == ESCAPE:
        for j in range(len(s)):
            s[j] = escape_spike(k * (u[j] - level[j]))
    else:
        for j in range(len(s)):
            s[j] = triangular_spike(k * (u[j] - level[j]))


@inlined
def _slopes(kind, k, top, u, level, d):  # type: ignore[no-untyped-def]  # pragma: no cover
    """d = sigma', whose largest value is `top`, of all but the arctan."""
    if kind == FAST_SIGMOID:
        for j in range(len(d)):
            x = ONE + abs(k * (u[j] - level[j]))
            d[j] = top / (x * x)
    elif kind == SIGMOID:
        for j in range(len(d)):
            tail = decaying(k * (u[j] - level[j]))
            d[j] = FOUR * top * tail / ((ONE + tail) * (ONE + tail))
    elif kind == ESCAPE:
        for j in range(len(d)):
            d[j] = top * decaying(k * (u[j] - level[j]))
    else:
        for j in range(len(d)):
            rest = ONE - abs(k * (u[j] - level[j]))
            d[j] = top * (ZERO if rest < ZERO else rest)


@compiled(**_OPTIONS)
def _forward(current, levels, k, kind, to_zero, membrane, spikes, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    theta, taken, leak = levels
    period = len(theta) - BLOCK
    for start in range(low, high, BLOCK):
        at, n = start % period, min(BLOCK, high - start)
        level, lost, alpha = theta[at : at + n], taken[at : at + n], leak[at : at + n]
        for t in range(current.shape[0]):
            u, s = membrane[t, start : start + n], spikes[t, start : start + n]
            i = current[t, start : start + n]
            before, fired = membrane[t - 1, start : start + n], spikes[t - 1, start : start + n]
            if t == 0:
                for j in range(n):
                    u[j] = i[j]
            elif to_zero:
                for j in range(n):
                    u[j] = alpha[j] * (before[j] - before[j] * fired[j]) + i[j]
            else:
                for j in range(n):
                    u[j] = alpha[j] * before[j] + (i[j] - lost[j] * fired[j])
            _spikes(kind, k, u, level, s)


@compiled(**_OPTIONS)
def _backward(membrane, spikes, grad, levels, numbers, to_zero, delta, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    (theta, taken, leak), (k, top, kind) = levels, numbers
    period, last = len(theta) - BLOCK, len(membrane) - 1
    for start in range(low, high, BLOCK):
        at, n = start % period, min(BLOCK, high - start)
        level, lost, alpha = theta[at : at + n], taken[at : at + n], leak[at : at + n]
        for t in range(last, -1, -1):
            u, s = membrane[t, start : start + n], spikes[t, start : start + n]
            g, d = grad[min(t, len(grad) - 1), start : start + n], delta[t, start : start + n]
            later = delta[min(t + 1, last), start : start + n]
            if kind == ARCTAN:  # in the same pass: a seventh of the time
                if t == last:
                    for j in range(n):
                        d[j] = g[j] * arctan_slope(k * (u[j] - level[j]), top)
                elif to_zero:
                    for j in range(n):
                        slope = arctan_slope(k * (u[j] - level[j]), top)
                        d[j] = slope * g[j] + alpha[j] * (ONE - s[j] - u[j] * slope) * later[j]
                else:
                    for j in range(n):
                        slope = arctan_slope(k * (u[j] - level[j]), top)
                        d[j] = slope * (g[j] - lost[j] * later[j]) + alpha[j] * later[j]
                continue
            _slopes(kind, k, top, u, level, d)
            if t == last:
                for j in range(n):
                    d[j] = g[j] * d[j]
            elif to_zero:
                for j in range(n):
                    d[j] = d[j] * g[j] + alpha[j] * (ONE - s[j] - u[j] * d[j]) * later[j]
            else:
                for j in range(n):
                    d[j] = d[j] * (g[j] - lost[j] * later[j]) + alpha[j] * later[j]


def lif_forward(
    current: Floats, membrane: Floats, spikes: Floats, theta: Floats, alpha: Floats, dynamics: Dynamics,
    k: float | None,
) -> None:  # fmt: skip
    """Fill membranes u and spikes s; all arrays (time, positions); k None: of the step H.

    theta, alpha: (period,), thresholds and leaks of the positions, see the module's text.
    """
    levels, kind = _levels(theta, alpha, dynamics), HARD if k is None else CODES[dynamics.surrogate]
    given = current, levels, np.float32(k or 1.0), kind, dynamics.to_zero, membrane, spikes
    _share(current, lambda low, high: _forward(*given, low, high))


def lif_backward(
    membrane: Floats, spikes: Floats, grad: Floats, delta: Floats, theta: Floats, alpha: Floats,
    dynamics: Dynamics, k: float, top: float,
) -> None:  # fmt: skip
    """Fill delta = dL/dI for grad = dL/ds, (time or 1, positions); spikes count where the reset is "zero".

    top: the surrogate's largest slope.
    """
    numbers = np.float32(k), np.float32(top), CODES[dynamics.surrogate]
    given = membrane, spikes, grad, _levels(theta, alpha, dynamics), numbers, dynamics.to_zero, delta
    _share(membrane, lambda low, high: _backward(*given, low, high))


def _levels(theta: Floats, alpha: Floats, dynamics: Dynamics) -> tuple[Floats, Floats, Floats]:
    """Thresholds, what a spike takes, and leaks of any BLOCK positions in a row, wherever in a period."""
    theta, alpha = (np.resize(each, len(each) + BLOCK) for each in (theta, alpha))
    return theta, theta * alpha if dynamics.order == "before-leak" else theta, alpha


def _share(each: Floats, work: Callable[[int, int], Any]) -> None:
    steps, positions = each.shape
    blocks, cost = -(-positions // BLOCK), BLOCK * OPERATIONS * steps
    share(blocks, lambda low, high: work(low * BLOCK, min(high * BLOCK, positions)), cost)
