"""Shares of correct predictions, never without their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
