"""The LIF step of whole vectors of neurons, in 16 or 32 bits; the formulas are those of neurons.py."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from sast_deploy.engines.fast.emit import (
    BYTE,
    INT,
    LANES,
    LONG,
    POINTER,
    SHORT,
    Builder,
    Value,
    after,
    call,
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
from sast_deploy.engines.fast.neurons import (
    CLIP_LOW,
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
    ZERO,
)
from sast_deploy.program.program import LEAK_BITS


class _Step:
    """The LIF step of one vector of neurons, in `work` bits; see neurons.py for the formulas."""

    def __init__(self, b: Builder, rules: Value, work: Any) -> None:
        self.b, self.work, self.kind = b, work, vector(work)
        values = [load(b, b.gep(rules, [LONG(8 * number)]), LONG) for number in range(MASK + 1)]
        self.rules = [splat(b, b.trunc(value, work)) for value in values]

    def negative(self, v: Value) -> Value:
        """All bits where v < 0."""
        return self.b.ashr(v, constant(self.work, self.work.width - 1))

    def divided(self, v: Value, bits: Value, half: int, below: int, even: int) -> Value:
        """v / 2**bits, rounded as these three rules say."""
        b, rules = self.b, self.rules
        last = b.add(b.and_(self.negative(v), rules[below]), b.and_(b.ashr(v, bits), rules[even]))
        return b.ashr(b.add(b.add(v, rules[half]), last), bits)

    def leaked(self, u: Value, keep: Value) -> Value:
        """u * keep / 4096, rounded."""
        bits = constant(self.work, LEAK_BITS)
        return self.divided(self.b.mul(u, keep), bits, LEAK_HALF, LEAK_BELOW, LEAK_EVEN)

    def quickly_leaked(self, u: Value, keep: Value) -> Value:
        """The same in 16 bits, where keep < 4096 and the rounding is floor or toward zero.

        With K = 16 keep, u K = 2**16 (the floor of the result) + its fraction. The product of 16 bits takes K
        for K - 2**16 where that is the larger half, so u comes back there.
        """
        b, wide = self.b, vector(INT)
        factor = b.shl(keep, constant(SHORT, 4))
        high = b.trunc(b.lshr(b.mul(b.sext(u, wide), b.sext(factor, wide)), constant(INT, 16)), self.kind)
        floor = b.add(high, b.and_(u, self.negative(factor)))
        fraction = b.sext(b.icmp_unsigned("!=", b.mul(u, factor), constant(SHORT, 0)), self.kind)
        toward_zero = b.sext(b.icmp_unsigned("!=", self.rules[LEAK_BELOW], constant(SHORT, 0)), self.kind)
        return b.sub(floor, b.and_(b.and_(self.negative(u), toward_zero), fraction))

    def scaled(self, total: Value) -> Value:
        """total * 2**weight_exp, rounded."""
        left = self.b.shl(total, self.rules[LEFT])
        return self.divided(left, self.rules[RIGHT], SHIFT_HALF, SHIFT_BELOW, SHIFT_EVEN)

    def added(self, leaked: Value, change: Value) -> Value:
        """Their sum, fitted to the state. 16 bits are asked for only where the state saturates."""
        b, rules = self.b, self.rules
        if self.work.width == SHORT.width:
            v = call(b, f"llvm.sadd.sat.v{LANES}i16", self.kind, [leaked, change])
        else:
            offset = b.sub(b.add(leaked, change), rules[LOW])
            v = b.add(b.and_(offset, rules[MASK]), rules[LOW])
        v = b.select(b.icmp_signed("<", v, rules[CLIP_LOW]), rules[CLIP_LOW], v)
        return b.select(b.icmp_signed(">", v, rules[HIGH]), rules[HIGH], v)


def _resized(b: Builder, v: Value, kind: Any) -> Value:
    """Integers in another width."""
    have, want = v.type.element.width, kind.width
    return v if have == want else (b.trunc if have > want else b.sext)(v, vector(kind))


def _neurons_body(function: Any, work: Any, state: Any, quick: bool) -> None:
    total, u, before, vectors, gap, rules, spikes, blocks = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    step, leak = _Step(b, rules, work), _Step(b, rules, INT)
    moved = tools.alloca_once_value(b, constant(state, 0))
    spiked = tools.alloca_once_value(b, constant(BYTE, 0))
    zero = b.sub(constant(work, 0), step.rules[ZERO])
    with tools.for_range(b, blocks) as loop:
        at = b.mul(loop.index, LONG(LANES))
        rows = [after(b, vectors, b.add(at, b.mul(gap, LONG(k))), work) for k in range(KEEP + 1)]
        bias, threshold, drop, keep = (load(b, row, step.kind) for row in rows)
        place = after(b, u, at, state)
        old = load(b, place, vector(state))
        fired = b.sub(constant(work, 0), b.zext(load(b, b.gep(before, [at]), vector(BYTE)), step.kind))
        left = b.and_(_resized(b, old, work), b.not_(b.and_(fired, zero)))
        here = load(b, after(b, total, at, work), step.kind)
        if quick:
            leaked, here = step.quickly_leaked(left, keep), b.shl(here, step.rules[LEFT])
        else:
            leaked = _resized(b, leak.leaked(_resized(b, left, INT), _resized(b, keep, INT)), work)
            here = step.scaled(here)
        found = step.added(leaked, b.sub(b.add(here, bias), b.and_(drop, fired)))
        new, s = _resized(b, found, state), b.zext(b.icmp_signed(">=", found, threshold), vector(BYTE))
        store(b, s, b.gep(spikes, [at]))
        store(b, new, place)
        b.store(b.or_(b.load(moved), b.xor(new, old)), moved)
        b.store(b.or_(b.load(spiked), s), spiked)
    last = b.or_(b.zext(b.load(spiked), vector(INT)), _resized(b, b.load(moved), INT))
    b.ret(b.zext(call(b, f"llvm.vector.reduce.or.v{LANES}i32", INT, [last]), LONG))


@emitted
def step_lanes(
    typing: Any, total: Any, u: Any, before: Any, vectors: Any, rules: Any, spikes: Any, at: Any, lanes: Any
) -> Any:
    """One step of `lanes` neurons, whole vectors; not 0 if a membrane changed or one fired.

    total: weighted sums, int16 or int32, in which all is reckoned; the plan knows that it fits. u: membranes,
    as wide or narrower. before, spikes: bytes of 0 or 1: of the step before, and out. vectors: (5, neurons)
    of the total's type. at: where these neurons' sums, membranes, constants and spikes begin.
    """

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds = signature.args
        work, state = (ir.IntType(kinds[i].dtype.bitwidth) for i in (0, 1))
        data = [data_of(context, b, kind, value) for kind, value in zip(kinds[:6], values[:6], strict=True)]
        table = context.make_array(kinds[3])(context, b, values[3])
        gap = tools.unpack_tuple(b, table.shape, 2)[1]
        sums_at, membranes_at, constants_at, spikes_at = tools.unpack_tuple(b, values[6], 4)
        given = (
            after(b, data[0], sums_at, work), after(b, data[1], membranes_at, state),
            b.gep(data[2], [spikes_at]), after(b, data[3], constants_at, work), gap, data[4],
            b.gep(data[5], [spikes_at]), b.sdiv(values[7], LONG(LANES)),
        )  # fmt: skip
        general = _neurons(b, work, state, quick=False)
        if not work.width == state.width == SHORT.width:
            return b.call(general, given)
        quick = b.icmp_signed("!=", load(b, b.gep(data[4], [LONG(8 * QUICK)]), LONG), LONG(0))
        return b.call(b.select(quick, _neurons(b, work, state, quick=True), general), given)

    integer = types.int64
    return integer(total, u, before, vectors, rules, spikes, _FOUR, integer), generate


numba_types: Any = types
_FOUR = numba_types.UniTuple(types.int64, 4)


def _neurons(b: Builder, work: Any, state: Any, quick: bool) -> Any:
    arguments = (POINTER, POINTER, POINTER, POINTER, LONG, POINTER, POINTER, LONG)
    name = f"sast.neurons.{work.width}.{state.width}{'.quick' * quick}"
    function, new = function_of(b, name, LONG, arguments)
    if new:
        _neurons_body(function, work, state, quick)
    return function
