"""What can be proved of an integer program before it runs, from its weights and its input's range alone.

Weighted sums. Inputs lie in 0..x_max, so a_i lies in x_max * (sum of the negative, sum of the positive W_ij);
both ends are reached, and every partial sum in any order lies between them.

Membrane potentials. Intervals grow from {0} until nothing new is reached, per neuron:

    u_t before fit in  kept + current + bias
    kept           in  leak([L, min(H, f - 1)]), and where H >= f also
                       leak([max(L, f), H]) - vth under reset "subtract", 0 under "zero"
    [L, H]         =   fit(u_t before fit), with 0 for the start of a sample and for a cleared state

f is the smallest membrane potential that fires. Rounding and fit are monotone, so the ends of an
interval are the images of its ends, except that a value that wraps may become any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sast_deploy.fixedpoint import Arithmetic, QFormat, divide_pow2_array, fit_array, shift, shift_array
from sast_deploy.linear import Int64Array, Weighted, input_maxima, weighted_layers, weighted_sums
from sast_deploy.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Dense,
    Int32Array,
    Program,
    Readout,
    Shape,
    SpikingLayer,
    per_neuron,
)

SETTLING = 64  # steps beyond the program's own after which a bound that still grows holds for those only


@dataclass(frozen=True, eq=False)
class Interval:
    """Inclusive ends, int64 (neurons,) each."""

    low: Int64Array
    high: Int64Array

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def leaves(self, form: QFormat, overflow: str) -> np.ndarray:
        """bool (neurons,): whether a value of the interval is outside the format."""
        lowest = -form.high if overflow == "saturate-symmetric" else form.low
        return np.asarray((self.low < lowest) | (self.high > form.high))

    def fitted(self, form: QFormat, overflow: str) -> Interval:
        """What `fit` makes of the interval."""
        if overflow != "wrap":
            return Interval(fit_array(self.low, form, overflow), fit_array(self.high, form, overflow))
        anything = self.leaves(form, overflow)
        return Interval(np.where(anything, form.low, self.low), np.where(anything, form.high, self.high))


@dataclass(frozen=True, eq=False)
class NeuronBounds:
    """Bounds of every output of one weighted layer, C, H, W order.

    sums: weighted sums a_t. membrane: u_t before fit; state: after it; current: c_t before its wrap;
    all three empty for a readout. settled: they hold for any number of steps, not only the program's.
    """

    sums: Interval
    membrane: Interval
    state: Interval
    current: Interval
    settled: bool


@dataclass(frozen=True)
class LayerProof:
    """What is proved of one weighted layer.

    name: "layer 0 (dense)". low, high: the exact worst-case weighted sum over all neurons.
    accumulator_bits: the signed width that holds it, shifted left where the exponent says so.
    membrane: lowest and highest membrane potential before saturation, empty for a readout.
    saturating, wrapping, silent: neurons whose membrane may saturate (or wrap, under that rule), whose
    filtered current may wrap, that can never fire; all others are proved not to. settled: for any number
    of steps. zero_weights: share of weights that are 0. vth: smallest, median, largest threshold.
    """

    index: int
    name: str
    shape: Shape
    neurons: int
    exponent: int
    low: int
    high: int
    accumulator_bits: int
    membrane: tuple[int, ...]
    saturating: int
    wrapping: int
    silent: int
    settled: bool
    zero_weights: float
    vth: tuple[int, ...]


def prove(program: Program) -> tuple[LayerProof, ...]:
    """The proofs of every weighted layer, in order."""
    bounds = bound_neurons(program)
    return tuple(_proof(program, index, layer, bounds[index]) for index, layer in weighted_layers(program))


def bound_neurons(program: Program) -> dict[int, NeuronBounds]:
    """Bounds of every weighted layer, by its index in `program.layers`."""
    shapes, maxima, found = program.shapes(), input_maxima(program), {}
    for index, layer in weighted_layers(program):
        sums = _sums(layer, shapes[index], maxima[index])
        if isinstance(layer, Readout):
            none = Interval(np.zeros(0, np.int64), np.zeros(0, np.int64))
            found[index] = NeuronBounds(sums, none, none, none, True)
        else:
            found[index] = _membranes(layer, sums, program.arithmetic, program.steps)
    return found


def signed_bits(low: int, high: int) -> int:
    """The width of the narrowest two's-complement format that holds both."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


def _sums(layer: Weighted, in_shape: Shape, largest: int) -> Interval:
    ones = np.full((1, *in_shape), largest, dtype=np.int64)
    low, high = (weighted_sums(layer, ones, part).ravel() for part in _signs(layer.weight))
    recurrent = layer.recurrent if isinstance(layer, Dense) else None
    if recurrent is not None:
        negative, positive = _signs(recurrent)
        low, high = low + negative.sum(axis=1), high + positive.sum(axis=1)
    return Interval(low, high)


def _signs(weight: Int32Array) -> tuple[Int32Array, Int32Array]:
    """The negative and the positive part."""
    return np.minimum(weight, 0), np.maximum(weight, 0)


class _Growth:
    """The intervals of current and membrane potential, one step further with every call of `grow`."""

    def __init__(self, layer: SpikingLayer, sums: Interval, rules: Arithmetic) -> None:
        neurons = len(sums.low)
        self.rules = rules
        self.vth, bias, self.v_decay, self.u_decay = (
            per_neuron(values, neurons).astype(np.int64)
            for values in (layer.vth, layer.bias, layer.v_decay, layer.u_decay)
        )
        self.fires_at = self.vth + (0 if rules.comparison == ">=" else 1)
        ends = (shift_array(end, layer.weight_exp, rules.shift_rounding) for end in (sums.low, sums.high))
        self.arriving, self.bias = Interval(*ends), Interval(bias, bias)
        zero = np.zeros(neurons, np.int64)
        self.current = self.held = self.state = self.membrane = Interval(zero, zero)

    def grow(self) -> bool:
        """One more step; whether anything grew."""
        before = self.held, self.state
        self.current = self._filtered()
        self.held = self.held.hull(self._wrapped(self.current))
        self.membrane = self._kept() + self._wrapped(self.current) + self.bias
        self.state = self.state.hull(self.membrane.fitted(self.rules.state, self.rules.overflow))
        pairs = zip(before, (self.held, self.state), strict=True)
        return any((a.low > b.low).any() or (a.high < b.high).any() for a, b in pairs)

    def _wrapped(self, current: Interval) -> Interval:
        """The current as the neuron holds it: only the register of a filtered one wraps."""
        wrapped, filtered = current.fitted(CURRENT, "wrap"), self.u_decay < NO_DECAY_FILTER
        low, high = ((wrapped.low, current.low), (wrapped.high, current.high))
        return Interval(np.where(filtered, *low), np.where(filtered, *high))

    def _filtered(self) -> Interval:
        """The current before its wrap: what arrives, and what is left of what was held."""
        kept = Interval(self._leak(self.held.low, self.u_decay), self._leak(self.held.high, self.u_decay))
        return kept + self.arriving

    def _kept(self) -> Interval:
        """What leak and reset leave of the last step's membrane potential; 0 after a clearing."""
        low, high = self.state.low, self.state.high
        quiet = Interval(
            self._leak(low, self.v_decay),
            np.maximum(0, self._leak(np.minimum(high, self.fires_at - 1), self.v_decay)),
        )
        if self.rules.reset != "subtract":
            return quiet
        after_spike = Interval(
            self._leak(np.maximum(low, self.fires_at), self.v_decay) - self.vth,
            self._leak(high, self.v_decay) - self.vth,
        )
        can_fire, both = high >= self.fires_at, quiet.hull(after_spike)
        return Interval(np.where(can_fire, both.low, quiet.low), np.where(can_fire, both.high, quiet.high))

    def _leak(self, values: Int64Array, decay: Int64Array) -> Int64Array:
        kept = values * ((1 << LEAK_BITS) - decay)
        return divide_pow2_array(kept, LEAK_BITS, self.rules.leak_rounding)


def _membranes(layer: SpikingLayer, sums: Interval, rules: Arithmetic, steps: int) -> NeuronBounds:
    growth = _Growth(layer, sums, rules)
    if any(not growth.grow() for _ in range(steps)):
        return _bounds(growth, sums, settled=True)
    within = _bounds(growth, sums, settled=False)
    if any(not growth.grow() for _ in range(SETTLING)):
        return _bounds(growth, sums, settled=True)
    return within


def _bounds(growth: _Growth, sums: Interval, settled: bool) -> NeuronBounds:
    return NeuronBounds(sums, growth.membrane, growth.state, growth.current, settled)


def _proof(program: Program, index: int, layer: Weighted, bounds: NeuronBounds) -> LayerProof:
    low, high = int(bounds.sums.low.min()), int(bounds.sums.high.max())
    left = max(layer.weight_exp, 0)
    proof = LayerProof(
        index,
        f"layer {index} ({layer.kind})",
        layer.weight.shape,
        len(bounds.sums.low),
        layer.weight_exp,
        low,
        high,
        signed_bits(shift(low, left, "floor"), shift(high, left, "floor")),
        (), 0, 0, 0, True,
        float((layer.weight == 0).mean()),
        (),
    )  # fmt: skip
    return proof if isinstance(layer, Readout) else _with_neurons(proof, layer, program.arithmetic, bounds)


def _with_neurons(
    proof: LayerProof, layer: SpikingLayer, rules: Arithmetic, bounds: NeuronBounds
) -> LayerProof:
    filtered = per_neuron(layer.u_decay, proof.neurons) < NO_DECAY_FILTER
    fires_at = per_neuron(layer.vth, proof.neurons) + (0 if rules.comparison == ">=" else 1)
    return replace(
        proof,
        membrane=(int(bounds.membrane.low.min()), int(bounds.membrane.high.max())),
        saturating=int(bounds.membrane.leaves(rules.state, rules.overflow).sum()),
        wrapping=int((bounds.current.leaves(CURRENT, "wrap") & filtered).sum()),
        silent=int((bounds.state.high < fires_at).sum()),
        settled=bounds.settled,
        vth=tuple(int(v) for v in (layer.vth.min(), np.median(layer.vth), layer.vth.max())),
    )
