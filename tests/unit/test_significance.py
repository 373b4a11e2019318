"""Exact values by hand, and scipy's own tests as the second derivation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sast_deploy.reports.accuracy import mcnemar
from sast_deploy.studies.analysis.significance import paired, summary, wilcoxon


def test_summary_has_the_sample_standard_deviation() -> None:
    result = summary([0.90, 0.92, 0.94])
    assert (result.n, result.mean, result.sd) == pytest.approx((3, 0.92, 0.02))
    assert summary([0.5]).sd is None


def test_five_seeds_that_all_agree_cannot_get_below_a_sixteenth_in_wilcoxon() -> None:
    result = paired([0.95, 0.96, 0.97, 0.98, 0.99], [0.90, 0.90, 0.90, 0.90, 0.90])
    assert result.wilcoxon_p == 0.0625
    # d = 5, 6, 7, 8, 9 points: mean 7, sd sqrt(2.5), t = sqrt(5) 7 / sqrt(2.5) = 7 sqrt(2)
    angle = math.atan(7 * math.sqrt(2) / 2)  # the closed form of the two tails at 4 degrees of freedom
    assert result.t_p == pytest.approx(1 - math.sin(angle) * (1 + math.cos(angle) ** 2 / 2))
    reach = 2.776445 * math.sqrt(2.5) / math.sqrt(5)  # the t table's 97.5 % at 4 degrees of freedom
    assert result.interval == pytest.approx(((7 - reach) / 100, (7 + reach) / 100), abs=1e-7)


def test_paired_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    for n in (4, 6, 9, 12, 30):
        a, b = rng.normal(0.01, 0.02, n), rng.normal(0, 0.02, n)
        result = paired(a.tolist(), b.tolist())
        assert result.t_p == pytest.approx(stats.ttest_rel(a, b).pvalue)
        exact = {"method": "exact"} if n <= 16 else {"method": "approx", "correction": True}
        assert result.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b, **exact).pvalue)


def test_wilcoxon_counts_by_enumeration() -> None:
    """All patterns of signs whose rank sum lies at least as far from its mean, ties or none."""
    rng = np.random.default_rng(4)
    for n in range(1, 10):
        for d in (rng.normal(0.5, 1, n), rng.choice([-3.0, -1.0, 1.0, 2.0, 3.0], n)):
            ranks, middle = stats.rankdata(np.abs(d)), n * (n + 1) / 4
            sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=n)]
            found = abs(ranks[d > 0].sum() - middle)
            assert wilcoxon(d) == np.mean([abs(each - middle) >= found for each in sums])


def test_ties_share_ranks_and_zeros_count_for_nothing() -> None:
    # |d| = 1, 1, 2: ranks 1.5, 1.5, 3. W+ of (+, +, -) is 3 = the mean: every pattern is at least as far.
    assert wilcoxon(np.array([1.0, 1.0, -2.0])) == 1.0
    # (+, -, -): W+ = 1.5, 1.5 from the mean. As far: 1.5 (2), 4.5 (2), 0, 6 -> 6 of 8 patterns.
    assert wilcoxon(np.array([1.0, -1.0, -2.0])) == 6 / 8
    result = paired([0.5, 0.6, 0.7, 0.8], [0.5, 0.5, 0.6, 0.7])
    assert result.wilcoxon_p == 0.25


def test_no_difference_and_a_constant_one() -> None:
    same = paired([0.5, 0.6], [0.5, 0.6])
    assert (same.t_p, same.wilcoxon_p, same.interval) == (None, 1.0, None)
    constant = paired([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    assert (constant.t_p, constant.wilcoxon_p, constant.interval) == (None, 0.25, None)
    one_zero = paired([0.5, 0.6, 0.7, 0.8, 0.9], [0.5, 0.5, 0.5, 0.5, 0.5])
    assert one_zero.wilcoxon_p == 0.125


def test_mcnemar_is_the_binomial_tail() -> None:
    a = np.array([1] * 6 + [1] * 9 + [0] * 1 + [0] * 4, bool)
    b = np.array([1] * 6 + [0] * 9 + [1] * 1 + [0] * 4, bool)
    result = mcnemar(a, b)
    assert (result.samples, result.only_a, result.only_b) == (20, 9, 1)
    assert result.p == pytest.approx(2 * (1 + 10) / 2**10)  # at most 1 of 10, either side
    assert result.difference == pytest.approx(0.4)
    assert mcnemar(b, a).p == result.p
    assert mcnemar(a, a).p == 1.0


def test_mcnemar_counts_by_enumeration() -> None:
    n, k = 7, 2
    share = sum(min(sum(p), n - sum(p)) <= k for p in itertools.product((0, 1), repeat=n)) / 2**n
    assert mcnemar([True] * 2 + [False] * 5, [False] * 2 + [True] * 5).p == pytest.approx(share)
