"""Rounding with error feedback: each weight's rounding error is made good by the weights still to be rounded.

With H = E[y y^T] (moments.py) and H^-1 = U^T U, U upper triangular, columns are rounded one after the other,
those of the largest H_jj first; the error (A_j - W_j) / U_jj times row j of U is taken off the columns that
follow. Source: GPTQ, Frantar et al. 2022, arXiv 2210.17323. Coordinate descent on the same quadratic form
(AdaRound's aim, Nagel et al. 2020, arXiv 2004.10568) lowers that form by a further 5 to 30 percent but not
the network's loss, so it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_deploy.calibration.moments import Moments, damping
from sast_deploy.compiler.quantize import Float64Array

BLOCK = 64  # columns whose feedback beyond them waits for one matrix product


@dataclass(frozen=True, eq=False)
class Feedback:
    """order: int64 (d,), the columns in the order of rounding. upper: U, float64 (d, d), in that order."""

    order: npt.NDArray[np.int64]
    upper: Float64Array


def prepare(moments: Moments) -> tuple[Feedback, ...]:
    """What rounding with feedback needs of a layer's inputs, for each group."""
    return tuple(_prepare(second) for second in moments.second)


def round_with_feedback(scaled: Float64Array, groups: tuple[Feedback, ...], limit: int) -> Float64Array:
    """Integers in +-limit, float64 (neurons, d), for real weights in units of one integer step."""
    parts = zip(np.split(scaled, len(groups)), groups, strict=True)
    return np.concatenate([_round(rows, feedback, limit) for rows, feedback in parts])


def squared_error(difference: Float64Array, moments: Moments) -> Float64Array:
    """(neurons,): the mean square that a difference of weights (neurons, d) makes of the membrane."""
    parts = zip(np.split(difference, len(moments.second)), moments.second, strict=True)
    return np.concatenate([((rows @ second) * rows).sum(axis=1) for rows, second in parts])


def _prepare(second: Float64Array) -> Feedback:
    damped = second + damping(second)
    order = np.argsort(-np.diag(damped), kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    return Feedback(order, np.linalg.cholesky((inverse + inverse.T) / 2).T)


def _round(scaled: Float64Array, feedback: Feedback, limit: int) -> Float64Array:
    left, upper = scaled[:, feedback.order], feedback.upper
    rounded = np.empty_like(left)
    for low in range(0, left.shape[1], BLOCK):
        high = min(low + BLOCK, left.shape[1])
        errors = np.empty((len(left), high - low))
        for j in range(low, high):
            rounded[:, j] = np.clip(np.rint(left[:, j]), -limit, limit)
            errors[:, j - low] = (left[:, j] - rounded[:, j]) / upper[j, j]
            left[:, j + 1 : high] -= errors[:, j - low, None] * upper[j, j + 1 : high]
        left[:, high:] -= errors @ upper[low:high, high:]
    found = np.empty_like(rounded)
    found[:, feedback.order] = rounded
    return found
