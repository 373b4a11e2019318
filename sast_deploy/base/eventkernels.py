"""The compiled loops of `EventFrames`; rows are (sample, step) pairs, of C * H * W entries each."""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.base.compiled import compiled

SOUND, BACKWARDS, EMPTY, OUTSIDE, UNSORTED, TWICE = range(6)  # what `check` finds


@compiled()
def check(starts: Any, index: Any, count: Any, size: int, first: int, last: int) -> Any:
    """(what is wrong, in which of the rows first..last - 1, at which event); SOUND where nothing is."""
    seen, looked = np.zeros(size, np.uint8), 0
    for row in range(first, last):
        begin, end = starts[row], starts[row + 1]
        if begin < 0 or end < begin or end > len(index):
            return BACKWARDS, row, begin
        if end == begin:
            continue
        places, counts = index[begin:end], count[begin:end]
        wrong = np.int32(counts[0] == 0)  # the counts grow
        for k in range(len(places)):
            wrong |= np.int32((places[k] < 0) | (places[k] >= size))
        for k in range(len(places) - 1):
            more = counts[k + 1] > counts[k]
            wrong |= np.int32(not (more | ((counts[k + 1] == counts[k]) & (places[k + 1] > places[k]))))
        if wrong:
            return _first_wrong(index, count, size, row, begin, end)
        if counts[0] != counts[-1]:
            if _is_twice(places, seen, looked):
                return TWICE, row, begin
            looked += 1
    return SOUND, 0, 0


@compiled()
def _is_twice(places: Any, seen: Any, looked: int) -> Any:
    """Whether two of the places are one; seen: the marks of what was looked at so far, so many times."""
    mark, twice = np.uint8(looked % 255 + 1), False
    if mark == 1:
        seen[:] = 0
    for k in range(len(places)):
        twice |= seen[places[k]] == mark
        seen[places[k]] = mark
    return twice


@compiled()
def _first_wrong(index: Any, count: Any, size: int, row: int, begin: int, end: int) -> Any:
    for k in range(begin, end):
        if count[k] == 0:
            return EMPTY, row, k
        if index[k] < 0 or index[k] >= size:
            return OUTSIDE, row, k
        if k > begin and (count[k], index[k]) <= (count[k - 1], index[k - 1]):
            return UNSORTED, row, k
    return SOUND, row, end


@compiled()
def tally(rows: Any, found: Any) -> None:
    """found[row] = how many entries of the row are not zero."""
    for row in range(rows.shape[0]):
        n = np.int32(0)
        for i in range(rows.shape[1]):
            n += np.int32(rows[row, i] != 0)
        found[row] = n


@compiled()
def collect(rows: Any, starts: Any, index: Any, count: Any) -> None:
    """The entries that are not zero, of rows (n, size), sorted by value and position: a counting sort."""
    size = rows.shape[1]
    positions, places = np.empty(size + 1, np.int32), np.empty(257, np.int64)
    for row in range(rows.shape[0]):
        n = 0
        for i in range(size):  # without a branch: which entries are zero is no pattern
            positions[n] = i
            n += rows[row, i] != 0
        places[:] = 0
        for k in range(n):
            places[rows[row, positions[k]] + 1] += 1
        places[0] = starts[row]
        for value in range(1, 257):
            places[value] += places[value - 1]
        for k in range(n):
            value = rows[row, positions[k]]
            index[places[value]], count[places[value]] = positions[k], value
            places[value] += 1


@compiled()
def expand(starts: Any, index: Any, count: Any, rows: Any) -> None:
    """Write the events into rows (n, size) of zeros."""
    for row in range(rows.shape[0]):
        for k in range(starts[row], starts[row + 1]):
            rows[row, index[k]] = count[k]


@compiled()
def gather(
    starts: Any, index: Any, count: Any, steps: int, chosen: Any, to: Any, indexed: Any, counted: Any
) -> None:
    """Copy the events of the chosen samples, of `steps` rows each; `to`: the copies' starts, filled here."""
    to[0] = 0
    for n in range(len(chosen)):
        row, k = chosen[n] * steps, to[n * steps]
        for step in range(steps):
            to[n * steps + step + 1] = k + starts[row + step + 1] - starts[row]
        begin, end = starts[row], starts[row + steps]
        for source in range(begin, end):
            indexed[k], counted[k] = index[source], count[source]
            k += 1
