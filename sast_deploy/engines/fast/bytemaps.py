"""Maps of bytes: their sums over time, and their order from channel-last to channel-first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types

from sast_deploy.engines.fast.emit import (
    BYTE,
    BYTES,
    INT,
    LONG,
    Builder,
    Value,
    after,
    constant,
    data_of,
    emitted,
    load,
    store,
    tools,
    vector,
)

MOST_BYTES = 255  # of 0 or 1, whose sum a byte holds
SQUARE = 16  # pixels and channels that are turned at a time


@emitted
def sum_bytes(typing: Any, sums: Any, x: Any, first: Any, last: Any, size: Any) -> Any:
    """sums[:size] <- x[first:last, :size] summed over the first axis, modulo 256.

    x: uint8 (steps, size or more). Both have room for what is left of 64 bytes behind the last.
    """

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds, (_, _, first, last, size), kind = signature.args, values, vector(BYTE, BYTES)
        target, source = (data_of(context, b, kinds[i], values[i]) for i in (0, 1))
        stride = tools.unpack_tuple(b, context.make_array(kinds[1])(context, b, values[1]).strides, 2)[0]
        total = tools.alloca_once(b, kind)
        with tools.for_range(b, b.sdiv(b.add(size, LONG(BYTES - 1)), LONG(BYTES))) as block:
            at = b.mul(block.index, LONG(BYTES))
            b.store(constant(BYTE, 0, BYTES), total)
            with tools.for_range(b, b.sub(last, first)) as loop:
                row = b.gep(source, [b.add(b.mul(b.add(first, loop.index), stride), at)])
                b.store(b.add(b.load(total), load(b, row, kind)), total)
            store(b, b.load(total), b.gep(target, [at]))
        return context.get_dummy_value()

    return types.void(sums, x, types.int64, types.int64, types.int64), generate


@emitted
def transpose_bytes(typing: Any, out: Any, x: Any, pixels: Any, channels: Any) -> Any:
    """out[c * pixels + p] <- x[p * channels + c]; out: int32, x: uint8; both numbers are 16 or more."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds, (_, _, pixels, channels) = signature.args, values
        target, source = (data_of(context, b, kinds[i], values[i]) for i in (0, 1))
        with _squares(b, pixels) as p, _squares(b, channels) as c:
            rows = [
                load(b, b.gep(source, [b.add(b.mul(b.add(p, LONG(k)), channels), c)]), vector(BYTE, SQUARE))
                for k in range(SQUARE)
            ]
            for k, column in enumerate(_transposed(b, rows)):
                place = after(b, target, b.add(b.mul(b.add(c, LONG(k)), pixels), p), INT)
                store(b, b.zext(column, vector(INT, SQUARE)), place)
        return context.get_dummy_value()

    return types.void(out, x, types.int64, types.int64), generate


@contextmanager
def _squares(b: Builder, size: Value) -> Iterator[Value]:
    """A loop over the begins of parts of SQUARE; the last two may overlap."""
    last = b.sub(size, LONG(SQUARE))
    with tools.for_range(b, b.sdiv(b.add(size, LONG(SQUARE - 1)), LONG(SQUARE))) as loop:
        at = b.mul(loop.index, LONG(SQUARE))
        yield b.select(b.icmp_signed("<", at, last), at, last)


def _transposed(b: Builder, rows: list[Value]) -> list[Value]:
    """Interleaved with the row half of all rows further, four times: the columns."""
    count, half = len(rows), len(rows) // 2
    halves = [
        ir.Constant(vector(INT, count), [k // 2 + count * (k % 2) + part for k in range(count)])
        for part in (0, half)
    ]
    for _ in range(count.bit_length() - 1):
        rows = [b.shuffle_vector(rows[k], rows[k + half], part) for k in range(half) for part in halves]
    return rows
