"""Mean and spread over seeds, and tests that ask whether a difference could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sast_deploy.base.errors import UsageError

EXACT_UP_TO = 16  # differences: 2^16 sign patterns are enumerated, beyond that scipy approximates
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (divisor n - 1) of n values; `sd` is None for a single one."""

    n: int
    mean: float
    sd: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def percent(self, digits: int = 2) -> str:
        """As in `97.31 ± 0.12 (n = 5)`, in per cent."""
        spread = "" if self.sd is None else f" ± {100 * self.sd:.{digits}f}"
        return f"{100 * self.mean:.{digits}f}{spread} (n = {self.n})"


def summary(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of `values`. Raises UsageError: none, or not finite."""
    array = _finite(values)
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return Summary(len(array), float(array.mean()), sd)


@dataclass(frozen=True)
class Paired:
    """Two methods over the same n seeds: the differences d = a - b and two tests of "no difference".

    Attributes:
        n: pairs.
        mean, sd: of d; sd with divisor n - 1.
        interval: 95 % confidence interval of the mean, by Student's t with n - 1 degrees of freedom.
        t, t_p: paired t statistic sqrt(n) mean / sd and its two-sided p value. Interval, t and t_p are None
            where all differences are equal: a spread of 0 over a few seeds is no certainty.
        wilcoxon_p: two-sided p value of the Wilcoxon signed-rank test; it asks nothing of d but symmetry.
        wilcoxon_least: the smallest p value that this test can give at all with so many nonzero
            differences: 2^(1-m), for m = 5 seeds 0.0625. It cannot fall below 0.05 with fewer than 6.
    """

    n: int
    mean: float
    sd: float
    interval: tuple[float, float] | None
    t: float | None
    t_p: float | None
    wilcoxon_p: float
    wilcoxon_least: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"interval": list(self.interval) if self.interval else None}

    def __str__(self) -> str:
        """In points of per cent: the mean difference, its interval and both p values."""
        student = "all differences equal: no t test"
        if self.interval is not None and self.t_p is not None:
            low, high = (100 * end for end in self.interval)
            student = f"95 % interval {low:+.2f} to {high:+.2f}; paired t test p = {self.t_p:.3g}"
        least = f", here never below {self.wilcoxon_least:g}" if self.wilcoxon_least >= 1 - LEVEL else ""
        return f"{100 * self.mean:+.2f} points ({student}; Wilcoxon p = {self.wilcoxon_p:.3g}{least})"


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compare `a` with `b`, value by value (one per seed, in the same order).

    Raises UsageError: different lengths, fewer than two pairs, values that are not finite.
    """
    first, second = _finite(a), _finite(b)
    if len(first) != len(second) or len(first) < 2:
        raise UsageError(
            f"{len(first)} values against {len(second)}", where="paired test", expected="two pairs or more"
        )
    # Accuracies are counts divided by a count: the same difference must not come out as two.
    d = np.round(first - second, 12)
    n, mean = len(d), float(d.mean())
    sd = float(d.std(ddof=1)) if np.ptp(d) > 0 else 0.0
    nonzero = d[d != 0]
    ranks = wilcoxon(nonzero), min(1.0, 2.0 ** (1 - len(nonzero)))
    if sd == 0:
        return Paired(n, mean, sd, None, None, None, *ranks)
    student = stats.ttest_1samp(d, 0.0)
    low, high = map(float, student.confidence_interval(LEVEL))
    return Paired(n, mean, sd, (low, high), float(student.statistic), float(student.pvalue), *ranks)


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


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same samples.

    Attributes:
        samples: how many.
        only_a, only_b: samples that a alone, and b alone, classifies correctly.
        p: two-sided exact p value: given only_a + only_b samples on which they differ, how surprising this
            split would be if either were as likely (binomial, 1/2). McNemar, Psychometrika 12, 1947.
    """

    samples: int
    only_a: int
    only_b: int
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of a - accuracy of b."""
        return (self.only_a - self.only_b) / self.samples

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"difference": self.difference}


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Compare which samples two networks classify correctly, both (n,) bool over the same samples.

    Raises UsageError: different lengths or no samples.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise UsageError(f"{a.shape} against {b.shape} samples", where="McNemar test", expected="the same")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(len(a), only_a, only_b, p)


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise UsageError(f"values {values}", where="statistics", expected="at least one finite number")
    return array
