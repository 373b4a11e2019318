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
        kinds, pointer = signature.args, BYTE.as_pointer()
        work, state = (ir.IntType(kinds[i].dtype.bitwidth) for i in (0, 2))
        data = {i: data_of(context, b, kinds[i], values[i]) for i in (0, 2, 4, 5, 7, 8)}
        table = context.make_array(kinds[5])(context, b, values[5])
        gap = tools.unpack_tuple(b, table.shape, 2)[1]
        arguments = (pointer, pointer, pointer, pointer, LONG, pointer, pointer, LONG)
        functions = []
        for quick in (False, True)[: 1 + (work.width == state.width == SHORT.width)]:
            name = f"sast.neurons.{work.width}.{state.width}{'.quick' * quick}"
            function, new = function_of(b, name, LONG, arguments)
            if new:
                _neurons_body(function, work, state, quick)
            functions.append(function)
        given = (
            after(b, data[0], values[1], work), after(b, data[2], values[3], state),
            b.gep(data[4], [values[9]]), after(b, data[5], values[6], work), gap, data[7],
            b.gep(data[8], [values[9]]), b.sdiv(values[10], LONG(LANES)),
        )  # fmt: skip
        if len(functions) == 1:
            return b.call(functions[0], given)
        entry = load(b, b.gep(data[7], [LONG(8 * QUICK)]), LONG)
        return b.call(b.select(b.icmp_signed("!=", entry, LONG(0)), functions[1], functions[0]), given)

    return integer(
        total, integer, u, integer, before, vectors, integer, rules, spikes, integer, integer
    ), generate
