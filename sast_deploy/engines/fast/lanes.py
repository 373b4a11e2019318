"""Vector code of the kernels, emitted as LLVM vectors of 32 lanes: the same on AVX-512, AVX2 and NEON.

What numba's own loops do not reach: sums that stay in registers over a whole list of events, neurons in 16
bits, positions of nonzero bytes without a branch for each. Everything here works on whole vectors; rows of
weights and states of neurons are padded to them, see plan.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from sast_deploy.base.compiled import inlined
from sast_deploy.engines.fast.neurons import (
    BIAS,
    CLIP_LOW,
    DROP,
    HIGH,
    KEEP,
    LEAK_BELOW,
    LEAK_EVEN,
    LEAK_HALF,
    LEFT,
    LOW,
    MASK,
    QUICK,
    RIGHT,
    SHIFT_BELOW,
    SHIFT_EVEN,
    SHIFT_HALF,
    THRESHOLD,
    ZERO,
)
from sast_deploy.program.program import LEAK_BITS

LANES = 32  # of a vector
BYTES = 64  # of inputs looked at together
FEATURES = llvm.get_host_cpu_features()
REGISTERS = 12 if FEATURES.get("avx512bw") else 6  # vectors of 32 sums that stay in registers
COMPRESSES = bool(FEATURES.get("avx512vbmi2"))  # one instruction packs the lanes that a mask selects

_BIT, _BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
Builder = Any
Value = Any


def _vector(kind: Any, lanes: int = LANES) -> Any:
    return ir.VectorType(kind, lanes)


def _constant(kind: Any, value: int, lanes: int = LANES) -> Value:
    return ir.Constant(_vector(kind, lanes), [value] * lanes)


def _splat(b: Builder, scalar: Value, lanes: int = LANES) -> Value:
    kind = _vector(scalar.type, lanes)
    first = b.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT(0))
    return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), _constant(_INT, 0, lanes))


def _load(b: Builder, pointer: Value, kind: Any) -> Value:
    return b.load(b.bitcast(pointer, kind.as_pointer()), align=1)


def _store(b: Builder, value: Value, pointer: Value) -> None:
    b.store(value, b.bitcast(pointer, value.type.as_pointer()), align=1)


def _data(context: Any, b: Builder, kind: Any, array: Value) -> Value:
    """A pointer to the bytes of an array."""
    return b.bitcast(context.make_array(kind)(context, b, array).data, _BYTE.as_pointer())


def _after(b: Builder, pointer: Value, elements: Value, kind: Any) -> Value:
    """The pointer to bytes, so many elements of that integer type further."""
    return b.gep(pointer, [b.mul(elements, _LONG(kind.width // 8))])


def _call(b: Builder, name: str, result: Any, arguments: Sequence[Value]) -> Value:
    """Call one of LLVM's own functions."""
    function = b.module.globals.get(name) or ir.Function(
        b.module, ir.FunctionType(result, [each.type for each in arguments]), name
    )
    return b.call(function, arguments)


def _function(b: Builder, name: str, result: Any, arguments: Sequence[Any]) -> tuple[Any, bool]:
    """The module's function of that name, and whether it is new and still needs its body."""
    if name in b.module.globals:
        return b.module.globals[name], False
    function = ir.Function(b.module, ir.FunctionType(result, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")  # one copy, however many places call it
    return function, True


# ---- lists of events ------------------------------------------------------------------------------------


@intrinsic  # type: ignore[misc]
def _nonzero_bits(typing: Any, x: Any, at: Any) -> Any:
    """Bit i: x[at + i] != 0, of 64 bytes."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        array, start = values
        word = _load(b, b.gep(_data(context, b, signature.args[0], array), [start]), _vector(_BYTE, BYTES))
        return b.bitcast(b.icmp_unsigned("!=", word, _constant(_BYTE, 0, BYTES)), _LONG)

    return types.uint64(x, types.int64), generate


@intrinsic  # type: ignore[misc]
def _lowest_bit(typing: Any, bits: Any) -> Any:
    """The place of the lowest 1; 64 if there is none."""

    def generate(_context: Any, b: Builder, _signature: Any, values: Any) -> Value:
        return b.cttz(values[0], _BIT(0))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[misc]
def count_bits(typing: Any, bits: Any) -> Any:
    """How many are 1."""

    def generate(_context: Any, b: Builder, _signature: Any, values: Any) -> Value:
        return b.ctpop(values[0])

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[misc]
def _list_by_compressing(typing: Any, bits: Any, base: Any, index: Any, at: Any) -> Any:
    """index[at + i] <- base + the place of the i-th 1."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        mask, first, array, start = values
        kind = ir.IntType(signature.args[2].dtype.bitwidth)
        word, places = _vector(_BYTE, BYTES), ir.Constant(_vector(_BYTE, BYTES), list(range(BYTES)))
        arguments = [places, b.bitcast(mask, _vector(_BIT, BYTES)), _constant(_BYTE, 0, BYTES)]
        packed = _call(b, f"llvm.experimental.vector.compress.v{BYTES}i8", word, arguments)
        target, lanes = _after(b, _data(context, b, signature.args[2], array), start, kind), 512 // kind.width
        offset = _splat(b, b.trunc(first, kind), lanes)
        for low in range(0, BYTES, lanes):
            chosen = ir.Constant(_vector(_INT, lanes), list(range(low, low + lanes)))
            part = b.shuffle_vector(packed, ir.Constant(word, ir.Undefined), chosen)
            wide = b.add(b.zext(part, _vector(kind, lanes)), offset)
            _store(b, wide, b.gep(target, [_LONG(low * kind.width // 8)]))
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


_list_bits: Callable[..., None] = _list_by_compressing if COMPRESSES else _list_by_scanning


@inlined
def find_events(x: Any, begin: int, size: int, index: Any, at: int) -> int:  # pragma: no cover
    """Positions of the nonzero x[begin : begin + size], in order, to index[at:]; where they end.

    x: at least 64 bytes. index: with room for 64 more than there are.
    """
    n = at
    for low in range(begin, begin + size, BYTES):
        beyond, left = max(low + BYTES - len(x), 0), begin + size - low
        bits = _nonzero_bits(x, low - beyond) >> np.uint64(beyond)
        if left < BYTES:
            bits &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
        if bits != 0:
            _list_bits(bits, low, index, n)
            n += count_bits(bits)
    return n


# ---- sums of rows of weights ------------------------------------------------------------------------------


def _rows_body(function: Any, blocks: int, kind: Any, valued: bool) -> None:
    """sums[:32 * blocks] <- the rows of all ranges, in registers; see `sum_rows`."""
    sums, index, ranges, count, weight, stride, values = function.args
    names = ("entry", "range", "row", "next", "done")
    entry, ranged, row, following, done = (function.append_basic_block(name) for name in names)
    wide, narrow, none = _vector(_SHORT), _vector(_BYTE), _constant(_SHORT, 0)
    b = ir.IRBuilder(entry)
    b.cbranch(b.icmp_signed(">", count, _LONG(0)), ranged, done)
    b = ir.IRBuilder(ranged)
    number, before = b.phi(_LONG), [b.phi(wide) for _ in range(blocks)]
    place = b.gep(ranges, [b.mul(number, _LONG(24))])
    begin, end, offset = (_load(b, b.gep(place, [_LONG(8 * k)]), _LONG) for k in range(3))
    b.cbranch(b.icmp_signed("<", begin, end), row, following)
    b = ir.IRBuilder(row)
    i, held = b.phi(_LONG), [b.phi(wide) for _ in range(blocks)]
    source = b.zext(_load(b, _after(b, index, i, kind), kind), _LONG)
    start = b.gep(weight, [b.mul(b.add(source, offset), stride)])
    factor = _splat(b, _load(b, _after(b, values, i, _SHORT), _SHORT)) if valued else None
    added = []
    for k in range(blocks):
        lanes = b.sext(_load(b, b.gep(start, [_LONG(LANES * k)]), narrow), wide)
        added.append(b.add(held[k], lanes if factor is None else b.mul(lanes, factor)))
    again = b.add(i, _LONG(1))
    for phi, first, later in [(i, begin, again), *zip(held, before, added, strict=True)]:
        phi.add_incoming(first, ranged)
        phi.add_incoming(later, row)
    b.cbranch(b.icmp_signed("<", again, end), row, following)
    b = ir.IRBuilder(following)
    after = [b.phi(wide) for _ in range(blocks)]
    for phi, first, later in zip(after, before, added, strict=True):
        phi.add_incoming(first, ranged)
        phi.add_incoming(later, row)
    more = b.add(number, _LONG(1))
    for phi, first, later in [(number, _LONG(0), more), *((x, none, y) for x, y in zip(before, after))]:
        phi.add_incoming(first, entry)
        phi.add_incoming(later, following)
    b.cbranch(b.icmp_signed("<", more, count), ranged, done)
    b = ir.IRBuilder(done)
    for k in range(blocks):
        found = b.phi(wide)
        found.add_incoming(none, entry)
        found.add_incoming(after[k], following)
        after[k] = found
    for k in range(blocks):
        _store(b, after[k], b.gep(sums, [_LONG(2 * LANES * k)]))
    b.ret_void()


def _passes_body(function: Any, kind: Any, valued: bool) -> None:
    """Rows of any length: as many vectors at a time as registers hold, about equally many each time."""
    sums, index, ranges, count, weight, stride, values = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    total = b.sdiv(stride, _LONG(LANES))
    passes = b.sdiv(b.add(total, _LONG(REGISTERS - 1)), _LONG(REGISTERS))
    each = b.sdiv(b.sub(b.add(total, passes), _LONG(1)), passes)
    with cgutils.for_range(b, passes) as loop:
        first = b.mul(loop.index, each)
        left = b.sub(total, first)
        blocks = b.select(b.icmp_signed("<", left, each), left, each)
        target = b.gep(sums, [b.mul(first, _LONG(2 * LANES))])
        source, out = b.gep(weight, [b.mul(first, _LONG(LANES))]), b.append_basic_block("out")
        switch = b.switch(blocks, out)
        for number in range(1, REGISTERS + 1):
            case = b.append_basic_block(f"blocks.{number}")
            switch.add_case(_LONG(number), case)
            b.position_at_end(case)
            body, new = _function(b, f"{function.name}.{number}", ir.VoidType(), _ROWS_ARGUMENTS)
            if new:
                _rows_body(body, number, kind, valued)
            b.call(body, (target, index, ranges, count, source, stride, values))
            b.branch(out)
        b.position_at_end(out)
    b.ret_void()


_POINTER = _BYTE.as_pointer()
_ROWS_ARGUMENTS = (_POINTER, _POINTER, _POINTER, _LONG, _POINTER, _LONG, _POINTER)


def _sum_rows(valued: bool) -> Any:
    def typed(
        typing: Any, sums: Any, index: Any, ranges: Any, count: Any, weight: Any, values: Any
    ) -> Any:
        def generate(context: Any, b: Builder, signature: Any, given: Any) -> Value:
            kinds = signature.args
            data = {i: _data(context, b, kinds[i], given[i]) for i in (0, 1, 2, 4, 5)}
            table = context.make_array(kinds[4])(context, b, given[4])
            stride = cgutils.unpack_tuple(b, table.strides, 2)[0]
            kind = ir.IntType(kinds[1].dtype.bitwidth)
            name = f"sast.{'values' if valued else 'rows'}.{kind.width}"
            function, new = _function(b, name, ir.VoidType(), _ROWS_ARGUMENTS)
            if new:
                _passes_body(function, kind, valued)
            b.call(function, (data[0], data[1], data[2], given[3], data[4], stride, data[5]))
            return context.get_dummy_value()

        return types.void(sums, index, ranges, types.int64, weight, values), generate

    typed.__doc__ = """sums[k] <- sum over ranges r < count and begin_r <= i < end_r of weight[index[i] + offset_r, k].

        Each times values[i], where they have values. sums: int16, a row long. index: uint16 or int32. ranges:
        int64 (count or more, 3): begin, end, offset. weight: int8 (rows, whole vectors), without gaps. values:
        int16. The caller knows that the sums fit.
        """
    return intrinsic(typed)


sum_rows = _sum_rows(valued=False)
sum_valued_rows = _sum_rows(valued=True)


# ---- neurons ------------------------------------------------------------------------------------------------


class _Step:
    """The LIF step of one vector of neurons, in `work` bits; see neurons.py for the formulas."""

    def __init__(self, b: Builder, rules: Value, work: Any) -> None:
        self.b, self.work, self.kind = b, work, _vector(work)
        values = [_load(b, b.gep(rules, [_LONG(8 * number)]), _LONG) for number in range(MASK + 1)]
        self.rules = [_splat(b, b.trunc(value, work)) for value in values]

    def negative(self, v: Value) -> Value:
        """All bits where v < 0."""
        return self.b.ashr(v, _constant(self.work, self.work.width - 1))

    def divided(self, v: Value, bits: Value, half: int, below: int, even: int) -> Value:
        """v / 2**bits, rounded as these three rules say."""
        b, rules = self.b, self.rules
        last = b.add(b.and_(self.negative(v), rules[below]), b.and_(b.ashr(v, bits), rules[even]))
        return b.ashr(b.add(b.add(v, rules[half]), last), bits)

    def leaked(self, u: Value, keep: Value) -> Value:
        """u * keep / 4096, rounded."""
        bits = _constant(self.work, LEAK_BITS)
        return self.divided(self.b.mul(u, keep), bits, LEAK_HALF, LEAK_BELOW, LEAK_EVEN)

    def quickly_leaked(self, u: Value, keep: Value) -> Value:
        """The same in 16 bits, where keep < 4096 and the rounding is floor or toward zero.

        With K = 16 keep, u K = 2**16 (the floor of the result) + its fraction. The product of 16 bits takes K
        for K - 2**16 where that is the larger half, so u comes back there.
        """
        b, wide = self.b, _vector(_INT)
        factor = b.shl(keep, _constant(_SHORT, 4))
        high = b.trunc(b.lshr(b.mul(b.sext(u, wide), b.sext(factor, wide)), _constant(_INT, 16)), self.kind)
        floor = b.add(high, b.and_(u, self.negative(factor)))
        fraction = b.sext(b.icmp_unsigned("!=", b.mul(u, factor), _constant(_SHORT, 0)), self.kind)
        toward_zero = b.sext(b.icmp_unsigned("!=", self.rules[LEAK_BELOW], _constant(_SHORT, 0)), self.kind)
        return b.sub(floor, b.and_(b.and_(self.negative(u), toward_zero), fraction))

    def scaled(self, total: Value) -> Value:
        """total * 2**weight_exp, rounded."""
        left = self.b.shl(total, self.rules[LEFT])
        return self.divided(left, self.rules[RIGHT], SHIFT_HALF, SHIFT_BELOW, SHIFT_EVEN)

    def added(self, leaked: Value, change: Value) -> Value:
        """Their sum, fitted to the state. 16 bits are asked for only where the state saturates."""
        b, rules = self.b, self.rules
        if self.work.width == _SHORT.width:
            v = _call(b, f"llvm.sadd.sat.v{LANES}i16", self.kind, [leaked, change])
        else:
            offset = b.sub(b.add(leaked, change), rules[LOW])
            v = b.add(b.and_(offset, rules[MASK]), rules[LOW])
        v = b.select(b.icmp_signed("<", v, rules[CLIP_LOW]), rules[CLIP_LOW], v)
        return b.select(b.icmp_signed(">", v, rules[HIGH]), rules[HIGH], v)


def _resized(b: Builder, v: Value, kind: Any) -> Value:
    """Integers in another width."""
    have, want = v.type.element.width, kind.width
    return v if have == want else (b.trunc if have > want else b.sext)(v, _vector(kind))


def _neurons_body(function: Any, work: Any, state: Any, quick: bool) -> None:
    total, u, before, vectors, gap, rules, spikes, blocks = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    step, leak = _Step(b, rules, work), _Step(b, rules, _INT)
    moved = cgutils.alloca_once_value(b, _constant(state, 0))
    spiked = cgutils.alloca_once_value(b, _constant(_BYTE, 0))
    zero = b.sub(_constant(work, 0), step.rules[ZERO])
    with cgutils.for_range(b, blocks) as loop:
        at = b.mul(loop.index, _LONG(LANES))
        rows = [_after(b, vectors, b.add(at, b.mul(gap, _LONG(k))), work) for k in range(KEEP + 1)]
        bias, threshold, drop, keep = (_load(b, row, step.kind) for row in rows)
        place = _after(b, u, at, state)
        old = _load(b, place, _vector(state))
        fired = b.sub(_constant(work, 0), b.zext(_load(b, b.gep(before, [at]), _vector(_BYTE)), step.kind))
        left = b.and_(_resized(b, old, work), b.not_(b.and_(fired, zero)))
        here = _load(b, _after(b, total, at, work), step.kind)
        if quick:
            leaked, here = step.quickly_leaked(left, keep), b.shl(here, step.rules[LEFT])
        else:
            leaked = _resized(b, leak.leaked(_resized(b, left, _INT), _resized(b, keep, _INT)), work)
            here = step.scaled(here)
        found = step.added(leaked, b.sub(b.add(here, bias), b.and_(drop, fired)))
        new, s = _resized(b, found, state), b.zext(b.icmp_signed(">=", found, threshold), _vector(_BYTE))
        _store(b, s, b.gep(spikes, [at]))
        _store(b, new, place)
        b.store(b.or_(b.load(moved), b.xor(new, old)), moved)
        b.store(b.or_(b.load(spiked), s), spiked)
    last = b.or_(b.zext(b.load(spiked), _vector(_INT)), _resized(b, b.load(moved), _INT))
    b.ret(b.zext(_call(b, f"llvm.vector.reduce.or.v{LANES}i32", _INT, [last]), _LONG))


@intrinsic  # type: ignore[misc]
def step_lanes(
    typing: Any, total: Any, total_at: Any, u: Any, u_at: Any, before: Any, vectors: Any, vectors_at: Any,
    rules: Any, spikes: Any, at: Any, lanes: Any,
) -> Any:  # fmt: skip
    """One step of `lanes` neurons, whole vectors; not 0 if a membrane changed or one fired.

    total: weighted sums, int16 or int32, in which all is reckoned; the plan knows that it fits. u: membranes,
    as wide or narrower. before, spikes: bytes of 0 or 1, from `at` on: of the step before, and out. vectors:
    (5, neurons) of the total's type. Sums, membranes and vectors start where the arguments say.
    """
    integer = types.int64

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds, pointer = signature.args, _BYTE.as_pointer()
        work, state = (ir.IntType(kinds[i].dtype.bitwidth) for i in (0, 2))
        data = {i: _data(context, b, kinds[i], values[i]) for i in (0, 2, 4, 5, 7, 8)}
        table = context.make_array(kinds[5])(context, b, values[5])
        gap = cgutils.unpack_tuple(b, table.shape, 2)[1]
        arguments = (pointer, pointer, pointer, pointer, _LONG, pointer, pointer, _LONG)
        functions = []
        for quick in (False, True)[: 1 + (work.width == state.width == _SHORT.width)]:
            name = f"sast.neurons.{work.width}.{state.width}{'.quick' * quick}"
            function, new = _function(b, name, _LONG, arguments)
            if new:
                _neurons_body(function, work, state, quick)
            functions.append(function)
        given = (
            _after(b, data[0], values[1], work), _after(b, data[2], values[3], state),
            b.gep(data[4], [values[9]]), _after(b, data[5], values[6], work), gap, data[7],
            b.gep(data[8], [values[9]]), b.sdiv(values[10], _LONG(LANES)),
        )  # fmt: skip
        if len(functions) == 1:
            return b.call(functions[0], given)
        entry = _load(b, b.gep(data[7], [_LONG(8 * QUICK)]), _LONG)
        return b.call(b.select(b.icmp_signed("!=", entry, _LONG(0)), functions[1], functions[0]), given)

    return integer(
        total, integer, u, integer, before, vectors, integer, rules, spikes, integer, integer
    ), generate
