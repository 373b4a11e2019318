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
    PRODUCT,
    QUICK,
    RIGHT,
    RULES,
    SHIFT,
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
        values = [load(b, b.gep(rules, [LONG(8 * number)]), LONG) for number in range(RULES)]
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

    def shifted(self, u: Value) -> Value:
        """The same where all neurons keep 2**-n of it, floor or toward zero."""
        b, one = self.b, constant(self.work, 1)
        bits = b.sub(self.rules[QUICK], constant(self.work, SHIFT))
        toward_zero = b.sext(b.icmp_unsigned("!=", self.rules[LEAK_BELOW], constant(SHORT, 0)), self.kind)
        below = b.and_(b.sub(b.shl(one, bits), one), toward_zero)
        return b.ashr(b.add(u, b.and_(self.negative(u), below)), bits)

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


_ARGUMENTS = (POINTER, POINTER, POINTER, POINTER, LONG, POINTER, POINTER, POINTER, LONG, LONG, LONG)
PLACE, GROUP, MOVED = range(3)  # columns of the active places
numba_types: Any = types
_THREE = numba_types.UniTuple(types.int64, 3)


def _places_body(function: Any, work: Any, state: Any, way: int) -> None:
    """All active places, one after the other: what one writes beyond its neurons the next overwrites."""
    total, u, before, vectors, gap, rules, spikes, active, lists, outputs, lanes = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    step, leak = _Step(b, rules, work), _Step(b, rules, INT)
    moved, spiked = tools.alloca_once(b, vector(state)), tools.alloca_once(b, vector(BYTE))
    with tools.for_range(b, lists) as lister:
        row = after(b, active, b.mul(lister.index, LONG(3)), LONG)
        place, group = (load(b, b.gep(row, [LONG(8 * column)]), LONG) for column in (PLACE, GROUP))
        b.store(constant(state, 0), moved)
        b.store(constant(BYTE, 0), spiked)
        with tools.for_range(b, b.sdiv(lanes, LONG(LANES))) as loop:
            at = b.mul(loop.index, LONG(LANES))
            pointers = (
                after(b, total, b.add(b.mul(lister.index, lanes), at), work),
                after(b, u, b.add(b.mul(place, lanes), at), state),
                b.gep(before, [b.add(b.mul(place, outputs), at)]),
                after(b, vectors, b.add(b.mul(group, lanes), at), work),
                b.gep(spikes, [b.add(b.mul(place, outputs), at)]),
            )
            old, new, s = _neurons(b, step, leak, pointers, gap, state, way)
            b.store(b.or_(b.load(moved), b.xor(new, old)), moved)
            b.store(b.or_(b.load(spiked), s), spiked)
        last = b.or_(_resized(b, b.zext(b.load(spiked), vector(SHORT)), state), b.load(moved))
        quiet = b.bitcast(b.icmp_unsigned("!=", last, constant(state, 0)), INT)
        store(b, b.zext(b.icmp_unsigned("!=", quiet, INT(0)), LONG), b.gep(row, [LONG(8 * MOVED)]))
    b.ret_void()


def _neurons(
    b: Builder, step: _Step, leak: _Step, pointers: Any, gap: Value, state: Any, way: int
) -> tuple[Value, Value, Value]:
    """One vector of neurons: its membranes before and after, and its spikes."""
    total, u, before, vectors, spikes = pointers
    work, silent = step.work, constant(step.work, 0)
    rows = [after(b, vectors, b.mul(gap, LONG(k)), work) for k in range(KEEP + 1)]
    bias, threshold, drop, keep = (load(b, row, step.kind) for row in rows)
    old = load(b, u, vector(state))
    fired = b.sub(silent, b.zext(load(b, before, vector(BYTE)), step.kind))
    kept = b.and_(_resized(b, old, work), b.not_(b.and_(fired, b.sub(silent, step.rules[ZERO]))))
    here = load(b, total, step.kind)
    if way:
        leaked = step.shifted(kept) if way == SHIFT else step.quickly_leaked(kept, keep)
        here = b.shl(here, step.rules[LEFT])
    else:
        leaked = _resized(b, leak.leaked(_resized(b, kept, INT), _resized(b, keep, INT)), work)
        here = step.scaled(here)
    found = step.added(leaked, b.sub(b.add(here, bias), b.and_(drop, fired)))
    new, s = _resized(b, found, state), b.zext(b.icmp_signed(">=", found, threshold), vector(BYTE))
    store(b, s, spikes)
    store(b, new, u)
    return old, new, s


@emitted
def step_places(
    typing: Any, total: Any, u: Any, before: Any, vectors: Any, rules: Any, spikes: Any, active: Any,
    sizes: Any,
) -> Any:  # fmt: skip
    """One step of all neurons of some places, in ascending order.

    total: weighted sums (lists, lanes), int16 or int32, in which all is reckoned; the plan knows that it
    fits. u: membranes (places * lanes,), as wide or narrower. before, spikes: bytes of 0 or 1 (places *
    outputs and a vector more): of the step before, and out. vectors: (5, groups * lanes) of the total's type.
    active: int64 (lists or more, 3): place and group; out: not 0 if a membrane changed or one fired. sizes:
    lists, outputs of a place, lanes of a place.
    """

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds = signature.args
        work, state = (ir.IntType(kinds[i].dtype.bitwidth) for i in (0, 1))
        data = [data_of(context, b, kind, value) for kind, value in zip(kinds[:7], values[:7], strict=True)]
        table = context.make_array(kinds[3])(context, b, values[3])
        gap = tools.unpack_tuple(b, table.shape, 2)[1]
        given = (*data[:4], gap, *data[4:], *tools.unpack_tuple(b, values[7], 3))
        chosen = _steps(b, work, state, 0)
        if work.width == state.width == SHORT.width:
            quick = load(b, b.gep(data[4], [LONG(8 * QUICK)]), LONG)
            for way in (PRODUCT, SHIFT):
                reached = b.icmp_signed(">=", quick, LONG(way))
                chosen = b.select(reached, _steps(b, work, state, way), chosen)
        b.call(chosen, given)
        return context.get_dummy_value()

    return types.void(total, u, before, vectors, rules, spikes, active, _THREE), generate


def _steps(b: Builder, work: Any, state: Any, way: int) -> Any:
    name = f"sast.places.{work.width}.{state.width}.{way}"
    function, new = function_of(b, name, ir.VoidType(), _ARGUMENTS)
    if new:
        _places_body(function, work, state, way)
    return function
