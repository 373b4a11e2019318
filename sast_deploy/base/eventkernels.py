"""The compiled loops of `EventFrames`; rows are (sample, step) pairs, of C * H * W entries each."""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.base.compiled import compiled

WORD_BYTES = 8
PASSES = 8  # values that are sorted in a pass each
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
def collect(rows: Any, words: Any, starts: Any, index: Any, count: Any) -> None:
    """The entries that are not zero, of rows (n, size), sorted by value and position.

    words: the rows in uint64, as far as they go. Positions are written always and kept only if they count, so
    there is no branch to mispredict; indices are unsigned, since others would be looked at for their sign.
    """
    size, whole = rows.shape[1], words.shape[1]
    busy, found = np.empty(whole + 1, np.uint64), np.empty(size + 1, np.uint64)
    for row in range(rows.shape[0]):
        line, n, some = rows[row], np.uint64(0), np.uint64(0)
        for word in range(whole):
            busy[some] = word * WORD_BYTES
            some += np.uint64(words[row, word] != 0)
        for k in range(some):
            for j in range(WORD_BYTES):
                i = busy[k] + np.uint64(j)
                found[n] = i
                n += np.uint64(line[i] != 0)
        for i in range(whole * WORD_BYTES, size):
            found[n] = i
            n += np.uint64(line[i] != 0)
        _sort(line, found, n, np.uint64(starts[row]), index, count)


@compiled()
def _sort(line: Any, found: Any, n: Any, at: Any, index: Any, count: Any) -> None:
    """The positions found[:n] to index from `at` on, and line's values there to count, in order of value.

    One pass a value, since most are small, each of which leaves less; then a counting sort.
    """
    value = 1
    while n and value <= PASSES:
        begin, left = at, np.uint64(0)
        for k in range(n):
            i = found[k]
            now = line[i] == value
            index[at] = i
            at += np.uint64(now)
            found[left] = i
            left += np.uint64(not now)
        count[begin:at] = value
        n, value = left, value + 1
    if n:
        places = np.zeros(257, np.uint64)
        for k in range(n):
            places[line[found[k]] + np.uint64(1)] += np.uint64(1)
        places[0] = at
        for value in range(1, 257):
            places[value] += places[value - 1]
        for k in range(n):
            i = found[k]
            place = places[line[i]]
            index[place], count[place] = i, line[i]
            places[line[i]] += np.uint64(1)


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
