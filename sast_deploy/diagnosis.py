"""Name the rule that an engine breaks, from the trace it left.

Each rule of profiles/README.md has mutants here: the mistakes people make. A mutant explains an engine if
every step of every layer that breaks the true rule follows, by the mutated rule, from the engine's own
membrane potentials and spikes of the step before and from its own inputs. Everything is recomputed with
arrays, apart from the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sast_deploy.fixedpoint import (
    OVERFLOWS,
    ROUNDINGS,
    Arithmetic,
    divide_pow2_array,
    fit_array,
    shift_array,
)
from sast_deploy.linear import Int64Array, layer_inputs, sums_over_time
from sast_deploy.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    Readout,
    SpikingLayer,
    per_neuron,
)
from sast_deploy.simulate.record import SpikeRecord, Trace

UNLIMITED = "none"  # an overflow rule that only a mutant has
TIE = "the highest class index wins a tie"


@dataclass(frozen=True)
class Mutant:
    """The rules with one mistake. name: what a report calls it; the rest: where it leaves the true rules.

    reset_acts: "next step", "same step" (one early) or "before the leak". fit_first: saturation before the
    reset; fit_again: and once more after it. swapped: kernel rows and columns. filtered_bias: the bias passes
    the current filter. keeps_membrane, keeps_spike: not cleared at a sample's start, `lanes` samples apart.
    """

    name: str
    rules: Arithmetic
    reset_acts: str = "next step"
    fit_first: bool = False
    fit_again: bool = False
    swapped: bool = False
    filtered_bias: bool = False
    keeps_membrane: bool = False
    keeps_spike: bool = False
    lanes: int = 1


def diagnose(
    program: Program, frames: npt.NDArray[np.uint8], record: SpikeRecord, lanes: tuple[int, ...] = (1,)
) -> tuple[str, ...]:
    """Names of all mutants that explain the record of an engine that ran `frames`; empty where none does.

    lanes: how many samples apart one neuron state may have served two samples, in a batched engine.
    """
    views = _views(program, frames, record)
    truth = Mutant("", program.arithmetic)
    broken = [view for view in views if not view.obeys(truth)]
    if not broken:
        return tuple(_readout_mutants(program, frames, record))
    found = [m.name for m in mutants(program, lanes) if all(view.obeys(m) for view in broken)]
    return tuple(dict.fromkeys(found))


def breaks_ties(record: SpikeRecord) -> bool:
    """Whether the record's predictions are not the lowest index among equal logits."""
    level = replace(record, logits=np.zeros((1, 3), np.int64), counts=(), traces=None)
    best = record.logits == record.logits.max(axis=1, keepdims=True)
    return bool(level.predictions[0] != 0) or not np.array_equal(record.predictions, best.argmax(axis=1))


def mutants(program: Program, lanes: tuple[int, ...]) -> Iterator[Mutant]:
    """Every mistake that has a name."""
    rules = program.arithmetic
    for name, other in _other_rules(rules):
        yield Mutant(name, other)
    if rules.reset == "subtract":
        yield Mutant("reset one step early", rules, reset_acts="same step")
        yield Mutant("reset before the leak", rules, reset_acts="before the leak")
        yield Mutant("saturation before the reset", rules, fit_first=True)
        yield Mutant("saturation before the reset", rules, fit_first=True, fit_again=True)
    yield Mutant("kernel axes swapped", rules, swapped=True)
    yield Mutant("bias filtered by the current decay", rules, filtered_bias=True)
    for apart in lanes:
        for membrane, spike, what in (
            (0, 1, "remembered spike"),
            (1, 0, "membrane potential"),
            (1, 1, "state"),
        ):
            name = f"{what} not cleared between samples"
            yield Mutant(name, rules, keeps_membrane=bool(membrane), keeps_spike=bool(spike), lanes=apart)


def _other_rules(rules: Arithmetic) -> Iterator[tuple[str, Arithmetic]]:
    for rounding in ROUNDINGS:
        if rounding != rules.leak_rounding:
            other = replace(rules, leak_rounding=rounding)
            yield f"leak rounded {rounding} instead of {rules.leak_rounding}", other
        if rounding != rules.shift_rounding:
            other = replace(rules, shift_rounding=rounding)
            yield f"weighted sums rounded {rounding} instead of {rules.shift_rounding}", other
    for overflow in (*OVERFLOWS, UNLIMITED):
        if overflow != rules.overflow:
            name = "no saturation" if overflow == UNLIMITED else f"{overflow} instead of {rules.overflow}"
            yield name, replace(rules, overflow=overflow)
    comparison = ">" if rules.comparison == ">=" else ">="
    yield f"{comparison} instead of {rules.comparison}", replace(rules, comparison=comparison)
    reset, name = (
        ("zero", "reset to zero") if rules.reset == "subtract" else ("subtract", "reset by subtraction")
    )
    yield name, replace(rules, reset=reset)


@dataclass(frozen=True, eq=False)
class _View:
    """One spiking layer as an engine lived it: int64 inputs (samples, time, *in_shape), u and s
    (samples, time, neurons).
    """

    layer: SpikingLayer
    interval: int
    train: Int64Array
    u: Int64Array
    s: Int64Array

    def obeys(self, rules: Mutant) -> bool:
        """Whether every step follows from the one before by these rules."""
        u, s = self._predict(rules)
        return np.array_equal(u, self.u) and np.array_equal(s, self.s)

    def _predict(self, mutant: Mutant) -> tuple[Int64Array, Int64Array]:
        rules, vth = mutant.rules, self._per_neuron(self.layer.vth)
        u, s = self._before(mutant)
        arriving = self._current(mutant)
        if mutant.reset_acts == "same step":
            u = _fit(self._leak(u, rules) + arriving, rules)
            fires = _fires(u, vth, rules)
            return u - vth * fires, fires
        if mutant.reset_acts == "before the leak":
            u = _fit(self._leak(u - vth * s, rules) + arriving, rules)
            return u, _fires(u, vth, rules)
        kept = self._leak(u if rules.reset == "subtract" else u * (1 - s), rules)
        reset = vth * s if rules.reset == "subtract" else np.zeros_like(s)
        if mutant.fit_first:
            u = _fit(kept + arriving, rules) - reset
            u = _fit(u, rules) if mutant.fit_again else u
        else:
            u = _fit(kept + arriving - reset, rules)
        return u, _fires(u, vth, rules)

    def _before(self, mutant: Mutant) -> tuple[Int64Array, Int64Array]:
        """u and s of the step before, 0 where they are cleared."""
        found = []
        for values, kept in ((self.u, mutant.keeps_membrane), (self.s, mutant.keeps_spike)):
            before = np.zeros_like(values)
            before[:, 1:] = values[:, :-1]
            before[:, self._cleared()] = 0
            if kept:
                before[mutant.lanes :, 0] = values[: -mutant.lanes, -1]
            found.append(before)
        return found[0], found[1]

    def _current(self, mutant: Mutant) -> Int64Array:
        """c_t + bias."""
        u_decay, bias = self._per_neuron(self.layer.u_decay), self._per_neuron(self.layer.bias)
        rules, filtered = mutant.rules, u_decay < NO_DECAY_FILTER
        arriving = shift_array(self._sums(mutant), self.layer.weight_exp, rules.shift_rounding)
        if not filtered.any():
            return np.asarray(arriving + bias)
        if mutant.filtered_bias:
            arriving, bias = arriving + np.where(filtered, bias, 0), np.where(filtered, 0, bias)
        held, cleared = np.zeros_like(arriving[:, 0]), self._cleared()
        for t in range(arriving.shape[1]):
            held = np.zeros_like(held) if cleared[t] else held
            left = divide_pow2_array(held * (NO_DECAY_FILTER - u_decay), LEAK_BITS, rules.leak_rounding)
            wrapped = fit_array(left + arriving[:, t], CURRENT, "wrap")
            held = np.where(filtered, wrapped, arriving[:, t])
            arriving[:, t] = held
        return np.asarray(arriving + bias)

    def _sums(self, mutant: Mutant) -> Int64Array:
        weight = self.layer.weight
        if mutant.swapped and isinstance(self.layer, Conv2d) and weight.shape[2] == weight.shape[3]:
            weight = np.ascontiguousarray(weight.swapaxes(2, 3))
        sums = sums_over_time(self.layer, self.train, weight)
        recurrent = self.layer.recurrent if isinstance(self.layer, Dense) else None
        if recurrent is not None:
            sums[:, 1:] += self.s[:, :-1] @ recurrent.T.astype(np.int64)
        return sums

    def _cleared(self) -> npt.NDArray[np.bool_]:
        t = np.arange(self.u.shape[1])
        again = (self.interval > 0) & (t % max(self.interval, 1) == self.layer.reset_offset)
        return np.asarray((t == 0) | again, dtype=np.bool_)

    def _leak(self, u: Int64Array, rules: Arithmetic) -> Int64Array:
        kept = u * ((1 << LEAK_BITS) - self._per_neuron(self.layer.v_decay))
        return divide_pow2_array(kept, LEAK_BITS, rules.leak_rounding)

    def _per_neuron(self, values: npt.NDArray[np.int32]) -> Int64Array:
        return per_neuron(values, self.u.shape[2]).astype(np.int64)


def _views(program: Program, frames: npt.NDArray[np.uint8], record: SpikeRecord) -> list[_View]:
    traces: tuple[Trace, ...] = record.traces or ()
    trains = layer_inputs(program, frames, [trace.spikes for trace in traces])
    return [
        _View(
            layer,
            program.reset_interval,
            trains[index],
            *(a.astype(np.int64) for a in (t.membrane, t.spikes)),
        )
        for (index, layer), t in zip(program.spiking(), traces, strict=True)
    ]


def _fit(u: Int64Array, rules: Arithmetic) -> Int64Array:
    return u if rules.overflow == UNLIMITED else fit_array(u, rules.state, rules.overflow)


def _fires(u: Int64Array, vth: Int64Array, rules: Arithmetic) -> Int64Array:
    return np.asarray(u >= vth if rules.comparison == ">=" else u > vth).astype(np.int64)


def _readout_mutants(program: Program, frames: npt.NDArray[np.uint8], record: SpikeRecord) -> Iterator[str]:
    """Mistakes after the last spike: the neurons obey the rules, counts, logits or predictions do not."""
    traces = record.traces or ()
    sums = zip(record.counts, traces, strict=True)
    if any(not np.array_equal(c, t.spikes.sum(axis=1)) for c, t in sums):
        yield "spike counts that are not the sums of the engine's own spikes"
    layer, rules = program.layers[-1], program.arithmetic
    if isinstance(layer, Readout):
        train = layer_inputs(program, frames, [trace.spikes for trace in traces])[len(program.layers) - 1]
        sums_t, bias = sums_over_time(layer, train, layer.weight), layer.bias.astype(np.int64)
        whole = program.steps * bias

        def scaled(values: Int64Array, rounding: str = rules.shift_rounding) -> Int64Array:
            return shift_array(values, layer.weight_exp, rounding)

        if not np.array_equal(record.logits, scaled(sums_t).sum(axis=1) + whole):
            candidates = [("readout bias added once", scaled(sums_t).sum(axis=1) + bias)]
            candidates.append(("readout shifted once, after all steps", scaled(sums_t.sum(axis=1)) + whole))
            for other in ROUNDINGS:
                name = f"readout sums rounded {other} instead of {rules.shift_rounding}"
                candidates.append((name, scaled(sums_t, other).sum(axis=1) + whole))
            yield from (name for name, logits in candidates if np.array_equal(record.logits, logits))
    if breaks_ties(record):
        yield TIE
