"""Sums of the rows of weights that listed events select, in registers from the first event to the last."""

from __future__ import annotations

from typing import Any

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


def _rows_body(function: Any, blocks: int, kind: Any, valued: bool) -> None:
    """sums[:32 * blocks] <- the rows of all ranges, in registers; see `sum_rows`."""
    sums, index, ranges, count, weight, stride, values = function.args
    names = ("entry", "range", "row", "next", "done")
    entry, ranged, row, following, done = (function.append_basic_block(name) for name in names)
    wide, narrow, none = vector(SHORT), vector(BYTE), constant(SHORT, 0)
    b = ir.IRBuilder(entry)
    b.cbranch(b.icmp_signed(">", count, LONG(0)), ranged, done)
    b = ir.IRBuilder(ranged)
    number, before = b.phi(LONG), [b.phi(wide) for _ in range(blocks)]
    place = b.gep(ranges, [b.mul(number, LONG(24))])
    begin, end, offset = (load(b, b.gep(place, [LONG(8 * k)]), LONG) for k in range(3))
    b.cbranch(b.icmp_signed("<", begin, end), row, following)
    b = ir.IRBuilder(row)
    i, held = b.phi(LONG), [b.phi(wide) for _ in range(blocks)]
    source = b.zext(load(b, after(b, index, i, kind), kind), LONG)
    start = b.gep(weight, [b.mul(b.add(source, offset), stride)])
    factor = splat(b, load(b, after(b, values, i, SHORT), SHORT)) if valued else None
    added = []
    for k in range(blocks):
        lanes = b.sext(load(b, b.gep(start, [LONG(LANES * k)]), narrow), wide)
        added.append(b.add(held[k], lanes if factor is None else b.mul(lanes, factor)))
    again = b.add(i, LONG(1))
    for phi, first, later in [(i, begin, again), *zip(held, before, added, strict=True)]:
        phi.add_incoming(first, ranged)
        phi.add_incoming(later, row)
    b.cbranch(b.icmp_signed("<", again, end), row, following)
    b = ir.IRBuilder(following)
    kept = [b.phi(wide) for _ in range(blocks)]
    for phi, first, later in zip(kept, before, added, strict=True):
        phi.add_incoming(first, ranged)
        phi.add_incoming(later, row)
    more = b.add(number, LONG(1))
    for phi, first, later in [(number, LONG(0), more), *zip(before, [none] * blocks, kept, strict=True)]:
        phi.add_incoming(first, entry)
        phi.add_incoming(later, following)
    b.cbranch(b.icmp_signed("<", more, count), ranged, done)
    b = ir.IRBuilder(done)
    for k in range(blocks):
        found = b.phi(wide)
        found.add_incoming(none, entry)
        found.add_incoming(kept[k], following)
        kept[k] = found
    for k in range(blocks):
        store(b, kept[k], b.gep(sums, [LONG(2 * LANES * k)]))
    b.ret_void()


def _passes_body(function: Any, kind: Any, valued: bool) -> None:
    """Rows of any length: as many vectors at a time as registers hold, about equally many each time."""
    sums, index, ranges, count, weight, stride, values = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    total = b.sdiv(stride, LONG(LANES))
    passes = b.sdiv(b.add(total, LONG(REGISTERS - 1)), LONG(REGISTERS))
    each = b.sdiv(b.sub(b.add(total, passes), LONG(1)), passes)
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
            body, new = function_of(b, f"{function.name}.{number}", ir.VoidType(), _ROWS_ARGUMENTS)
            if new:
                _rows_body(body, number, kind, valued)
            b.call(body, (target, index, ranges, count, source, stride, values))
            b.branch(out)
        b.position_at_end(out)
    b.ret_void()


_ROWS_ARGUMENTS = (POINTER, POINTER, POINTER, LONG, POINTER, LONG, POINTER)


def _sum_rows(valued: bool) -> Any:
    def typed(
        typing: Any, sums: Any, index: Any, ranges: Any, count: Any, weight: Any, values: Any
    ) -> Any:
        def generate(context: Any, b: Builder, signature: Any, given: Any) -> Value:
            kinds = signature.args
            data = {i: data_of(context, b, kinds[i], given[i]) for i in (0, 1, 2, 4, 5)}
            table = context.make_array(kinds[4])(context, b, given[4])
            stride = tools.unpack_tuple(b, table.strides, 2)[0]
            kind = ir.IntType(kinds[1].dtype.bitwidth)
            name = f"sast.{'values' if valued else 'rows'}.{kind.width}"
            function, new = function_of(b, name, ir.VoidType(), _ROWS_ARGUMENTS)
            if new:
                _passes_body(function, kind, valued)
            b.call(function, (data[0], data[1], data[2], given[3], data[4], stride, data[5]))
            return context.get_dummy_value()

        return types.void(sums, index, ranges, types.int64, weight, values), generate

    typed.__doc__ = """sums[k] <- weight[index[i] + offset_r, k] over r < count and begin_r <= i < end_r.

        Each times values[i], where they have values. sums: int16, a row long. index: uint16 or int32.
        ranges: int64 (count or more, 3): begin, end, offset. weight: int8 (rows, whole vectors), without
        gaps. values: int16. The caller knows that the sums fit.
        """
    return emitted(typed)


sum_rows = _sum_rows(valued=False)
sum_valued_rows = _sum_rows(valued=True)
