"""Intervals that hold every value a layer's current and membrane potential can ever take.

They grow from {0} until nothing new is reached, per neuron:

    u_t before fit in  kept + current + bias
    kept           in  leak([L, min(H, f - 1)]), and where H >= f also
                       leak([max(L, f), H]) - vth under reset "subtract", after-leak
                       leak([max(L, f) - vth, H - vth]) under reset "subtract", before-leak
                       0 under "zero"
    [L, H]         =   fit(u_t before fit), with 0 for the start of a sample and for a cleared state

f is the smallest membrane potential that fires. Rounding and fit are monotone, so the ends of an
interval are the images of its ends, except that a value that wraps may become any.

A readout's membrane potential is never reset nor fitted: m_t in leak([L, H]) + current + bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_deploy.program.fixedpoint import Arithmetic, QFormat, fit_array, shift_array
from sast_deploy.program.program import CURRENT, NO_DECAY_FILTER, Readout, SpikingLayer, leak, per_neuron
from sast_deploy.program.sums import Int64Array


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
        return np.asarray((self.low < form.lowest(overflow)) | (self.high > form.high))

    def fitted(self, form: QFormat, overflow: str) -> Interval:
        """What `fit` makes of the interval."""
        if overflow != "wrap":
            return Interval(fit_array(self.low, form, overflow), fit_array(self.high, form, overflow))
        anything = self.leaves(form, overflow)
        return Interval(np.where(anything, form.low, self.low), np.where(anything, form.high, self.high))


def firing_limit(layer: SpikingLayer, rules: Arithmetic, neurons: int) -> Int64Array:
    """int64 (neurons,): the smallest membrane potential that fires."""
    vth = per_neuron(layer.vth, neurons).astype(np.int64)
    return vth if rules.comparison == ">=" else vth + 1


class Growth:
    """The intervals of current and membrane potential, one step further with every call of `grow`."""

    def __init__(self, layer: SpikingLayer | Readout, sums: Interval, rules: Arithmetic) -> None:
        neurons = len(sums.low)
        self.rules = rules
        bias, self.v_decay, self.u_decay = (
            per_neuron(values, neurons).astype(np.int64)
            for values in (layer.bias, layer.v_decay, layer.u_decay)
        )
        if not isinstance(layer, Readout):
            self.vth = per_neuron(layer.vth, neurons).astype(np.int64)
            self.fires_at = firing_limit(layer, rules, neurons)
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
        self.state = self.state.hull(self._fitted())
        pairs = zip(before, (self.held, self.state), strict=True)
        return any((a.low > b.low).any() or (a.high < b.high).any() for a, b in pairs)

    def widen(self) -> None:
        """Assume that states and filtered currents may take every value of their formats."""
        low = np.full_like(self.bias.low, self.rules.state.lowest(self.rules.overflow))
        self.state = Interval(low, np.full_like(low, self.rules.state.high))
        self.held = Interval(np.full_like(low, CURRENT.low), np.full_like(low, CURRENT.high))

    def _fitted(self) -> Interval:
        return self.membrane.fitted(self.rules.state, self.rules.overflow)

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
        early = self.vth * (self.rules.reset_order == "before-leak")
        late = self.vth - early
        after_spike = Interval(
            self._leak(np.maximum(low, self.fires_at) - early, self.v_decay) - late,
            self._leak(high - early, self.v_decay) - late,
        )
        can_fire, both = high >= self.fires_at, quiet.hull(after_spike)
        return Interval(np.where(can_fire, both.low, quiet.low), np.where(can_fire, both.high, quiet.high))

    def _leak(self, values: Int64Array, decay: Int64Array) -> Int64Array:
        return leak(values, decay, self.rules.leak_rounding)


class Integration(Growth):
    """The same of a readout: `state` and `membrane` are what its integrators reach, which nothing limits."""

    def _fitted(self) -> Interval:
        return self.membrane

    def _kept(self) -> Interval:
        return Interval(self._leak(self.state.low, self.v_decay), self._leak(self.state.high, self.v_decay))
