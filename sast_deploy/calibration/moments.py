"""Second moments of what a layer's weights see, of the integer network and against the float one.

An input of step t acts on the membrane potential with alpha^k k steps later, so the weights' error reaches
the membrane through the leaky trace of the inputs

    y_t = alpha * y_{t-1} + x_t,    error of the membrane = (W - A) y_t

and its mean square is the quadratic form of W - A in H = E[y y^T]. A current filter is such a trace before
it. A readout that sums over time: alpha = 1, and only the last step counts. A convolution sees patches;
positions are drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.compiler.quantize import Float64Array
from sast_deploy.program.program import Conv2d, Readout
from sast_deploy.program.sums import Weighted

ROWS = 40_000  # about as many inputs, over samples, steps and positions, enter a moment
CHUNK = 1 << 25  # numbers that are held at once
DAMPING = 0.01  # of the mean of the diagonal, added to it


@dataclass(frozen=True, eq=False)
class Moments:
    """Of each group of a convolution, of the one group of any other layer.

    second: H = E[y y^T], float64 (groups, d, d). cross: E[f y^T], f the float network's trace.
    mean: E[y], and wanted: E[f], (groups, d).
    """

    second: Float64Array
    cross: Float64Array
    mean: Float64Array
    wanted: Float64Array


def measure(
    layer: Weighted, x: npt.NDArray[Any], wanted: npt.NDArray[Any], alpha: float, kappa: float = 0.0
) -> Moments:
    """Moments of the integer network's inputs x and the float network's, both (n, T, *in_shape).

    kappa: what a step keeps of the current.
    """
    samples, steps, *shape = x.shape
    groups = layer.groups if isinstance(layer, Conv2d) else 1
    size = layer.weight[0].size
    second, cross = (np.zeros((groups, size, size)) for _ in range(2))
    means = np.zeros((2, groups, size))
    chunk = max(1, CHUNK // (steps * int(np.prod(shape))))
    rng, rows = np.random.default_rng(0), 0
    for low in range(0, samples, chunk):
        part = slice(low, low + chunk)
        places = _places(layer, x[part], samples * steps, rng)
        y = _seen(layer, x[part], alpha, kappa, places)
        f = y if wanted is x else _seen(layer, wanted[part], alpha, kappa, places)
        for group in range(groups):
            second[group] += y[group].T @ y[group]
            if f is not y:
                cross[group] += f[group].T @ y[group]
            means[:, group] += y[group].sum(axis=0, dtype=np.float64), f[group].sum(axis=0, dtype=np.float64)
        rows += y.shape[1]
    return Moments(second / rows, (second if wanted is x else cross) / rows, *(means / rows))


def compensated(weights: Float64Array, moments: Moments) -> Float64Array:
    """Weights (neurons, d) that do to the integer network's inputs what `weights` do to the float network's.

    Least squares with damping: A (E[f y^T] + d I) (H + d I)^-1.
    """
    rows = np.split(weights, len(moments.second))
    found = []
    for own, second, cross in zip(rows, moments.second, moments.cross, strict=True):
        ridge = damping(second)
        found.append(np.linalg.solve(second + ridge, (own @ (cross + ridge)).T).T)
    return np.concatenate(found)


def damping(second: Float64Array) -> Float64Array:
    """DAMPING * mean of the diagonal on a diagonal: keeps inputs that never fire from being free."""
    return np.asarray(DAMPING * max(float(np.diag(second).mean()), 1e-12) * np.eye(len(second)))


def constant_trace(alpha: float, steps: int) -> float:
    """The mean over `steps` steps of the leaky trace of the input 1: mean_t (1 - alpha^t) / (1 - alpha)."""
    trace = np.cumsum(float(alpha) ** np.arange(steps))
    return float(trace.mean())


def leaky(x: npt.NDArray[Any], alpha: float) -> npt.NDArray[np.float32]:
    """Traces y of inputs x, (n, T, ...), float32."""
    y = np.empty(x.shape, np.float32)
    state = np.zeros((len(x), *x.shape[2:]), np.float32)
    for t in range(x.shape[1]):
        state = np.float32(alpha) * state + x[:, t]
        y[:, t] = state
    return y


def _seen(
    layer: Weighted, x: npt.NDArray[Any], alpha: float, kappa: float, places: Any
) -> npt.NDArray[np.float32]:
    """float32 (groups, rows, d): the traces that the weights of each group meet."""
    if isinstance(layer, Readout) and layer.sums:
        return np.asarray(x.reshape(*x.shape[:2], -1).sum(axis=1).astype(np.float32)[None])
    traces = leaky(leaky(x, kappa) if kappa else x, alpha)
    if not isinstance(layer, Conv2d):
        return np.asarray(traces.reshape(1, -1, layer.weight.shape[1]))
    return _patches(layer, traces, places)


def _places(layer: Weighted, x: npt.NDArray[Any], total: int, rng: np.random.Generator) -> Any:
    """Rows and columns (n, positions) of output positions, for a convolution."""
    if not isinstance(layer, Conv2d):
        return None
    _, rows, columns = layer.out_shape(x.shape[2:])
    count = min(rows * columns, max(1, ROWS // total))
    return rng.integers(0, rows, (len(x), count)), rng.integers(0, columns, (len(x), count))


def _patches(layer: Conv2d, y: npt.NDArray[np.float32], places: Any) -> npt.NDArray[np.float32]:
    top, left = layer.padding
    padded = np.pad(y, ((0, 0), (0, 0), (0, 0), (top, top), (left, left)))
    rows, columns = layer.axes(y.shape[2:])
    down, across = rows.under(places[0]) + top, columns.under(places[1]) + left
    sample = np.arange(len(y))[:, None, None, None]
    # advanced indices first: (n, positions, kH, kW, T, C)
    found = padded.transpose(0, 3, 4, 1, 2)[sample, down[:, :, :, None], across[:, :, None, :]]
    n, count, height, width, steps, channels = found.shape
    per_group = found.reshape(n, count, height, width, steps, layer.groups, channels // layer.groups)
    seen = per_group.transpose(5, 0, 1, 4, 6, 2, 3)
    return np.ascontiguousarray(seen).reshape(layer.groups, n * count * steps, -1)
