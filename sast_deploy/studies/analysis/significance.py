"""Mean and spread over seeds, and tests that ask whether a difference could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_UP_TO = 16  # differences: 2^16 sign patterns are enumerated, beyond that scipy approximates
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (divisor n - 1) of n values; `sd` is None for a single one."""

    n: int
    mean: float
    sd: float | None


def summary(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of `values`, of which there is one at least."""
    array = np.asarray(values, np.float64)
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return Summary(len(array), float(array.mean()), sd)


@dataclass(frozen=True)
class Paired:
    """Two methods over the same seeds: the differences d = a - b and two tests of "no difference".

    Attributes:
        mean: of d.
        interval: 95 % confidence interval of the mean, by Student's t with n - 1 degrees of freedom.
        t_p: two-sided p value of the paired t test. Interval and t_p are None where all differences are
            equal: a spread of 0 over a few seeds is no certainty.
        wilcoxon_p: two-sided p value of the Wilcoxon signed-rank test, which asks nothing of d but symmetry
            and cannot fall below 2^(1-m) for m nonzero differences: never below 0.05 with fewer than 6.
    """

    mean: float
    interval: tuple[float, float] | None
    t_p: float | None
    wilcoxon_p: float


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compare `a` with `b`, value by value (one per seed, in the same order, two at least)."""
    # Accuracies are counts divided by a count: the same difference must not come out as two.
    d = np.round(np.subtract(a, b), 12)
    mean, rank = float(d.mean()), wilcoxon(d[d != 0])
    if np.ptp(d) == 0 or d.std(ddof=1) == 0:
        return Paired(mean, None, None, rank)
    student = stats.ttest_1samp(d, 0.0)
    low, high = map(float, student.confidence_interval(LEVEL))
    return Paired(mean, (low, high), float(student.pvalue), rank)


def wilcoxon(differences: NDArray[np.float64]) -> float:
    """Two-sided p value of the signed-rank test of nonzero differences; tied ones share their mean rank.

    Exact for up to 16: the share of all 2^m sign patterns whose rank sum W+ lies at least as far from its
    mean as the one found. Beyond that scipy's normal approximation.
    """
    if len(differences) < 2:
        return 1.0
    if len(differences) > EXACT_UP_TO:
        return float(stats.wilcoxon(differences, method="approx", correction=True).pvalue)
    # Of the ranks with their signs: scipy's own "exact" Wilcoxon is wrong for ties, and its permutations rank
    # every pattern anew, which takes minutes.
    signed = stats.rankdata(np.abs(differences)) * np.sign(differences)
    how: dict[str, Any] = {"permutation_type": "samples", "n_resamples": np.inf, "vectorized": True}
    return float(stats.permutation_test((signed,), np.sum, **how).pvalue)
