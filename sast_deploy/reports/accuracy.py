"""Shares of correct predictions, never without their uncertainty; and two of them on the same samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sast_deploy.base.text import percent

Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Accuracy:
    """correct of samples (> 0), with the Wilson score interval at 95 % (Wilson, JASA 22, 1927)."""

    correct: int
    samples: int

    @property
    def value(self) -> float:
        """Share of correct predictions, 0..1."""
        return self.correct / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % Wilson score interval.

        By hand: loading scipy.stats takes a second, and every report shows an accuracy.
        """
        n, p, z2 = self.samples, self.value, Z95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return (max(0.0, centre - half), min(1.0, centre + half))

    def __str__(self) -> str:
        """As in `96.39 % (347 of 360; 95 % interval 93.92 % to 97.88 %)`."""
        low, high = map(percent, self.interval)
        return f"{percent(self.value)} ({self.correct} of {self.samples}; 95 % interval {low} to {high})"


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


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Compare which samples two networks classify correctly, both (n,) bool over the same samples."""
    from scipy.stats import binomtest  # takes a second to load

    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(len(a), only_a, only_b, p)
