"""The integer types of a C program, each as narrow as what was proved for every input allows.

Weighted sums lie within `proofs.bounds`, in whatever order they are added. Membrane potentials lie within
their format, or the narrower interval that was proved for any number of steps, and so do filtered currents.
Of a readout's logits, integrals over time, it is said how many steps a type holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Program,
    Readout,
    Resampling,
    layer_label,
)
from sast_deploy.proofs.bounds import NeuronBounds, bound_neurons, signed_bits
from sast_deploy.proofs.intervals import Interval

WIDEST = 63  # bits of a magnitude that int64 holds
MOST_STEPS = (1 << 32) - 1  # that the counter of steps holds
PACKED = (2, 3, 4)  # bits of weights of which a byte holds more than one
_HALF = 1 << (LEAK_BITS - 1)


@dataclass(frozen=True)
class Widths:
    """Bits of the signed types, 8 to 64, of `weight` 2 to 32; steps: that the logits hold between two resets.

    weight: of weights as they are stored. sum: weighted sums. wide: all intermediate results. logit. value:
    inputs and outputs of layers; where `bytes` they are unsigned bytes. state, bias, vth: as stored.
    """

    weight: int
    sum: int
    wide: int
    logit: int
    value: int
    bytes: bool
    state: int
    current: int
    bias: int
    vth: int
    steps: int


def widths_of(program: Program) -> Widths:
    """Raises CompileError where 64 bits do not hold a value, which it names."""
    bounds, parts = bound_neurons(program), list(_parameters(program))
    low, high = _ends([np.array(ends) for ends in program.input_ranges()])
    bytes_, spans = low >= 0 and high <= np.iinfo(np.uint8).max, _ends([p for n, p in parts if n == "weight"])
    sums, wide = [-low, high], [NO_DECAY_FILTER]
    for index, layer in enumerate(program.layers):
        reach = _Reach(program, index, bounds.get(index))
        sums.append(reach.sum)
        wide += reach.all
        if max(wide).bit_length() > WIDEST:
            what = f"{layer_label(index, layer)}: a value of {max(wide).bit_length()} bits and a sign"
            raise CompileError(what, where=program.name, expected=f"at most {WIDEST}")
    logit, steps = _logit(program, bounds)
    bits = signed_bits(*spans)
    return Widths(
        weight=next((each for each in PACKED if bits <= each), _stored(bits)),
        sum=max(16, _stored(max(sums).bit_length() + 1)),
        wide=max(32, logit, _stored(max(wide).bit_length() + 1)),
        logit=logit,
        value=8 if bytes_ else max(16, _stored(signed_bits(low, high))),
        bytes=bytes_,
        state=_stored(program.arithmetic.state.bits),
        current=32,
        bias=_stored(signed_bits(*_ends([p for n, p in parts if n == "bias"]))),
        vth=_stored(signed_bits(*_ends([p for n, p in parts if n == "vth"]))),
        steps=steps,
    )


def _parameters(program: Program) -> Iterator[tuple[str, npt.NDArray[np.int32]]]:
    for layer in program.layers:
        for name in ("weight", "recurrent", "bias", "vth"):
            part = getattr(layer, name, None)
            if part is not None:
                yield name.replace("recurrent", "weight"), part


def _ends(arrays: list[npt.NDArray[np.int32]]) -> tuple[int, int]:
    """The smallest and the largest value, 0 among them."""
    return min([0, *(int(a.min()) for a in arrays)]), max([0, *(int(a.max()) for a in arrays)])


def _stored(bits: int) -> int:
    return next(width for width in (8, 16, 32, 64) if bits <= width)


def largest(values: npt.NDArray[Any]) -> int:
    """The largest magnitude; 0 of none."""
    return max(-int(values.min(initial=0)), int(values.max(initial=0)))


class _Reach:
    """Magnitudes that no value of one layer exceeds. sum: of weighted sums; current; all: on the way."""

    def __init__(self, program: Program, index: int, bounds: NeuronBounds | None) -> None:
        layer, rules = program.layers[index], program.arithmetic
        self.all: list[int] = []
        if isinstance(layer, Resampling):
            self.sum = max(map(abs, program.input_ranges()[index])) * layer.area
            self.current = self._shifted(self.sum, layer.exponent)
            return
        assert bounds is not None
        self.sum = max(largest(bounds.sums.low), largest(bounds.sums.high))
        self.current = self._shifted(self.sum, layer.weight_exp)
        if (layer.u_decay < NO_DECAY_FILTER).any():
            filtered = _proved(CURRENT.high + 1, bounds, bounds.current)
            self.all.append((filtered << LEAK_BITS) + _HALF + self.current)
            self.current = max(self.current, filtered)
        rest = self.current + largest(layer.bias)
        if isinstance(layer, Readout):
            self.all.append(rest)
            return
        state = _proved(-rules.state.low, bounds, bounds.state)
        before = state + largest(layer.vth)
        leaked = (before << LEAK_BITS) + _HALF if layer.v_decay.any() else before
        wrapped = 1 << rules.state.bits if rules.overflow == "wrap" else 0
        self.all += [leaked, before + rest + wrapped + 1, -rules.state.low]

    def _shifted(self, largest_sum: int, exponent: int) -> int:
        """What a shift makes of it; with what is computed on the way."""
        if exponent >= 0:
            self.all.append(max(largest_sum, 1) << exponent)
            return largest_sum << exponent
        self.all.append(largest_sum + (1 << -exponent))
        return (largest_sum >> -exponent) + 1


def _proved(most: int, bounds: NeuronBounds, within: Interval) -> int:
    """The smaller of a format's largest magnitude and the one proved, if one is, for any number of steps."""
    if not bounds.settled or not within.low.size:
        return most
    return min(most, max(largest(within.low), largest(within.high)))


def _logit(program: Program, bounds: dict[int, NeuronBounds]) -> tuple[int, int]:
    """(bits of a logit, steps that they hold). Raises CompileError for fewer steps than the program's."""
    for bits in (32, 64):
        steps = _steps_held(program, bounds, (1 << (bits - 1)) - 1)
        if steps >= program.steps:
            return bits, steps
    what = f"logits may exceed 64 bits after {steps} steps"
    raise CompileError(what, where=program.name, expected=f"{program.steps} steps")


def _steps_held(program: Program, bounds: dict[int, NeuronBounds], most: int) -> int:
    """Steps after which no logit, nor what is computed on the way to it, exceeds `most`."""
    last, index = program.layers[-1], len(program.layers) - 1
    if not isinstance(last, Readout):
        return min(most, MOST_STEPS)
    gain = max(_Reach(program, index, bounds[index]).current + largest(last.bias), 1)
    # |leak(m)| <= |m|; with a leak of d / 4096 |m| settles: |m| <= |m| (1 - d / 4096) + 1 + gain.
    least, leaks = int(last.v_decay.min()), bool(last.v_decay.any())
    settled = ((gain + 1) << LEAK_BITS) // least + 1 if least else None
    room = (most - _HALF >> LEAK_BITS if leaks else most) - gain
    if room < 0:
        return 0
    steps = MOST_STEPS if settled is not None and settled <= room else room // gain
    if last.decoding == "mean":
        summed = (isqrt(8 * (most // gain) + 1) - 1) // 2  # gain * n (n + 1) / 2 <= most
        if settled is not None:
            summed = max(summed, most // settled)
        steps = min(steps, summed)
    return min(steps, MOST_STEPS)
