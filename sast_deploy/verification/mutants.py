"""Step a layer from the states an engine recorded, by the true rules or with one mistake; with arrays.

This derivation knows nothing of the reference: every step starts from the recorded membrane potential and
spike of the step before, so that all steps can be computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.frames import Array
from sast_deploy.program.fixedpoint import Arithmetic, fit_array, shift_array
from sast_deploy.program.program import (
    CURRENT,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    SpikingLayer,
    leak,
    per_neuron,
)
from sast_deploy.program.record import SpikeRecord, Trace
from sast_deploy.program.sums import Int64Array, layer_inputs, sums_over_time


@dataclass(frozen=True)
class Mutant:
    """The rules with one mistake. name: what a report calls it; the rest: where it leaves the true rules.

    one_early: the reset acts in the step of its spike. fit_first: saturation before the reset, where that
    comes after the leak; fit_again: and once more after it. swapped: kernel rows and columns. filtered_bias:
    the bias passes the current filter. unlimited: no saturation and no wrap. keeps_membrane, keeps_spike: not
    cleared at a sample's start, `lanes` samples apart.
    """

    name: str
    rules: Arithmetic
    one_early: bool = False
    fit_first: bool = False
    fit_again: bool = False
    swapped: bool = False
    filtered_bias: bool = False
    unlimited: bool = False
    keeps_membrane: bool = False
    keeps_spike: bool = False
    lanes: int = 1


@dataclass(frozen=True, eq=False)
class LayerView:
    """One spiking layer as an engine lived it: int64 inputs (samples, time, *in_shape), u and s
    (samples, time, neurons); cleared: bool (time,), whether that was so before a step.
    """

    layer: SpikingLayer
    cleared: npt.NDArray[np.bool_]
    train: Int64Array
    u: Int64Array
    s: Int64Array
    known_sums: dict[bool, Int64Array] = field(default_factory=dict)  # by whether kernel axes are swapped

    def obeys(self, rules: Mutant) -> bool:
        """Whether every step follows from the one before by these rules."""
        u, s = self._predict(rules)
        return np.array_equal(u, self.u) and np.array_equal(s, self.s)

    def _predict(self, mutant: Mutant) -> tuple[Int64Array, Int64Array]:
        rules, vth = mutant.rules, self._per_neuron(self.layer.vth)
        u, s = self._before(mutant)
        arriving = self._current(mutant)
        if mutant.one_early:
            u = _fit(self._leak(u, rules) + arriving, rules)
            fires = _fires(u, vth, rules)
            return u - vth * fires, fires
        early, late = _resets(u, s, vth, rules)
        kept, reset = self._leak(u - early, rules), late
        if mutant.fit_first:
            u = _fit(kept + arriving, rules) - reset
            u = _fit(u, rules) if mutant.fit_again else u
        else:
            u = kept + arriving - reset
            u = u if mutant.unlimited else _fit(u, rules)
        return u, _fires(u, vth, rules)

    def _before(self, mutant: Mutant) -> tuple[Int64Array, Int64Array]:
        """u and s of the step before, 0 where they are cleared."""
        found = []
        for values, kept in ((self.u, mutant.keeps_membrane), (self.s, mutant.keeps_spike)):
            before = np.zeros_like(values)
            before[:, 1:] = values[:, :-1]
            before[:, self.cleared] = 0
            if kept:
                before[mutant.lanes :, 0] = values[: -mutant.lanes, -1]
            found.append(before)
        return found[0], found[1]

    def _current(self, mutant: Mutant) -> Int64Array:
        """c_t + bias."""
        u_decay, bias = self._per_neuron(self.layer.u_decay), self._per_neuron(self.layer.bias)
        rules, filtered = mutant.rules, u_decay < NO_DECAY_FILTER
        arriving = shift_array(self._sums(mutant), self.layer.weight_exp, rules.shift_rounding).copy()
        if not filtered.any():
            return np.asarray(arriving + bias)
        if mutant.filtered_bias:
            arriving, bias = arriving + np.where(filtered, bias, 0), np.where(filtered, 0, bias)
        held = np.zeros_like(arriving[:, 0])
        for t in range(arriving.shape[1]):
            held = np.zeros_like(held) if self.cleared[t] else held
            left = leak(held, u_decay, rules.leak_rounding)
            wrapped = fit_array(left + arriving[:, t], CURRENT, "wrap")
            held = np.where(filtered, wrapped, arriving[:, t])
            arriving[:, t] = held
        return np.asarray(arriving + bias)

    def _sums(self, mutant: Mutant) -> Int64Array:
        weight = self.layer.weight
        square = isinstance(self.layer, Conv2d) and weight.shape[2] == weight.shape[3]
        swapped = mutant.swapped and square
        if swapped not in self.known_sums:
            used = np.ascontiguousarray(weight.swapaxes(2, 3)) if swapped else weight
            self.known_sums[swapped] = self._weigh(used)
        return self.known_sums[swapped]

    def _weigh(self, weight: npt.NDArray[np.int32]) -> Int64Array:
        sums = sums_over_time(self.layer, self.train, weight)
        recurrent = self.layer.recurrent if isinstance(self.layer, Dense) else None
        if recurrent is not None:
            sums[:, 1:] += self.s[:, :-1] @ recurrent.T.astype(np.int64)
        return sums

    def _leak(self, u: Int64Array, rules: Arithmetic) -> Int64Array:
        return leak(u, self._per_neuron(self.layer.v_decay), rules.leak_rounding)

    def _per_neuron(self, values: npt.NDArray[np.int32]) -> Int64Array:
        return per_neuron(values, self.u.shape[2]).astype(np.int64)


def layer_views(program: Program, frames: Array, record: SpikeRecord) -> list[LayerView]:
    """Every spiking layer of a record with traces, in order."""
    traces: tuple[Trace, ...] = record.traces or ()
    trains, found = layer_inputs(program, frames, [trace.spikes for trace in traces]), []
    for (index, layer), trace in zip(program.spiking(), traces, strict=True):
        u, s = trace.membrane.astype(np.int64), trace.spikes.astype(np.int64)
        cleared = np.array([program.clears(layer, t) for t in range(u.shape[1])])
        found.append(LayerView(layer, cleared, trains[index], u, s))
    return found


def _resets(
    u: Int64Array, s: Int64Array, vth: Int64Array, rules: Arithmetic
) -> tuple[Int64Array, Int64Array]:
    """What spikes of the step before take off before the leak, and after it."""
    taken = s * (u if rules.reset == "zero" else vth)
    late = rules.reset == "subtract" and rules.reset_order == "after-leak"
    return (np.zeros_like(s), taken) if late else (taken, np.zeros_like(s))


def _fit(u: Int64Array, rules: Arithmetic) -> Int64Array:
    return fit_array(u, rules.state, rules.overflow)


def _fires(u: Int64Array, vth: Int64Array, rules: Arithmetic) -> Int64Array:
    return np.asarray(u >= vth if rules.comparison == ">=" else u > vth).astype(np.int64)
