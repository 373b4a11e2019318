"""Frames as lists of their events, and products of such rows with a table of weights.

Event frames are 4 to 10 % dense. A product by events costs in proportion to what is not zero, one with all
entries in proportion to everything, but a tenth as much for each. Both add up the same terms in the same
order, ascending, and a term that is zero changes no sum: they give the same bits, on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.training.kernels.threads import share
from sast_deploy.training.kernels.vectors import (
    BITS,
    BLOCK_ROWS,
    BLOCK_VECTORS,
    LANES,
    ROW_VECTORS,
    add_block,
    add_row,
    bits_set,
    lowest_bit,
    nonzero_bits,
    padded,
    sum_rows,
)

DEPTH = 512  # rows of a table that stay in the second cache while blocks of sums go over them
PARTS = 4  # of the rows, whose entries are counted and then put in their places apart

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Matrix = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EventRows:
    """A matrix (rows, columns) as its nonzero entries, row by row, in ascending columns.

    starts: (rows + 1,) int64, where each row's entries begin. columns: int32. values: float32.
    """

    width: int
    starts: Whole
    columns: NDArray[np.int32]
    values: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def density(self) -> float:
        """The share of entries that are not zero."""
        return len(self.columns) / max(1, len(self) * self.width)

    def transposed(self) -> EventRows:
        """The same of the transposed matrix."""
        rows = [len(self) * part // PARTS for part in range(PARTS + 1)]
        tally = np.zeros((PARTS, self.width), np.int64)
        cost = len(self.columns) / PARTS

        def count(low: int, high: int) -> None:
            for part in range(low, high):
                _tally(self.columns[self.starts[rows[part]] : self.starts[rows[part + 1]]], tally[part])

        share(PARTS, count, cost)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(tally.sum(0))])
        places = starts[:-1] + np.cumsum(tally, 0) - tally
        columns, values = np.empty_like(self.columns), np.empty_like(self.values)

        def place(low: int, high: int) -> None:
            for part in range(low, high):
                ends = rows[part], rows[part + 1]
                _place(self.starts, self.columns, self.values, places[part], columns, values, *ends)

        share(PARTS, place, 3 * cost)
        return EventRows(len(self), starts, columns, values)

    def dense(self) -> Floats:
        """The matrix itself."""
        matrix = np.zeros((len(self), self.width), np.float32)
        cost = self.width / 4
        lists = self.starts, self.columns, self.values
        share(len(self), lambda low, high: _fill(*lists, matrix, low, high), cost)
        return matrix

    def times(self, table: Floats, first: Floats) -> Floats:
        """first + this matrix times `table` (columns, outputs); both are `padded`."""
        out, cost = padded(len(self), table.shape[1]), self.density * self.width * table.shape[1]
        lists = self.starts, self.columns, self.values
        share(len(self), lambda low, high: _times(*lists, table, first, out, low, high), cost)
        return out


def count_nonzeros(matrix: Matrix, order: Whole) -> Whole:
    """How many entries of row order[r] of a C-ordered matrix are not zero, for every r."""
    counts, cost = np.empty(len(order), np.int64), matrix.shape[1] * matrix.itemsize / 8
    share(len(order), lambda low, high: _count(matrix, order, counts, low, high), cost)
    return counts


def event_rows(matrix: Matrix, order: Whole, counts: Whole | None = None, unit: float = 1.0) -> EventRows:
    """Row r of the result: row order[r] of a C-ordered `matrix`, times `unit`, as events.

    counts: what `count_nonzeros` says, where that is known.
    """
    counts = count_nonzeros(matrix, order) if counts is None else counts
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    columns, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    lists, scale, cost = (starts, columns, values), np.float32(unit), matrix.shape[1] / 2
    share(len(order), lambda low, high: _list(matrix, order, scale, *lists, low, high), cost)
    return EventRows(matrix.shape[1], *lists)


def listed_rows(frames: EventFrames, order: Whole, unit: float = 1.0) -> EventRows:
    """Row r of the result: row order[r] of event frames, times `unit`, in the order of positions."""
    counts = frames.starts[order + 1] - frames.starts[order]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    width, columns = prod(frames.shape[2:]), np.empty(starts[-1], np.int32)
    given, scale = (frames.starts, frames.index, frames.count), np.float32(unit)
    lists, cost = (starts, columns, np.empty(starts[-1], np.float32)), width / 2
    share(len(order), lambda low, high: _sort(given, order, scale, width, *lists, low, high), cost)
    return EventRows(width, *lists)


def dense_times(matrix: Floats, table: Floats, first: Floats) -> Floats:
    """What `EventRows.times` gives of a C-ordered matrix (rows, columns), every entry added."""
    return _dense(matrix, matrix.shape, (matrix.shape[1], 1), table, first)


def dense_transposed_times(matrix: Floats, table: Floats, first: Floats) -> Floats:
    """What `EventRows.transposed().times` gives, every entry added."""
    return _dense(matrix, matrix.shape[::-1], (1, matrix.shape[1]), table, first)


def _dense(
    matrix: Floats, shape: tuple[int, ...], strides: tuple[int, int], table: Floats, first: Floats
) -> Floats:
    (rows, terms), flat = shape, matrix.reshape(-1)
    out = padded(rows, table.shape[1])

    def work(low: int, high: int) -> None:
        out[low:high] = first
        _add_products(flat, *strides, terms, table, out, low, high)

    share(rows, work, terms * table.shape[1] / LANES)
    return out


@compiled()
def _count(matrix, order, counts, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = matrix.shape[1]
    whole = width // BITS * BITS
    for row in range(low, high):
        source, n = order[row], 0
        for at in range(0, whole, BITS):
            n += bits_set(nonzero_bits(matrix, source, at))
        for column in range(whole, width):
            n += matrix[source, column] != 0
        counts[row] = n


@compiled()
def _list(matrix, order, unit, starts, columns, values, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = matrix.shape[1]
    whole = width // BITS * BITS
    for row in range(low, high):
        source, n = order[row], starts[row]
        for at in range(0, whole, BITS):
            bits = nonzero_bits(matrix, source, at)
            while bits != 0:
                column = at + lowest_bit(bits)
                columns[n] = column
                values[n] = matrix[source, column] * unit
                n += 1
                bits &= bits - np.uint64(1)
        for column in range(whole, width):
            if matrix[source, column] != 0:
                columns[n] = column
                values[n] = matrix[source, column] * unit
                n += 1


@compiled()
def _sort(frames, order, unit, width, starts, columns, values, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    begins, index, count = frames
    row, source = np.zeros((1, width), np.uint8), np.zeros(1, np.int64)
    for r in range(low, high):
        begin, end = begins[order[r]], begins[order[r] + 1]
        for n in range(begin, end):
            row[0, index[n]] = count[n]
        _list(row, source, unit, starts[r:], columns, values, 0, 1)
        for n in range(begin, end):
            row[0, index[n]] = 0


@compiled()
def _tally(columns, tally):  # type: ignore[no-untyped-def]  # pragma: no cover
    for n in range(len(columns)):
        tally[columns[n]] += 1


@compiled()
def _place(starts, columns, values, places, rows_of, values_of, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    for row in range(low, high):
        for n in range(starts[row], starts[row + 1]):
            at = places[columns[n]]
            places[columns[n]] = at + 1
            rows_of[at] = row
            values_of[at] = values[n]


@compiled()
def _fill(starts, columns, values, matrix, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    for row in range(low, high):
        for n in range(starts[row], starts[row + 1]):
            matrix[row, columns[n]] = values[n]


@compiled()
def _times(starts, columns, values, table, first, out, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = out.shape[1]
    for at in range(0, width, ROW_VECTORS * LANES):
        vectors = min(ROW_VECTORS, (width - at) // LANES)
        for row in range(low, high):
            span = starts[row], starts[row + 1]
            sum_rows(columns, values, span, table, first, out, row, at, vectors)


@compiled()
def _add_products(x, apart, along, terms, table, out, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    """out[r] += sum_n x[r apart + n along] table[n] for low <= r < high."""
    width = out.shape[1]
    for begin in range(0, terms, DEPTH):
        end = min(begin + DEPTH, terms)
        for at in range(0, width, BLOCK_VECTORS * LANES):
            vectors, row = min(BLOCK_VECTORS, (width - at) // LANES), low
            while row + BLOCK_ROWS <= high:
                add_block(x, (row * apart, apart, along), table, (begin, end), out, row, at, vectors)
                row += BLOCK_ROWS
            while row < high:
                add_row(x, (row * apart, apart, along), table, (begin, end), out, row, at, vectors)
                row += 1
