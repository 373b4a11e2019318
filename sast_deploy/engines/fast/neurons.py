"""The LIF step, free of branches: every rounding, overflow, comparison and reset is a set of constants.

    divide by 2**n    (v + half + (v >> last & below) + (v >> n & even)) >> n
                      toward-zero: below = 2**n - 1; floor: nothing; half-up: half = 2**(n-1);
                      half-even: half = 2**(n-1) - 1, even = 1           (`last` is the sign bit)
    fit               clip(((v - low) & mask) + low, low', high); mask is -1 unless the state wraps
    comparison        u >= threshold, where > becomes >= vth + 1
    reset             subtract: the vector `drop` is vth and `zero` 0; zero: `drop` is 0 and `zero` 1;
                      before the leak: what `advance` will take off the sum moves there from u first

The loops are kept short and each writes few arrays, so that the compiler can prove them independent and
use vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.compiled import inlined
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import CURRENT, LEAK_BITS

# Rows of `vectors`, each one value per neuron.
BIAS, THRESHOLD, DROP, KEEP, KEEP_CURRENT = range(5)
# Entries of `rules`, int64.
LEFT, RIGHT, SHIFT_HALF, SHIFT_BELOW, SHIFT_EVEN = range(5)
LEAK_HALF, LEAK_BELOW, LEAK_EVEN, ZERO, LOW, CLIP_LOW, HIGH, MASK = range(5, 13)
FILTERED, INTERVAL, OFFSET, RECURRENT, BINARY, MOST, QUICK, EARLY = range(13, 21)
RULES = 21
KEPT, FLOOR, TOWARD_ZERO = 1, 2, 3  # as QUICK: short ways through steps.py: no leak, or a leak so rounded
UNCHECKED = 1 << 62  # as MOST, the largest input: whatever the inputs' type holds

CURRENT_LOW, CURRENT_MASK = CURRENT.low, (1 << CURRENT.bits) - 1


def division(exponent: int, rounding: str) -> tuple[int, int, int]:
    """(half, below, even) of the formula above, for value / 2**exponent."""
    if exponent == 0 or rounding == "floor":
        return 0, 0, 0
    if rounding == "toward-zero":
        return 0, (1 << exponent) - 1, 0
    half = 1 << (exponent - 1)
    return (half, 0, 0) if rounding == "half-up" else (half - 1, 0, 1)


def rule_constants(arithmetic: Arithmetic, weight_exp: int) -> npt.NDArray[np.int64]:
    """The entries LEFT..MASK of `rules`; the rest 0."""
    state, overflow = arithmetic.state, arithmetic.overflow
    rules = np.zeros(RULES, np.int64)
    rules[LEFT], rules[RIGHT] = max(weight_exp, 0), max(-weight_exp, 0)
    rules[SHIFT_HALF : SHIFT_EVEN + 1] = division(max(-weight_exp, 0), arithmetic.shift_rounding)
    rules[LEAK_HALF : LEAK_EVEN + 1] = division(LEAK_BITS, arithmetic.leak_rounding)
    rules[ZERO] = arithmetic.reset == "zero"
    rules[LOW], rules[HIGH] = state.low, state.high
    rules[CLIP_LOW] = state.lowest(overflow)
    rules[MASK] = (1 << state.bits) - 1 if overflow == "wrap" else -1
    return rules


@inlined
def step_neurons(
    total: Any, current: Any, u: Any, before: Any, vectors: Any, rules: Any, spikes: Any, counts: Any
) -> None:  # pragma: no cover
    """One step of all neurons from their weighted sums, in blocks that stay in the first-level cache."""
    low = 0
    while low < len(u):
        high = min(low + 1024, len(u))
        scale(total, low, high, rules)
        if rules[FILTERED]:
            filter_current(total, current, vectors, low, high, rules)
        if rules[EARLY]:
            reset_early(u, total, before, vectors, low, high)
        advance(u, total, before, vectors, low, high, rules)
        fire(u, vectors, low, high, spikes, counts)
        low = high


@inlined
def scale(total: Any, low: int, high: int, rules: Any) -> None:  # pragma: no cover
    """total <- shift(total, weight_exp)."""
    cast = total.dtype.type
    sign = cast(8 * total.itemsize - 1)
    left, right = cast(rules[LEFT]), cast(rules[RIGHT])
    half, below, even = cast(rules[SHIFT_HALF]), cast(rules[SHIFT_BELOW]), cast(rules[SHIFT_EVEN])
    if left or right:
        for k in range(np.uint64(low), np.uint64(high)):
            v = cast(total[k] << left)
            total[k] = cast(v + half + ((v >> sign) & below) + ((v >> right) & even)) >> right


@inlined
def filter_current(
    total: Any, current: Any, vectors: Any, low: int, high: int, rules: Any
) -> None:  # pragma: no cover
    """current <- wrap(leak(current) + total), and total <- current, where there is a filter; int64 only."""
    half, below, even = rules[LEAK_HALF], rules[LEAK_BELOW], rules[LEAK_EVEN]
    for k in range(np.uint64(low), np.uint64(high)):
        keep = np.int64(vectors[KEEP_CURRENT, k])
        v = current[k] * keep
        kept = (v + half + ((v >> 63) & below) + ((v >> LEAK_BITS) & even)) >> LEAK_BITS
        wrapped = ((kept + total[k] - CURRENT_LOW) & CURRENT_MASK) + CURRENT_LOW
        filtered = -np.int64(keep != 0)
        current[k] = wrapped & filtered
        total[k] = (wrapped & filtered) | (total[k] & ~filtered)


@inlined
def reset_early(
    u: Any, total: Any, before: Any, vectors: Any, low: int, high: int
) -> None:  # pragma: no cover
    """u <- u - drop * spike before, and total <- total + the same, which `advance` takes off again."""
    cast = u.dtype.type
    for k in range(np.uint64(low), np.uint64(high)):
        drop = vectors[DROP, k] & cast(-cast(before[k]))
        u[k] = cast(u[k] - drop)
        total[k] = cast(total[k] + drop)


@inlined
def advance(
    u: Any, total: Any, before: Any, vectors: Any, low: int, high: int, rules: Any
) -> None:  # pragma: no cover
    """u <- fit(leak(u after its reset) + total + bias - drop * spike before)."""
    cast = u.dtype.type
    sign, leak_bits = cast(8 * u.itemsize - 1), cast(LEAK_BITS)
    half, below, even = cast(rules[LEAK_HALF]), cast(rules[LEAK_BELOW]), cast(rules[LEAK_EVEN])
    zero, lowest, mask = cast(-rules[ZERO]), cast(rules[LOW]), cast(rules[MASK])
    clip_low, clip_high = cast(rules[CLIP_LOW]), cast(rules[HIGH])
    for k in range(np.uint64(low), np.uint64(high)):
        fired = cast(-cast(before[k]))  # all bits, or none
        v = cast(u[k] * cast(vectors[KEEP, k] & ~(fired & zero)))
        leaked = cast(v + half + ((v >> sign) & below) + ((v >> leak_bits) & even)) >> leak_bits
        v = cast(leaked + total[k] + vectors[BIAS, k] - (vectors[DROP, k] & fired))
        v = cast((cast(v - lowest) & mask) + lowest)
        u[k] = min(max(v, clip_low), clip_high)


@inlined
def fire(u: Any, vectors: Any, low: int, high: int, spikes: Any, counts: Any) -> None:  # pragma: no cover
    """spikes <- u >= threshold; counts <- counts + spikes."""
    for k in range(np.uint64(low), np.uint64(high)):
        s = np.uint8(u[k] >= vectors[THRESHOLD, k])
        spikes[k] = s
        counts[k] += s
