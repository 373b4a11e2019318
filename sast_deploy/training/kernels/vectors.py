"""Vectors of sixteen floats in kernels: sums that stay in registers, and bits of what is not zero.

Numba's own loops keep a row of sums in memory, load and store it with every addition; these, written in
LLVM's vector types, do not. LLVM maps them to whatever a processor has: one AVX512 register, two of AVX2,
four of NEON. The order of additions is that of the loop as written, whatever the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 16
_HOST = llvmlite.binding.get_host_cpu_features()
# Vectors of sums that fit a processor's registers beside what is added: in one row, and in each of some rows.
ROW_VECTORS, BLOCK_ROWS, BLOCK_VECTORS = (12, 4, 6) if _HOST.get("avx512f") else (6, 2, 3)
BITS = 64  # elements that `nonzero_bits` looks at

_tools: Any = cgutils  # numba's, without annotations
_types: Any = types
_FLOAT, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


def padded(rows: int, columns: int) -> NDArray[np.float32]:
    """A C-ordered array of so many rows, whole vectors each, aligned to a vector; not initialised."""
    width = -(-columns // LANES) * LANES
    room = np.empty(rows * width + LANES, np.float32)
    start = -(room.ctypes.data // room.itemsize) % LANES
    return room[start : start + rows * width].reshape(rows, width)


def _written(function: Callable[..., Any]) -> Any:
    """A function whose body is written in LLVM's language; its first parameter is not the caller's."""
    return intrinsic(function)


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _whole(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _vector_at(builder: Any, pointer: Any, at: Any, number: int) -> Any:
    """Pointer to the vector `number` of those that begin at element `at`."""
    found = builder.gep(pointer, [builder.add(at, _whole(LANES * number))])
    return builder.bitcast(found, _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any, at: Any, count: int) -> list[Any]:
    found = [builder.load(_vector_at(builder, pointer, at, number)) for number in range(count)]
    for each in found:
        each.align = 4
    return found


def _store(builder: Any, vectors: Sequence[Any], pointer: Any, at: Any) -> None:
    for number, vector in enumerate(vectors):
        builder.store(vector, _vector_at(builder, pointer, at, number)).align = 4


def _spread(builder: Any, number: Any) -> Any:
    """A vector of the same number."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _add_product(builder: Any, factor: Any, vectors: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fused = _tools.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return [builder.call(fused, [factor, each, total]) for each, total in zip(vectors, sums, strict=True)]


def _for_each_count(builder: Any, vectors: Any, most: int, write: Any) -> None:
    """The code that write(count) writes, for that count from 1 to `most` which `vectors` has at run time."""
    done = builder.append_basic_block("done")
    switch = builder.switch(vectors, done)
    for count in range(1, most + 1):
        block = builder.append_basic_block(f"vectors{count}")
        switch.add_case(_whole(count), block)
        builder.position_at_end(block)
        write(count)
        builder.branch(done)
    builder.position_at_end(done)


def _loop(builder: Any, low: Any, high: Any, sums: list[Any], step: Any) -> list[Any]:
    """sums = step(n, sums) for low <= n < high; returns the last ones."""
    before, head = builder.block, builder.append_basic_block("head")
    body, after = builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    n, running = builder.phi(_I64), [builder.phi(_VECTOR) for _ in sums]
    builder.cbranch(builder.icmp_signed("<", n, high), body, after)
    builder.position_at_end(body)
    following = step(n, running)
    after_n = builder.add(n, _whole(1))
    for phi, first, later in zip([n, *running], [low, *sums], [after_n, *following], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return running


@_written
def sum_rows(typingctx, columns, values, span, table, first, out, row, at, vectors):  # type: ignore[no-untyped-def]
    """out[row, c] = first[c] + sum_n values[n] table[columns[n], c] for low <= n < high, in that order,
    and for `vectors` (1 to ROW_VECTORS) vectors of c from `at` on; span: (low, high).

    columns int32, values, table, first, out float32, C-ordered; table and out of as many columns.
    """
    whole = _types.intp
    arguments = columns, values, _types.UniTuple(whole, 2), table, first, out, whole, whole, whole
    signature = _types.void(*arguments)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        low, high = _tools.unpack_tuple(builder, given[2], 2)
        row, at, vectors = given[6:]
        column, value, rows, start, result = (
            _data(context, builder, arguments[number], given[number]) for number in (0, 1, 3, 4, 5)
        )
        array = context.make_array(arguments[3])(context, builder, given[3])
        width = builder.extract_value(array.shape, 1)
        target = builder.add(builder.mul(row, width), at)

        def write(count: int) -> None:
            def step(n: Any, sums: list[Any]) -> list[Any]:
                chosen = builder.sext(builder.load(builder.gep(column, [n])), _I64)
                factor = _spread(builder, builder.load(builder.gep(value, [n])))
                place = builder.add(builder.mul(chosen, width), at)
                return _add_product(builder, factor, _load(builder, rows, place, count), sums)

            sums = _loop(builder, low, high, _load(builder, start, at, count), step)
            _store(builder, sums, result, target)

        _for_each_count(builder, vectors, ROW_VECTORS, write)
        return context.get_dummy_value()

    return signature, generate


def _block(rows: int) -> Any:
    """`add_block` of so many rows."""

    @_written
    def block(typingctx, x, way, table, span, out, row, at, vectors):  # type: ignore[no-untyped-def]
        whole = _types.intp
        arguments = (
            x, _types.UniTuple(whole, 3), table, _types.UniTuple(whole, 2), out, whole, whole, whole,
        )  # fmt: skip
        signature = _types.void(*arguments)

        def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
            (origin, apart, along), (low, high) = (
                _tools.unpack_tuple(builder, given[number], count) for number, count in ((1, 3), (3, 2))
            )
            row, at, vectors = given[5:]
            factors, terms, result = (
                _data(context, builder, arguments[number], given[number]) for number in (0, 2, 4)
            )
            array = context.make_array(arguments[2])(context, builder, given[2])
            width = builder.extract_value(array.shape, 1)
            numbers = [_whole(number) for number in range(rows)]
            starts = [builder.add(origin, builder.mul(number, apart)) for number in numbers]
            targets = [builder.add(builder.mul(builder.add(row, number), width), at) for number in numbers]

            def write(count: int) -> None:
                def step(n: Any, sums: list[Any]) -> list[Any]:
                    term = _load(builder, terms, builder.add(builder.mul(n, width), at), count)
                    moved, following = builder.mul(n, along), []
                    for number, start in enumerate(starts):
                        place = builder.gep(factors, [builder.add(start, moved)])
                        factor, own = _spread(builder, builder.load(place)), slice(number * count, None)
                        following += _add_product(builder, factor, term, sums[own][:count])
                    return following

                first = [vector for each in targets for vector in _load(builder, result, each, count)]
                sums = _loop(builder, low, high, first, step)
                for number, each in enumerate(targets):
                    _store(builder, sums[number * count : (number + 1) * count], result, each)

            _for_each_count(builder, vectors, BLOCK_VECTORS, write)
            return context.get_dummy_value()

        return signature, generate

    return block


# out[row + m, c] += sum_n x[origin + m apart + n along] table[n, c] for low <= n < high, in that order, for
# m < BLOCK_ROWS (or 1) and `vectors` (1 to BLOCK_VECTORS) vectors of c from `at` on. x is flat; all float32;
# way: (origin, apart, along), span: (low, high).
add_block, add_row = _block(BLOCK_ROWS), _block(1)


@_written
def nonzero_bits(typingctx, array, row, column):  # type: ignore[no-untyped-def]
    """Bit b of the 64-bit result: array[row, column + b] is not 0, for a C-ordered matrix."""
    signature = _types.uint64(array, _types.intp, _types.intp)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        matrix = context.make_array(array)(context, builder, given[0])
        width = builder.extract_value(matrix.shape, 1)
        place = builder.gep(matrix.data, [builder.add(builder.mul(given[1], width), given[2])])
        kind = ir.VectorType(context.get_data_type(array.dtype), BITS)
        found = builder.load(builder.bitcast(place, kind.as_pointer()))
        found.align = array.dtype.bitwidth // 8
        zeros = ir.Constant(kind, [0] * BITS)
        float_ = isinstance(array.dtype, _types.Float)
        compare = builder.fcmp_unordered if float_ else builder.icmp_unsigned
        return builder.bitcast(compare("!=", found, zeros), _I64)

    return signature, generate


@_written
def lowest_bit(typingctx, bits):  # type: ignore[no-untyped-def]
    """Number of the lowest bit that is set in a 64-bit number other than 0."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return _types.intp(_types.uint64), generate


@_written
def bits_set(typingctx, bits):  # type: ignore[no-untyped-def]
    """How many bits of a 64-bit number are set."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.ctpop(given[0])

    return _types.intp(_types.uint64), generate
