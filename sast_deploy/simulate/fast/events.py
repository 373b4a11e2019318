"""Kernels that find the nonzero inputs of a step and add their weights: work in proportion to the events."""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.simulate.fast.compiled import compiled

WORD = 8  # bytes looked at together; rows of inputs are padded to whole words
LANES = 32  # rows of weights are padded to whole vectors of this many
TOGETHER = 8  # rows of weights added in one pass over the partial sums


@compiled
def find_nonzeros(x: Any, busy: Any, index: Any, filled: int) -> int:  # pragma: no cover
    """Append the positions of the nonzero x to index[filled:]; the new number filled.

    x: (size,) in whole words of 8 bytes. busy: room for a position per word. Positions are written always
    and kept only if they count, so there is no branch to mispredict; index has a word's room to spare.
    """
    words = x.view(np.uint64)
    level = 3 if x.itemsize == 1 else 1  # log2 of the elements in a word
    count = 0
    for word in range(len(words)):
        busy[count] = word
        count += words[word] != 0
    last = (1 << level) - 1
    for i in range(count << level):
        j = (np.int64(busy[i >> level]) << level) + (i & last)
        index[filled] = j
        filled += x[j] != 0
    return filled


@compiled
def add_rows(
    rows: Any, values: Any, n: int, weight: Any, partial: Any, total: Any, limit: int
) -> None:  # pragma: no cover
    """total <- sum over i < n of values[i] * weight[rows[i]], exact.

    Narrow partial sums take in so many rows that values.max() * that number <= limit, which bounds them
    (bounds.py); then they are added to the total.
    """
    lanes = len(total)
    top = 1
    for i in range(n):
        top = max(top, np.int64(values[i]))
    most = limit // top
    for k in range(lanes):
        total[k] = 0
    begin = 0
    while begin < n:
        end = min(n, begin + most)
        _add_part(rows, values, begin, end, weight, partial)
        for k in range(lanes):
            total[k] += partial[k]
        begin = end


@compiled
def _add_part(rows: Any, values: Any, begin: int, end: int, weight: Any, partial: Any) -> None:  # pragma: no cover
    lanes = len(partial)
    for k in range(lanes):
        partial[k] = 0
    i = begin
    while i + 8 <= end:  # TOGETHER
        a, b, c, d = weight[rows[i]], weight[rows[i + 1]], weight[rows[i + 2]], weight[rows[i + 3]]
        e, f, g, h = weight[rows[i + 4]], weight[rows[i + 5]], weight[rows[i + 6]], weight[rows[i + 7]]
        p, q, r, s = values[i], values[i + 1], values[i + 2], values[i + 3]
        t, u, v, w = values[i + 4], values[i + 5], values[i + 6], values[i + 7]
        for k in range(lanes):
            first = a[k] * p + b[k] * q + c[k] * r + d[k] * s
            partial[k] += first + e[k] * t + f[k] * u + g[k] * v + h[k] * w
        i += 8
    while i < end:
        a, p = weight[rows[i]], values[i]
        for k in range(lanes):
            partial[k] += a[k] * p
        i += 1
