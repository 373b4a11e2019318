"""Sums of the rows of weights that listed events select, in registers from the first event to the last.

Two weights are read as one 16-bit word w = 256 h + l: the second is h, the first stored as l = weight + 128.
Of n rows two sums are kept a word, modulo 2**16, S of w and H of w >> 8, an arithmetic shift. Then

    sum of the second weights = H        sum of the first weights = S - 256 H - 128 n

exactly, wherever 16 bits hold the sum, whatever overflowed on the way. So 64 weights cost one load, one shift
and two additions an event, where sign-extending them costs two conversions and two additions. A block of 64
lanes, at the end one of 32 where that will do, has its first half as first weights and its second half as
second ones: see `pair_rows`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from sast_deploy.engines.fast.emit import (
    BYTE,
    LANES,
    LONG,
    POINTER,
    REGISTERS,
    SHORT,
    Builder,
    Value,
    after,
    constant,
    data_of,
    emitted,
    function_of,
    load,
    splat,
    store,
    tools,
    vector,
)

_ARGUMENTS = (POINTER, LONG, POINTER, POINTER, POINTER, LONG, POINTER, LONG, POINTER)
BLOCK = 2 * LANES  # lanes whose sums take one register of 512 bits for S and one for H
HALVES = 8  # of vectors, up to which an addition is written out
HALF = 128  # added to the first weight of a word


def pair_rows(table: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """The table as the kernels here read it: uint8 (rows, lanes), a multiple of 64 more than there are.

    table: int8 (rows, lanes), lanes a multiple of 32. Rows fill whole cache lines: what lies across two is
    loaded twice.
    """
    rows, lanes = table.shape
    paired = np.zeros((rows, -(-lanes // BLOCK) * BLOCK), np.uint8)
    for at in range(0, lanes, BLOCK):
        end = min(at + BLOCK, lanes)
        middle = (at + end) // 2
        paired[:, at:end:2] = table[:, at:middle].view(np.uint8) + np.uint8(HALF)
        paired[:, at + 1 : end : 2] = table[:, middle:end].view(np.uint8)
    return paired


class _Held:
    """The sums S and H of a block of lanes, in registers, once LLVM has seen them."""

    def __init__(self, b: Builder, at: int, lanes: int) -> None:
        self.b, self.at, self.lanes = b, at, lanes // 2
        self.kind = vector(SHORT, self.lanes)
        self.words, self.highs = (tools.alloca_once(b, self.kind) for _ in range(2))

    def clear(self) -> None:
        for sums in (self.words, self.highs):
            self.b.store(constant(SHORT, 0, self.lanes), sums)

    def add(self, row: Value, factor: Value | None) -> None:
        b = self.b
        word = load(b, b.gep(row, [LONG(self.at)]), self.kind)
        for sums, value in ((self.words, word), (self.highs, b.ashr(word, constant(SHORT, 8, self.lanes)))):
            times = value if factor is None else b.mul(value, splat(b, factor, self.lanes))
            b.store(b.add(b.load(sums), times), sums)

    def deliver(self, target: Value, weight: Value) -> None:
        """weight: the sum of the factors, modulo 2**16."""
        b, highs = self.b, self.b.load(self.highs)
        offset = splat(b, b.mul(weight, SHORT(HALF)), self.lanes)
        words = b.sub(b.load(self.words), b.shl(highs, constant(SHORT, 8, self.lanes)))
        store(b, b.sub(words, offset), b.gep(target, [LONG(2 * self.at)]))
        store(b, highs, b.gep(target, [LONG(2 * (self.at + self.lanes))]))


def _rows_body(function: Any, vectors: int, kind: Any, valued: bool) -> None:
    """The sums of 32 * vectors outputs; see `sum_rows`."""
    sums, lanes, index, ranges, counts, lists, weight, stride, values = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    ends = [*range(0, LANES * vectors, BLOCK), LANES * vectors]
    held = [_Held(b, at, end - at) for at, end in pairwise(ends)]
    first, weights = tools.alloca_once_value(b, LONG(0)), tools.alloca_once(b, SHORT)
    with tools.for_range(b, lists) as lister:
        for each in held:
            each.clear()
        b.store(SHORT(0), weights)
        count = load(b, after(b, counts, lister.index, LONG), LONG)
        with tools.for_range(b, count) as ranger:
            place = b.gep(ranges, [b.mul(b.add(b.load(first), ranger.index), LONG(24))])
            begin, end, offset = (load(b, b.gep(place, [LONG(8 * k)]), LONG) for k in range(3))
            rows = b.gep(weight, [b.mul(offset, stride)])
            if not valued:
                b.store(b.add(b.load(weights), b.trunc(b.sub(end, begin), SHORT)), weights)
            with tools.for_range(b, b.sub(end, begin)) as event:
                i = b.add(begin, event.index)
                source = b.zext(load(b, after(b, index, i, kind), kind), LONG)
                factor = load(b, after(b, values, i, SHORT), SHORT) if valued else None
                if factor is not None:
                    b.store(b.add(b.load(weights), factor), weights)
                for each in held:
                    each.add(b.gep(rows, [b.mul(source, stride)]), factor)
        b.store(b.add(b.load(first), count), first)
        target = b.gep(sums, [b.mul(lister.index, b.mul(lanes, LONG(2)))])
        for each in held:
            each.deliver(target, b.load(weights))
    b.ret_void()


def _passes_body(function: Any, kind: Any, valued: bool) -> None:
    """Rows of any length: as many blocks at a time as registers hold, about equally many each time."""
    sums, lanes, index, ranges, counts, lists, weight, stride, values = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    total = b.sdiv(lanes, LONG(LANES))
    passes = b.sdiv(b.add(total, LONG(REGISTERS - 1)), LONG(REGISTERS))
    pairs = b.add(passes, passes)
    each = b.mul(b.sdiv(b.sub(b.add(total, pairs), LONG(1)), pairs), LONG(2))
    with tools.for_range(b, passes) as loop:
        first = b.mul(loop.index, each)
        left = b.sub(total, first)
        blocks = b.select(b.icmp_signed("<", left, each), left, each)
        target = b.gep(sums, [b.mul(first, LONG(2 * LANES))])
        source, out = b.gep(weight, [b.mul(first, LONG(LANES))]), b.append_basic_block("out")
        switch = b.switch(blocks, out)
        for number in range(1, REGISTERS + 1):
            case = b.append_basic_block(f"blocks.{number}")
            switch.add_case(LONG(number), case)
            b.position_at_end(case)
            body, new = function_of(b, f"{function.name}.{number}", ir.VoidType(), _ARGUMENTS)
            if new:
                _rows_body(body, number, kind, valued)
            b.call(body, (target, lanes, index, ranges, counts, lists, source, stride, values))
            b.branch(out)
        b.position_at_end(out)
    b.ret_void()


def _sum_rows(valued: bool) -> Any:
    def typed(
        typing: Any, sums: Any, index: Any, ranges: Any, counts: Any, lists: Any, weight: Any, values: Any
    ) -> Any:
        def generate(context: Any, b: Builder, signature: Any, given: Any) -> Value:
            kinds = signature.args
            data = {i: data_of(context, b, kinds[i], given[i]) for i in (0, 1, 2, 3, 5, 6)}
            table, out = (context.make_array(kinds[i])(context, b, given[i]) for i in (5, 0))
            stride, lanes = (tools.unpack_tuple(b, shape, 2)[1] for shape in (table.shape, out.shape))
            kind = ir.IntType(kinds[1].dtype.bitwidth)
            name = f"sast.{'values' if valued else 'rows'}.{kind.width}"
            function, new = function_of(b, name, ir.VoidType(), _ARGUMENTS)
            if new:
                _passes_body(function, kind, valued)
            lists = (data[1], data[2], data[3], given[4])
            b.call(function, (data[0], lanes, *lists, data[5], stride, data[6]))
            return context.get_dummy_value()

        return types.void(sums, index, ranges, counts, types.int64, weight, values), generate

    typed.__doc__ = """sums[list, k] <- weights[index[i] + offset, k] over the ranges of the list.

        Each times values[i], where they have values. sums: int16 (lists, lanes). index: uint16 or int32.
        ranges: int64 (n, 3): i from begin to end - 1, offset. counts: int64 (lists,), how many ranges each
        list has, one list's after the other's. weight: uint8, of `pair_rows`. values: int16. The caller
        knows that the sums fit.
        """
    return emitted(typed)


sum_rows = _sum_rows(valued=False)
sum_valued_rows = _sum_rows(valued=True)


def _add_part(b: Builder, target: Value, source: Value, value: Value, at: Value, lanes: int) -> None:
    here = after(b, target, at, SHORT)
    weights = b.sext(load(b, b.gep(source, [at]), vector(BYTE, lanes)), vector(SHORT, lanes))
    store(b, b.add(load(b, here, vector(SHORT, lanes)), b.mul(weights, splat(b, value, lanes))), here)


@emitted
def add_row(
    typing: Any, sums: Any, place: Any, table: Any, row: Any, value: Any, outputs: Any
) -> Any:  # fmt: skip
    """sums[place] <- sums[place] + value * table[row], of the outputs alone and up to 31 more.

    sums: int16 (places, lanes). table: int8 (rows, lanes), as it is. value: int16.
    """

    def generate(context: Any, b: Builder, signature: Any, given: Any) -> Value:
        kinds = signature.args
        arrays = [context.make_array(kinds[i])(context, b, given[i]) for i in (0, 2)]
        lanes = tools.unpack_tuple(b, arrays[1].shape, 2)[1]
        target, source = (data_of(context, b, kinds[i], given[i]) for i in (0, 2))
        target = after(b, target, b.mul(given[1], lanes), SHORT)
        source = b.gep(source, [b.mul(given[3], lanes)])
        halves = b.sdiv(b.add(given[5], LONG(LANES // 2 - 1)), LONG(LANES // 2))
        out, loops = b.append_basic_block("out"), b.append_basic_block("loops")
        switch = b.switch(halves, loops)
        for number in range(1, HALVES + 1):
            block = b.append_basic_block(f"halves.{number}")
            switch.add_case(LONG(number), block)
            b.position_at_end(block)
            for at in range(0, number - number % 2, 2):
                _add_part(b, target, source, given[4], LONG(LANES // 2 * at), LANES)
            if number % 2:
                _add_part(b, target, source, given[4], LONG(LANES // 2 * (number - 1)), LANES // 2)
            b.branch(out)
        b.position_at_end(loops)
        with tools.for_range(b, b.sdiv(b.add(halves, LONG(1)), LONG(2))) as loop:
            _add_part(b, target, source, given[4], b.mul(loop.index, LONG(LANES)), LANES)
        b.branch(out)
        b.position_at_end(out)
        return context.get_dummy_value()

    return types.void(sums, types.int64, table, types.int64, types.int16, types.int64), generate
