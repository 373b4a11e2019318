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

_ARGUMENTS = (POINTER, POINTER, POINTER, POINTER, LONG, POINTER, LONG, POINTER)


def _rows_body(function: Any, blocks: int, kind: Any, valued: bool) -> None:
    """The sums of 32 * blocks outputs; see `sum_rows`."""
    sums, index, ranges, counts, lists, weight, stride, values = function.args
    b, wide, narrow = ir.IRBuilder(function.append_basic_block("entry")), vector(SHORT), vector(BYTE)
    held = [tools.alloca_once(b, wide) for _ in range(blocks)]  # registers, once LLVM has seen them
    first = tools.alloca_once_value(b, LONG(0))
    with tools.for_range(b, lists) as lister:
        for each in held:
            b.store(constant(SHORT, 0), each)
        count = load(b, after(b, counts, lister.index, LONG), LONG)
        with tools.for_range(b, count) as ranger:
            place = b.gep(ranges, [b.mul(b.add(b.load(first), ranger.index), LONG(24))])
            begin, end, offset = (load(b, b.gep(place, [LONG(8 * k)]), LONG) for k in range(3))
            with tools.for_range(b, b.sub(end, begin)) as event:
                i = b.add(begin, event.index)
                source = b.add(b.zext(load(b, after(b, index, i, kind), kind), LONG), offset)
                row = b.gep(weight, [b.mul(source, stride)])
                factor = splat(b, load(b, after(b, values, i, SHORT), SHORT)) if valued else None
                for k, each in enumerate(held):
                    lanes = b.sext(load(b, b.gep(row, [LONG(LANES * k)]), narrow), wide)
                    b.store(b.add(b.load(each), lanes if factor is None else b.mul(lanes, factor)), each)
        b.store(b.add(b.load(first), count), first)
        target = b.gep(sums, [b.mul(lister.index, b.mul(stride, LONG(2)))])
        for k, each in enumerate(held):
            store(b, b.load(each), b.gep(target, [LONG(2 * LANES * k)]))
    b.ret_void()


def _passes_body(function: Any, kind: Any, valued: bool) -> None:
    """Rows of any length: as many vectors at a time as registers hold, about equally many each time."""
    sums, index, ranges, counts, lists, weight, stride, values = function.args
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
            body, new = function_of(b, f"{function.name}.{number}", ir.VoidType(), _ARGUMENTS)
            if new:
                _rows_body(body, number, kind, valued)
            b.call(body, (target, index, ranges, counts, lists, source, stride, values))
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
            table = context.make_array(kinds[5])(context, b, given[5])
            stride = tools.unpack_tuple(b, table.strides, 2)[0]
            kind = ir.IntType(kinds[1].dtype.bitwidth)
            name = f"sast.{'values' if valued else 'rows'}.{kind.width}"
            function, new = function_of(b, name, ir.VoidType(), _ARGUMENTS)
            if new:
                _passes_body(function, kind, valued)
            b.call(function, (*(data[i] for i in range(4)), given[4], data[5], stride, data[6]))
            return context.get_dummy_value()

        return types.void(sums, index, ranges, counts, types.int64, weight, values), generate

    typed.__doc__ = """sums[list, k] <- weight[index[i] + offset, k] over the ranges of the list.

        Each times values[i], where they have values. sums: int16 (lists, lanes). index: uint16 or int32.
        ranges: int64 (n, 3): i from begin to end - 1, offset. counts: int64 (lists,), how many ranges each
        list has, one list's after the other's. weight: int8 (rows, lanes), lanes whole vectors, without
        gaps. values: int16. The caller knows that the sums fit.
        """
    return emitted(typed)


sum_rows = _sum_rows(valued=False)
sum_valued_rows = _sum_rows(valued=True)
