"""Lists of events: the positions of nonzero bytes, in order or by their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from sast_deploy.base.compiled import inlined
from sast_deploy.engines.fast.emit import (
    BIT,
    BYTE,
    BYTES,
    COMPRESSES,
    INT,
    LANES,
    LONG,
    Builder,
    Value,
    after,
    call,
    constant,
    data_of,
    emitted,
    load,
    splat,
    store,
    tools,
    vector,
)


@emitted
def _unequal_bits(typing: Any, x: Any, at: Any, value: Any) -> Any:
    """Bit i: x[at + i] != value, of 64 bytes."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        array, start, value = values
        word = load(b, b.gep(data_of(context, b, signature.args[0], array), [start]), vector(BYTE, BYTES))
        return b.bitcast(b.icmp_unsigned("!=", word, splat(b, b.trunc(value, BYTE), BYTES)), LONG)

    return types.uint64(x, types.int64, types.int64), generate


@inlined
def unequal(x: Any, at: int, end: int, value: int) -> Any:  # pragma: no cover
    """Bit i: x[at + i] != value, of 64 bytes; 0 from `end` on. x: 64 bytes or more; none is read beyond."""
    beyond = max(at + BYTES - len(x), 0)
    bits = _unequal_bits(x, at - beyond, value) >> np.uint64(beyond)
    if end - at < BYTES:
        bits &= (np.uint64(1) << np.uint64(end - at)) - np.uint64(1)
    return bits


@emitted
def _largest_byte(typing: Any, data: Any, size: Any) -> Any:
    """The largest of the first bytes, which are 64 or more."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        array, size = values
        start, kind = data_of(context, b, signature.args[0], array), vector(BYTE, BYTES)
        most, last = tools.alloca_once_value(b, constant(BYTE, 0, BYTES)), b.sub(size, LONG(BYTES))
        with tools.for_range(b, b.sdiv(b.add(size, LONG(BYTES - 1)), LONG(BYTES))) as loop:
            at = b.mul(loop.index, LONG(BYTES))
            here = b.select(b.icmp_signed("<", at, last), at, last)
            found, before = load(b, b.gep(start, [here]), kind), b.load(most)
            b.store(b.select(b.icmp_unsigned(">", found, before), found, before), most)
        return call(b, f"llvm.vector.reduce.umax.v{BYTES}i8", BYTE, [b.load(most)])

    return types.uint8(data, types.int64), generate


@inlined
def largest_byte(x: Any) -> int:  # pragma: no cover
    """Of one sample (T, 64 or more), padding and all; read here, where it stays in the cache."""
    return int(_largest_byte(x, x.size)) if x.size else 0


@emitted
def _lowest_bit(typing: Any, bits: Any) -> Any:
    """The place of the lowest 1; 64 if there is none."""

    def generate(_context: Any, b: Builder, _signature: Any, values: Any) -> Value:
        return b.cttz(values[0], BIT(0))

    return types.int64(types.uint64), generate


@emitted
def count_bits(typing: Any, bits: Any) -> Any:
    """How many are 1."""

    def generate(_context: Any, b: Builder, _signature: Any, values: Any) -> Value:
        return b.ctpop(values[0])

    return types.int64(types.uint64), generate


def _compressed(b: Builder, bits: Value, lanes: Value) -> Value:
    """The lanes whose bit is 1, together; zeros behind them."""
    kind = lanes.type
    mask = b.bitcast(b.trunc(bits, ir.IntType(kind.count)), vector(BIT, kind.count))
    name = f"llvm.experimental.vector.compress.v{kind.count}i{kind.element.width}"
    return call(b, name, kind, [lanes, mask, constant(kind.element, 0, kind.count)])


def _part(b: Builder, lanes: Value, first: int, count: int) -> Value:
    """Some neighbouring lanes of a vector."""
    chosen = ir.Constant(vector(INT, count), list(range(first, first + count)))
    return b.shuffle_vector(lanes, ir.Constant(lanes.type, ir.Undefined), chosen)


@emitted
def _list_by_compressing(typing: Any, bits: Any, base: Any, index: Any, at: Any) -> Any:
    """index[at + i] <- base + the place of the i-th 1."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        mask, first, array, start = values
        kind = ir.IntType(signature.args[2].dtype.bitwidth)
        packed = _compressed(b, mask, ir.Constant(vector(BYTE, BYTES), list(range(BYTES))))
        target = after(b, data_of(context, b, signature.args[2], array), start, kind)
        lanes = 512 // kind.width
        offset = splat(b, b.trunc(first, kind), lanes)
        for low in range(0, BYTES, lanes):
            wide = b.add(b.zext(_part(b, packed, low, lanes), vector(kind, lanes)), offset)
            store(b, wide, b.gep(target, [LONG(low * kind.width // 8)]))
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, index, types.int64), generate


@inlined
def _list_by_scanning(bits: Any, base: int, index: Any, at: int) -> None:  # pragma: no cover
    """The same where no instruction does it; four at a time, so that few branches go wrong."""
    n, left = np.uint64(at), bits
    while left != 0:
        for i in range(4):
            index[n + np.uint64(i)] = base + _lowest_bit(left)
            left &= left - np.uint64(1)
        n += np.uint64(4)


def _take_by_compressing(lanes: int) -> Any:
    def typed(typing: Any, bits: Any, source: Any, begin: Any, target: Any, at: Any) -> Any:
        def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
            kinds, kind = signature.args, ir.IntType(signature.args[1].dtype.bitwidth)
            source, target = (data_of(context, b, kinds[i], values[i]) for i in (1, 3))
            bits, _, begin, _, at = values
            # One register at a time: LLVM's code for several stores to the stack as if that were aligned.
            width = min(lanes, 8 * BYTES // kind.width)
            for low in range(0, lanes, width):
                part = b.trunc(b.lshr(bits, LONG(low)), ir.IntType(width))
                here = load(b, after(b, source, b.add(begin, LONG(low)), kind), vector(kind, width))
                store(b, _compressed(b, b.zext(part, LONG), here), after(b, target, at, kind))
                at = b.add(at, b.zext(b.ctpop(part), LONG))
            return context.get_dummy_value()

        return types.void(types.uint64, source, types.int64, target, types.int64), generate

    typed.__doc__ = "target[at + i] <- source[begin + the place of the i-th 1]."
    return emitted(typed)


@inlined
def _take_by_scanning(bits: Any, source: Any, begin: int, target: Any, at: int) -> None:  # pragma: no cover
    n, left = at, bits
    while left != 0:
        target[n] = source[begin + _lowest_bit(left)]
        left &= left - np.uint64(1)
        n += 1


_list_bits: Callable[..., None] = _list_by_compressing if COMPRESSES else _list_by_scanning
_take_bytes: Callable[..., None] = _take_by_compressing(BYTES) if COMPRESSES else _take_by_scanning
_take_indices: Callable[..., None] = _take_by_compressing(LANES) if COMPRESSES else _take_by_scanning


@inlined
def find_events(x: Any, size: int, index: Any) -> int:  # pragma: no cover
    """index <- positions of the nonzero x[:size], in order; their number.

    x: at least 64 bytes. index: with room for 64 more than there are.
    """
    n, whole = 0, size - size % BYTES
    for low in range(0, whole, BYTES):
        bits = _unequal_bits(x, low, 0)
        _list_bits(bits, low, index, n)
        n += count_bits(bits)
    if whole < size:
        bits = unequal(x, whole, size, 0)
        _list_bits(bits, whole, index, n)
        n += count_bits(bits)
    return n


@inlined
def find_words(x: Any, size: int, index: Any, bits: Any, before: Any) -> int:  # pragma: no cover
    """`find_events`; also which of each 64 they are, and how many lie before these.

    bits, before: (size / 64 + 1 or more,).
    """
    n, words = 0, np.uint64(size // BYTES)
    for word in range(words):
        low = np.int64(word) * BYTES
        bits[word], before[word] = _unequal_bits(x, low, 0), n
        _list_bits(bits[word], low, index, n)
        n += count_bits(bits[word])
    bits[words], before[words] = np.uint64(0), n
    whole = size - size % BYTES
    if whole < size:
        bits[words] = unequal(x, whole, size, 0)
        _list_bits(bits[words], whole, index, n)
        n += count_bits(bits[words])
    return n


@inlined
def find_counts(x: Any, size: int, index: Any, counts: Any) -> int:  # pragma: no cover
    """`find_events`; also their values to `counts`."""
    n, whole = 0, size - size % BYTES
    for low in range(0, whole, BYTES):
        bits = _unequal_bits(x, low, 0)
        _list_bits(bits, low, index, n)
        _take_bytes(bits, x, low, counts, n)
        n += count_bits(bits)
    if whole < size:
        bits, beyond = unequal(x, whole, size, 0), max(whole + BYTES - len(x), 0)
        _list_bits(bits, whole, index, n)
        _take_bytes(bits << np.uint64(beyond), x, whole - beyond, counts, n)
        n += count_bits(bits)
    return n


@inlined
def sort_by_count(
    counts: Any, index: Any, n: int, most: int, ordered: Any, ranges: Any
) -> int:  # pragma: no cover
    """ordered <- index[:n] by count 1..most, and their ranges (begin, end, count); the number of ranges."""
    at = groups = 0
    for count in range(1, most + 1):
        begin = at
        for low in range(0, n, LANES):
            bits = ~unequal(counts, low, low + LANES, count)
            bits &= (np.uint64(1) << np.uint64(min(LANES, n - low))) - np.uint64(1)
            if bits != 0:
                _take_indices(bits, index, low, ordered, at)
                at += count_bits(bits)
        if at > begin:
            ranges[groups, 0], ranges[groups, 1], ranges[groups, 2] = begin, at, count
            groups += 1
    return groups


@inlined
def find_ranges(counts: Any, begin: int, end: int, ranges: Any) -> int:  # pragma: no cover
    """Where parts of equal counts lie in the sorted counts[begin:end]: (from, to, count); their number."""
    at, groups = begin, 0
    while at < end:
        count, first = counts[at], at
        if len(counts) < BYTES:
            while at < end and counts[at] == count:
                at += 1
        else:
            bits = unequal(counts, at, end, count)
            while bits == 0 and at + BYTES < end:
                at += BYTES
                bits = unequal(counts, at, end, count)
            at = min(at + _lowest_bit(bits), end)
        ranges[groups, 0], ranges[groups, 1], ranges[groups, 2] = first, at, count
        groups += 1
    return groups
