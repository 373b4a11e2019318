"""Kernels that find the nonzero inputs of a step and add their weights: work in proportion to the events."""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.simulate.fast.compiled import compiled

WORD = 8  # bytes looked at together; rows of inputs are padded to whole words
LANES = 32  # rows of weights are padded to whole vectors of this many


@compiled
def find_nonzeros(x: Any, busy: Any, index: Any) -> int:  # pragma: no cover
    """Write the positions of the nonzero x to index, in order; their number.

    x: (size,) in whole words of 8 bytes. busy, index: (size,), of one type. Positions are written always and
    kept only if they count, so there is no branch to mispredict.
    """
    words = x.view(np.uint64)
    level = 3 if x.itemsize == 1 else 1  # log2 of the elements in a word
    count = 0
    for word in range(len(words)):
        busy[count] = word
        count += words[word] != 0
    last = (1 << level) - 1
    found = 0
    for i in range(count << level):
        j = (np.int64(busy[i >> level]) << level) + (i & last)
        index[found] = j
        found += x[j] != 0
    return found


@compiled
def largest(values: Any, begin: int, end: int) -> int:  # pragma: no cover
    """The largest of values[begin:end], at least 1."""
    cast = values.dtype.type
    top = cast(1)
    for i in range(begin, end):
        top = max(top, values[i])
    return np.int64(top)


@compiled
def add_rows(
    rows: Any, values: Any, begin: int, end: int, weight: Any, partial: Any, total: Any, limit: int, binary: int
) -> None:  # pragma: no cover
    """total <- sum over i in begin..end - 1 of values[i] * weight[rows[i]], exact; binary: every value is 1.

    Narrow partial sums take in so many rows that values.max() * that number <= limit, which bounds them
    (bounds.py); then they are added to the total.
    """
    lanes = len(total)
    most = limit if binary else limit // largest(values, begin, end)
    for k in range(lanes):
        total[k] = 0
    while begin < end:
        stop = min(end, begin + most)
        for k in range(lanes):
            partial[k] = 0
        if binary:
            _add_spikes(rows, begin, stop, weight, partial)
        else:
            _add_counts(rows, values, begin, stop, weight, partial)
        for k in range(lanes):
            total[k] += partial[k]
        begin = stop


@compiled
def _add_counts(
    rows: Any, values: Any, begin: int, end: int, weight: Any, partial: Any
) -> None:  # pragma: no cover
    """Eight rows in one pass over the partial sums, which then need not be loaded and stored for each."""
    lanes = len(partial)
    i = begin
    while i + 8 <= end:
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


@compiled
def _add_spikes(rows: Any, begin: int, end: int, weight: Any, partial: Any) -> None:  # pragma: no cover
    """`_add_counts` where every value is 1."""
    lanes = len(partial)
    i = begin
    while i + 8 <= end:
        a, b, c, d = weight[rows[i]], weight[rows[i + 1]], weight[rows[i + 2]], weight[rows[i + 3]]
        e, f, g, h = weight[rows[i + 4]], weight[rows[i + 5]], weight[rows[i + 6]], weight[rows[i + 7]]
        for k in range(lanes):
            first = np.int64(a[k]) + b[k] + c[k] + d[k]
            partial[k] += first + e[k] + f[k] + g[k] + h[k]
        i += 8
    while i < end:
        a = weight[rows[i]]
        for k in range(lanes):
            partial[k] += a[k]
        i += 1
