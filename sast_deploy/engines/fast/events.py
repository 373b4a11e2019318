"""Kernels that find the nonzero inputs of a step and add their weights: work in proportion to the events.

Loop variables are unsigned wherever they do not start at 0: an index that might be negative would count from
an array's end, and the loop that allows for that is not turned into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.base.compiled import inlined

WORD = 8  # bytes looked at together; rows of inputs are padded to whole words
ROWS = 8  # rows of weights that are added together


@inlined
def find_nonzeros(x: Any, busy: Any, index: Any) -> Any:  # pragma: no cover
    """Write the positions of the nonzero x to index, in order; their number.

    x: (size,) in whole words of 8 bytes. busy, index: (size,), of one type. Positions are written always and
    kept only if they count, so there is no branch to mispredict.
    """
    words = x.view(np.uint64)
    level = np.uint64(3 if x.itemsize == 1 else 1)  # log2 of the elements in a word
    count = np.uint64(0)
    for word in range(len(words)):
        busy[count] = word
        count += np.uint64(words[word] != 0)
    last = (np.uint64(1) << level) - np.uint64(1)
    found = np.uint64(0)
    for i in range(count << level):
        j = (np.uint64(busy[i >> level]) << level) + (i & last)
        index[found] = j
        found += np.uint64(x[j] != 0)
    return np.int64(found)


@inlined
def largest(values: Any, n: int) -> Any:  # pragma: no cover
    """The largest of values[:n], at least 1."""
    cast = values.dtype.type
    top = cast(1)
    for i in range(n):
        top = max(top, values[i])
    return np.int64(top)


@inlined
def add_rows(
    rows: Any, values: Any, n: int, weight: Any, partial: Any, total: Any, at: int, limit: int, binary: int
) -> None:  # pragma: no cover
    """total[at + k] <- sum over i < n of values[i] * weight[rows[i], k], exact; binary: every value is 1.

    Narrow partial sums take in so many rows that values.max() * that number <= limit, which bounds them
    (bounds.py); then they are added to the total. The last row of the weights is 0 and fills up rows, which
    has room for ROWS more than n, to whole passes.
    """
    lanes = len(partial)
    most = limit if binary else limit // largest(values, n)
    first = np.uint64(at)
    for k in range(np.uint64(lanes)):
        total[first + k] = 0
    for i in range(np.uint64(n), np.uint64(n + ROWS)):
        rows[i] = len(weight) - 1
    begin = 0
    while begin < n:
        for k in range(lanes):
            partial[k] = 0
        if most < ROWS:
            add_row(rows[begin], values[begin], weight, partial)
            begin += 1
        else:
            end = min(n, begin + most - most % ROWS)
            add_passes(rows, values, begin, end, weight, partial, binary)
            begin = end
        for k in range(np.uint64(lanes)):
            total[first + k] += partial[k]


@inlined
def add_row(row: int, value: int, weight: Any, partial: Any) -> None:  # pragma: no cover
    """partial <- partial + value * weight[row]."""
    for k in range(len(partial)):
        partial[k] += weight[row, k] * value


@inlined
def add_passes(
    rows: Any, values: Any, begin: int, end: int, weight: Any, partial: Any, binary: int
) -> None:  # pragma: no cover
    """Eight rows in one pass over the partial sums, which then need not be loaded and stored for each."""
    for i in range(begin, end, 8):  # ROWS
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        e, f, g, h = rows[i + 4], rows[i + 5], rows[i + 6], rows[i + 7]
        if binary:
            for k in range(len(partial)):
                first = np.int64(weight[a, k]) + weight[b, k] + weight[c, k] + weight[d, k]
                second = np.int64(weight[e, k]) + weight[f, k] + weight[g, k] + weight[h, k]
                partial[k] += first + second
        else:
            p, q, r, s = values[i], values[i + 1], values[i + 2], values[i + 3]
            t, u, v, w = values[i + 4], values[i + 5], values[i + 6], values[i + 7]
            for k in range(len(partial)):
                first = weight[a, k] * p + weight[b, k] * q + weight[c, k] * r + weight[d, k] * s
                second = weight[e, k] * t + weight[f, k] * u + weight[g, k] * v + weight[h, k] * w
                partial[k] += first + second
