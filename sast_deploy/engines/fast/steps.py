"""The LIF step of whole vectors of neurons, in 16 or 32 bits; the formulas are those of neurons.py."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from sast_deploy.engines.fast.emit import (
    BIT,
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
    EARLY,
    FLOOR,
    HIGH,
    KEEP,
    KEPT,
    LEAK_BELOW,
    LEAK_EVEN,
    LEAK_HALF,
    LEFT,
    LOW,
    MASK,
    QUICK,
    RIGHT,
    RULES,
    SHIFT_BELOW,
    SHIFT_EVEN,
    SHIFT_HALF,
    TOWARD_ZERO,
    ZERO,
)
from sast_deploy.program.program import LEAK_BITS


class _Step:
    """The LIF step of one vector of neurons, in `work` bits; see neurons.py for the formulas."""

    def __init__(self, b: Builder, rules: Value, work: Any, lanes: int) -> None:
        self.b, self.work, self.lanes, self.kind = b, work, lanes, vector(work, lanes)
        self.pointer = rules
        values = [load(b, b.gep(rules, [LONG(8 * number)]), LONG) for number in range(RULES)]
        self.rules = [splat(b, b.trunc(value, work), lanes) for value in values]

    def number(self, value: int) -> Value:
        """The same number in every lane."""
        return constant(self.work, value, self.lanes)

    def divided(self, v: Value, bits: Value, half: int, below: int, even: int) -> Value:
        """v / 2**bits, rounded as these three rules say."""
        b, rules = self.b, self.rules
        negative = b.ashr(v, self.number(self.work.width - 1))  # all bits, or none
        last = b.add(b.and_(negative, rules[below]), b.and_(b.ashr(v, bits), rules[even]))
        return b.ashr(b.add(b.add(v, rules[half]), last), bits)

    def leaked(self, u: Value, keep: Value) -> Value:
        """u * keep / 4096, rounded."""
        bits = self.number(LEAK_BITS)
        return self.divided(self.b.mul(u, keep), bits, LEAK_HALF, LEAK_BELOW, LEAK_EVEN)

    def scaled(self, total: Value) -> Value:
        """total * 2**weight_exp, rounded."""
        left = self.b.shl(total, self.rules[LEFT])
        return self.divided(left, self.rules[RIGHT], SHIFT_HALF, SHIFT_BELOW, SHIFT_EVEN)

    def added(self, leaked: Value, change: Value) -> Value:
        """Their sum, fitted to the state. 16 bits are asked for only where the state saturates."""
        b, rules = self.b, self.rules
        if self.work.width == SHORT.width:
            v = call(b, f"llvm.sadd.sat.v{self.lanes}i16", self.kind, [leaked, change])
        else:
            offset = b.sub(b.add(leaked, change), rules[LOW])
            v = b.add(b.and_(offset, rules[MASK]), rules[LOW])
        v = b.select(b.icmp_signed("<", v, rules[CLIP_LOW]), rules[CLIP_LOW], v)
        return b.select(b.icmp_signed(">", v, rules[HIGH]), rules[HIGH], v)


def _resized(b: Builder, v: Value, kind: Any) -> Value:
    """Integers in another width."""
    have, want = v.type.element.width, kind.width
    return v if have == want else (b.trunc if have > want else b.sext)(v, vector(kind, v.type.count))


def _quickly_leaked(b: Builder, u: Value, keep: Value, way: int) -> Value:
    """u * keep / 4096 in 16 bits, where keep < 4096 and the rounding is `way`; or where it is KEPT.

    With K = 16 keep, which 16 bits without a sign hold, it is |u| K / 2**16 with the sign of u, toward zero;
    and its floor is ((u + 2**15) K / 2**16) - K / 2.
    """
    if way == KEPT:
        return u
    lanes, double = u.type.count, vector(INT, u.type.count)
    factor, zero = b.shl(keep, constant(SHORT, 4, lanes)), constant(SHORT, 0, lanes)
    if way == FLOOR:
        size = b.xor(u, constant(SHORT, -(1 << 15), lanes))
    else:
        size = call(b, f"llvm.abs.v{lanes}i16", u.type, [u, BIT(0)])
    product = b.mul(b.zext(size, double), b.zext(factor, double))
    high = b.trunc(b.lshr(product, constant(INT, 16, lanes)), u.type)
    if way == FLOOR:
        return b.sub(high, b.lshr(factor, constant(SHORT, 1, lanes)))
    return b.select(b.icmp_signed("<", u, zero), b.sub(zero, high), high)


_ARGUMENTS = (*4 * (POINTER,), LONG, *4 * (POINTER,), *4 * (LONG,))
TAIL = LANES // 2
numba_types: Any = types
# Short ways and whether the reset is early, beside the general step of a late one.
WAYS = ((0, True), (KEPT, False), (FLOOR, False), (TOWARD_ZERO, False), (FLOOR, True), (TOWARD_ZERO, True))
_FOUR = numba_types.UniTuple(types.int64, 4)


def _places_body(function: Any, work: Any, state: Any, way: int, early: bool) -> None:
    """All active places, one vector of each after the other's, so that constants are loaded once.

    What a place writes beyond its neurons its neighbour overwrites, since last vectors come first.
    """
    outputs, kinds = function.args[10], (work, state, way, early)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    whole = b.sdiv(b.add(outputs, LONG(TAIL - 1)), LONG(LANES))
    first = b.mul(whole, LONG(LANES))
    with b.if_then(b.icmp_signed("<", first, outputs)):
        _vectors(b, function.args, kinds, TAIL, first)
    with tools.for_range(b, whole) as loop:
        at = b.mul(b.sub(b.sub(whole, loop.index), LONG(1)), LONG(LANES))
        _vectors(b, function.args, kinds, LANES, at)
    b.ret_void()


def _vectors(b: Builder, arguments: Any, kinds: Any, lanes: int, at: Value) -> None:
    """So many neurons from `at` on of every active place."""
    total, u, before, vectors, gap, rules, spikes, active, moved, lists, outputs, stride, by_place = arguments
    work, state, *_ = kinds
    step = _Step(b, rules, work, lanes)
    constants = [tools.alloca_once(b, step.kind) for _ in range(KEEP + 1)]

    def take_constants(group: Value) -> None:
        for number, each in enumerate(constants):
            begin = b.add(b.mul(gap, LONG(number)), b.add(b.mul(group, stride), at))
            b.store(load(b, after(b, vectors, begin, work), step.kind), each)

    take_constants(LONG(0))
    scattered = b.icmp_signed("!=", by_place, LONG(0))
    with tools.for_range(b, lists) as lister:
        place = b.zext(load(b, after(b, active, lister.index, INT), INT), LONG)
        with b.if_then(b.icmp_signed("!=", gap, stride)):
            take_constants(b.urem(place, b.udiv(gap, stride)))
        first, row = b.add(b.mul(place, outputs), at), b.select(scattered, place, lister.index)
        pointers = (
            after(b, total, b.add(b.mul(row, stride), at), work),
            after(b, u, b.add(b.mul(place, stride), at), state),
            b.gep(before, [first]),
            b.gep(spikes, [first]),
        )
        changed = _neurons(b, step, [b.load(each) for each in constants], pointers, kinds)
        flag = b.gep(moved, [place])
        b.store(b.or_(b.load(flag), b.zext(b.icmp_unsigned("!=", changed, changed.type(0)), BYTE)), flag)


def _neurons(b: Builder, step: _Step, constants: list[Value], pointers: Any, kinds: Any) -> Value:
    """One vector of neurons; a bit for each: whether its membrane changed, or it fired."""
    (total, u, before, spikes), (bias, threshold, drop, keep) = pointers, constants
    work, state, way, early = kinds
    lanes, silent = step.lanes, step.number(0)
    old, here = load(b, u, vector(state, lanes)), load(b, total, step.kind)
    fired = b.icmp_unsigned("!=", load(b, before, vector(BYTE, lanes)), constant(BYTE, 0, lanes))
    dropped, wide = b.select(fired, drop, silent), state if way else INT
    if early:
        kept = b.sub(_resized(b, old, wide), _resized(b, dropped, wide))
    else:
        zeroed = b.and_(fired, b.icmp_unsigned("!=", step.rules[ZERO], silent))
        kept = _resized(b, b.select(zeroed, constant(state, 0, lanes), old), wide)
    if way:
        leaked = _resized(b, _quickly_leaked(b, kept, _resized(b, keep, state), way), work)
        here = b.shl(here, step.rules[LEFT])
    else:
        general = _Step(b, step.pointer, INT, lanes)
        leaked = _resized(b, general.leaked(kept, _resized(b, keep, INT)), work)
        here = step.scaled(here)
    change = b.add(here, bias)
    found = step.added(leaked, change if early else b.sub(change, dropped))
    new, fires = _resized(b, found, state), b.icmp_signed(">=", found, threshold)
    store(b, b.zext(fires, vector(BYTE, lanes)), spikes)
    store(b, new, u)
    return b.bitcast(b.or_(fires, b.icmp_unsigned("!=", new, old)), ir.IntType(lanes))


@emitted
def step_places(
    typing: Any, total: Any, u: Any, before: Any, vectors: Any, rules: Any, spikes: Any, active: Any,
    moved: Any, sizes: Any,
) -> Any:  # fmt: skip
    """One step of all neurons of some places, in ascending order.

    total: weighted sums (rows, lanes), int16 or int32, in which all is reckoned; the plan knows that it
    fits. u: membranes (places * lanes,), as wide or narrower. before, spikes: bytes of 0 or 1 (places *
    outputs and a vector more): of the step before, and out. vectors: (5, groups * lanes) of the total's type.
    active: int32 (lists or more,), the places. moved: uint8 (places,); out: 1 where a membrane changed or one
    fired, else as it was. sizes: lists, outputs of a place, lanes of a place, and whether the rows of total
    are those of all places, not only of the active ones.
    """

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        kinds = signature.args
        work, state = (ir.IntType(kinds[i].dtype.bitwidth) for i in (0, 1))
        data = [data_of(context, b, kind, value) for kind, value in zip(kinds[:8], values[:8], strict=True)]
        table = context.make_array(kinds[3])(context, b, values[3])
        gap = tools.unpack_tuple(b, table.shape, 2)[1]
        given = (*data[:4], gap, *data[4:], *tools.unpack_tuple(b, values[8], 4))
        quick, early = (load(b, b.gep(data[4], [LONG(8 * number)]), LONG) for number in (QUICK, EARLY))
        wanted = b.add(b.shl(early, LONG(8)), quick)
        chosen = _steps(b, work, state, 0, False)
        for way, first in WAYS if state.width == SHORT.width else WAYS[:1]:
            here = b.icmp_signed("==", wanted, LONG(first << 8 | way))
            chosen = b.select(here, _steps(b, work, state, way, first), chosen)
        b.call(chosen, given)
        return context.get_dummy_value()

    return types.void(total, u, before, vectors, rules, spikes, active, moved, _FOUR), generate


def _steps(b: Builder, work: Any, state: Any, way: int, early: bool) -> Any:
    name = f"sast.places.{work.width}.{state.width}.{way}.{int(early)}"
    function, new = function_of(b, name, ir.VoidType(), _ARGUMENTS)
    if new:
        _places_body(function, work, state, way, early)
    return function
