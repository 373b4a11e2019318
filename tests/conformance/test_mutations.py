"""Planted bugs: each is caught by the known-answer vectors alone, and the report names it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatConv2d, FloatNetwork, FloatPool, FloatReadout
from sast_deploy.engines import reference, vectorised as second
from sast_deploy.program.fixedpoint import fit, shift
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import Conv2d, frozen_ints
from sast_deploy.program.record import SpikeRecord, Trace
from sast_deploy.proofs.bounds import prove
from sast_deploy.verification.comparison import half, replay_known
from sast_deploy.verification.diagnosis import unseen
from sast_deploy.verification.vectors import make_known_answers
from tests.networks import float_fc
from tests.programs import rich_program, vectorised

TRUE_NEURONS, TRUE_SYNAPSES = reference.Neurons, reference.synapses


def loud_conv():
    """Two convolutions whose first can saturate even Q8.8: many inputs with weights of like size."""
    rng, geometry = np.random.default_rng(0), ((2, 2), (1, 1), (1, 1), 1)
    first = FloatConv2d(rng.uniform(-1, 1, (4, 4, 5, 5)), rng.normal(0, 0.1, 4), np.ones(4), *geometry)
    second = FloatConv2d(rng.normal(0, 0.4, (5, 4, 3, 3)), rng.normal(0, 0.1, 5), np.ones(5), *geometry)
    readout = FloatReadout(rng.normal(0, 0.5, (3, 5)), rng.normal(0, 0.1, 3))
    return FloatNetwork((first, second, FloatPool((2, 2)), readout), (4, 9, 11), 10, 0.5, 4, classes="abc")


@cache
def program(name):
    kind, profile, order = [*name.split(), "after-leak"][:3]
    if kind == "fc":
        network = float_fc(seed=1, shape=(2, 12, 12), hidden=(24, 12), classes=4, scale=8.0, steps=10)
    elif kind == "conv":
        network = loud_conv()
    else:
        return rich_program(np.random.default_rng(0), steps=12)
    network = replace(network, reset_order=order)
    return compile_network(network, load_profile(profile), name).program


@cache
def known(name):
    return make_known_answers(program(name))


class Floor(TRUE_NEURONS):
    def __init__(self, layer, shape, rules):
        super().__init__(layer, shape, replace(rules, leak_rounding="floor"))


class Strict(TRUE_NEURONS):
    def _fires(self, membrane, vth):
        return int(membrane > vth)


class Unsaturated(TRUE_NEURONS):
    def __init__(self, layer, shape, rules):
        wide = replace(rules.state, bits=32)
        super().__init__(layer, shape, replace(rules, state=wide))


class ResetToZero(TRUE_NEURONS):
    def _after_reset(self, i):
        return 0 if self.spiked[i] else super()._after_reset(i)


class ResetEarly(TRUE_NEURONS):
    def step(self, accumulated):
        self.spiked = [0] * self.size
        spikes = super().step(accumulated)
        self.membrane = [u - vth * s for u, vth, s in zip(self.membrane, self.vth, spikes, strict=True)]
        return spikes


class ResetBeforeLeak(TRUE_NEURONS):
    def _after_reset(self, i):
        u = self.membrane[i] - self.vth[i] * self.spiked[i]
        return reference.leak(u, self.v_decay[i], self.rules.leak_rounding)


class SaturatesFirst(TRUE_NEURONS):
    def step(self, accumulated):
        before, self.spiked = self.spiked, [0] * self.size
        super().step(accumulated)
        self.membrane = [u - vth * s for u, vth, s in zip(self.membrane, self.vth, before, strict=True)]
        self.spiked = [self._fires(u, vth) for u, vth in zip(self.membrane, self.vth, strict=True)]
        return self.spiked


class SaturatesTwice(SaturatesFirst):
    def _fires(self, membrane, vth):
        return super()._fires(fit(membrane, self.rules.state, self.rules.overflow), vth)

    def step(self, accumulated):
        spikes = super().step(accumulated)
        self.membrane = [fit(u, self.rules.state, self.rules.overflow) for u in self.membrane]
        return spikes


class RemembersSpike(TRUE_NEURONS):
    def clear(self):
        before = getattr(self, "spiked", None)
        super().clear()
        self.spiked = before or self.spiked


class RemembersMembrane(TRUE_NEURONS):
    def clear(self):
        before = getattr(self, "membrane", None)
        super().clear()
        self.membrane = before or self.membrane


class ResetAfterLeak(TRUE_NEURONS):
    def _after_reset(self, i):
        reset = self.vth[i] * self.spiked[i]
        return reference.leak(self.membrane[i], self.v_decay[i], self.rules.leak_rounding) - reset


class FiltersBias(TRUE_NEURONS):
    def step(self, accumulated):
        for i, total in enumerate(accumulated):
            arriving = shift(total, self.weight_exp, self.rules.shift_rounding) + self.bias[i]
            self.current[i] = reference.filtered(self.current[i], arriving, self.u_decay[i], self.rules)
            u = self._after_reset(i) + self.current[i]
            self.membrane[i] = fit(u, self.rules.state, self.rules.overflow)
        self.spiked = [self._fires(u, vth) for u, vth in zip(self.membrane, self.vth, strict=True)]
        return self.spiked


def swapped_synapses(layer, in_shape):
    if isinstance(layer, Conv2d) and layer.weight.shape[2] == layer.weight.shape[3]:
        layer = replace(layer, weight=frozen_ints(layer.weight.swapaxes(2, 3)))
    return TRUE_SYNAPSES(layer, in_shape)


# (neurons, what a report must call it)
NEURONS = [
    (Floor, "leak rounded floor instead of toward-zero"),
    (Strict, "> instead of >="),
    (Unsaturated, "no saturation"),
    (ResetToZero, "reset to zero"),
    (ResetEarly, "reset one step early"),
    (ResetBeforeLeak, "reset before the leak"),
    (SaturatesFirst, "saturation before the reset"),
    (SaturatesTwice, "saturation before the reset"),
    (RemembersSpike, "remembered spike not cleared between samples"),
    (RemembersMembrane, "membrane potential not cleared between samples"),
]
COMPILED = ["fc loihi-int8", "fc loihi-int4", "conv loihi-int8", "conv loihi-int4"]
BEFORE_LEAK = ["fc loihi-int8 before-leak", "conv loihi-int4 before-leak"]
ONLY_AFTER_LEAK = ("reset before the leak", "saturation before the reset")


def report_of(name, monkeypatch, attribute=None, value=None, engine=None):
    """What `verify` says of a reference with one attribute changed, or of another engine."""

    def mutant(frames):
        with monkeypatch.context() as patch:
            if attribute:
                patch.setattr(reference, attribute, value)
            return reference.run_reference(program(name), frames, trace=True)

    def truth(frames):
        return reference.run_reference(program(name), frames, trace=True)

    rows = replay_known(program(name), known(name), {"reference": truth, "mutant": engine or mutant})
    assert rows[0].problem == ()
    return rows[1].problem


def named(problem):
    assert problem, "the known answers do not expose the bug"
    return problem[-1].removeprefix("  consistent with: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize(("neurons", "wanted"), NEURONS, ids=[n.__name__ for n, _ in NEURONS])
def test_a_wrong_neuron_is_named(name, neurons, wanted, monkeypatch):
    problem = report_of(name, monkeypatch, "Neurons", neurons)
    assert named(problem) == wanted, "\n".join(problem)
    assert problem[0].startswith("first difference: sample ")


@pytest.mark.slow
@pytest.mark.parametrize("name", BEFORE_LEAK)
@pytest.mark.parametrize(
    ("neurons", "wanted"),
    [
        *(pair for pair in NEURONS if pair[1] not in ONLY_AFTER_LEAK),
        (ResetAfterLeak, "reset after the leak"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_neuron_of_a_reset_before_the_leak_is_named(name, neurons, wanted, monkeypatch):
    assert program(name).arithmetic.reset_order == "before-leak"
    assert named(report_of(name, monkeypatch, "Neurons", neurons)) == wanted


TRUE_ARRAYS = second._Neurons


class FloorArrays(TRUE_ARRAYS):
    def _leak(self, values, keeps):
        return second._divided(values * keeps, 12, "floor")


class StrictArrays(TRUE_ARRAYS):
    def step(self, total):
        super().step(total)
        self.spiked = (self.membrane > self.vth).astype(np.uint8)
        return self.spiked


class UnsaturatedArrays(TRUE_ARRAYS):
    def __init__(self, layer, size, rules, most):
        super().__init__(layer, size, replace(rules, state=replace(rules.state, bits=30)), most)


class ResetEarlyArrays(TRUE_ARRAYS):
    def step(self, total):
        self.spiked = np.zeros_like(self.spiked)
        spikes = super().step(total)
        self.membrane = self.membrane - self.vth * spikes
        return spikes


class ResetBeforeLeakArrays(TRUE_ARRAYS):
    def step(self, total):
        self.membrane, self.spiked = self.membrane - self.vth * self.spiked, np.zeros_like(self.spiked)
        return super().step(total)


class SaturatesFirstArrays(TRUE_ARRAYS):
    def step(self, total):
        before, self.spiked = self.spiked, np.zeros_like(self.spiked)
        super().step(total)
        self.membrane = self.membrane - self.vth * before
        self.spiked = (self.membrane >= self.vth).astype(np.uint8)
        return self.spiked


class RemembersSpikeArrays(TRUE_ARRAYS):
    def clear(self, samples):
        before = getattr(self, "spiked", None)
        super().clear(samples)
        self.spiked = self.spiked if before is None else before


class RemembersMembraneArrays(TRUE_ARRAYS):
    def clear(self, samples):
        before = getattr(self, "membrane", None)
        super().clear(samples)
        self.membrane = self.membrane if before is None else before


ARRAYS = [
    (FloorArrays, "leak rounded floor instead of toward-zero"),
    (StrictArrays, "> instead of >="),
    (UnsaturatedArrays, "no saturation"),
    (ResetEarlyArrays, "reset one step early"),
    (ResetBeforeLeakArrays, "reset before the leak"),
    (SaturatesFirstArrays, "saturation before the reset"),
    (RemembersSpikeArrays, "remembered spike not cleared between samples"),
    (RemembersMembraneArrays, "membrane potential not cleared between samples"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fc loihi-int8", "conv loihi-int4"])
@pytest.mark.parametrize(("neurons", "wanted"), ARRAYS, ids=[n.__name__ for n, _ in ARRAYS])
def test_a_wrong_neuron_of_the_vectorised_specification_is_named(name, neurons, wanted, monkeypatch):
    def engine(frames):
        with monkeypatch.context() as patch:
            patch.setattr(second, "_Neurons", neurons)
            return second.run_vectorised(program(name), frames, trace=True, batch=half(len(frames)))

    problem = report_of(name, monkeypatch, engine=engine)
    assert named(problem) == wanted, "\n".join(problem)


@pytest.mark.parametrize("name", COMPILED + BEFORE_LEAK)
def test_the_vectors_reach_what_the_bugs_need(name):
    """Both ends of the range (where the proof allows it), a spike at a sample's end, u equal to vth."""
    record = vectorised(program(name), known(name).frames)
    missing = set(unseen(program(name), known(name).frames, record))
    assert not missing & {*(wanted for _, wanted in NEURONS), "reset after the leak"}
    assert ("kernel axes swapped" in missing) == name.startswith("fc")
    assert "bias filtered by the current decay" in missing
    assert prove(program(name))[0].saturating
    form = program(name).arithmetic.state
    u = record.traces[0].membrane
    assert (u == form.high).any()
    assert record.traces[0].spikes[:-1, -1].any()


@pytest.mark.parametrize("name", ["conv loihi-int8", "conv loihi-int4", "rich -"])
def test_swapped_kernel_axes_are_named(name, monkeypatch):
    problem = report_of(name, monkeypatch, "synapses", swapped_synapses)
    assert named(problem) == "kernel axes swapped", "\n".join(problem)


def test_a_filtered_bias_is_named(monkeypatch):
    problem = report_of("rich -", monkeypatch, "Neurons", FiltersBias)
    assert named(problem) == "bias filtered by the current decay", "\n".join(problem)


@pytest.mark.parametrize("name", COMPILED)
def test_a_batched_engine_that_keeps_spikes_in_its_lanes_is_named(name, monkeypatch):
    """Sample n starts with the spikes of sample n - batch, as where a batch's states are not cleared."""

    def engine(frames):
        lanes, runs = half(len(frames)), []
        for lane in range(lanes):
            with monkeypatch.context() as patch:
                patch.setattr(reference, "Neurons", RemembersSpike)
                runs.append(reference.run_reference(program(name), frames[lane::lanes], trace=True))
        return interleaved(runs, len(frames))

    problem = report_of(name, monkeypatch, engine=engine)
    assert named(problem) == "remembered spike not cleared between samples", "\n".join(problem)


def interleaved(runs, samples):
    lanes = len(runs)

    def merge(pick):
        first = pick(runs[0])
        whole = np.zeros((samples, *first.shape[1:]), first.dtype)
        for lane, record in enumerate(runs):
            whole[lane::lanes] = pick(record)
        return whole

    layers = range(len(runs[0].counts))
    traces = tuple(
        Trace(merge(lambda r, k=k: r.traces[k].membrane), merge(lambda r, k=k: r.traces[k].spikes))
        for k in layers
    )
    counts = tuple(merge(lambda r, k=k: r.counts[k]) for k in layers)
    return SpikeRecord(counts, merge(lambda r: r.logits), traces)
