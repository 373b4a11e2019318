"""Proofs of sums and membranes: true of every reachable state, and no wider than need be on tiny programs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import RESET_ORDERS, ROUNDINGS, QFormat, divide_pow2, fit_array
from sast_deploy.program.program import Dense, Program, Readout, SumPool, frozen_ints
from sast_deploy.program.sums import input_maxima, layer_inputs, sums_over_time
from sast_deploy.proofs import bounds as proofs
from sast_deploy.proofs.bounds import bound_neurons, prove, signed_bits, states_at_the_ends
from sast_deploy.proofs.intervals import Growth, Interval
from tests.anyprogram import Seeded, any_frames, any_program
from tests.programs import (
    RULES,
    conv,
    conv_program,
    fc_program,
    random_frames,
    readout,
    rich_program,
    vectorised,
)
from tests.strategies import arithmetics, choices


def greedy_frames(choose, program, samples):
    """Adversarial input: each step drives the first layer's chosen neurons up or down as far as they go."""
    frames = any_frames(choose, program, samples)
    for n, t in np.ndindex(samples, program.steps):
        # one sign per sample, per half or at random: long pushes, a swing, and noise
        sign = (1, -1, 1 if t < program.steps // 2 else -1, choose.pick((-1, 1)))[n % 4]
        pattern = np.ones(program.input_shape)
        layer = program.layers[0]
        if isinstance(layer, Dense):
            row = layer.weight[choose.integer(0, len(layer.weight) - 1)]
            pattern = row.reshape(program.input_shape)
        frames[n, t] = program.input_max * (sign * pattern > 0)
    return frames


def assert_within(program, frames):
    bounds = bound_neurons(program)
    record = vectorised(program, frames)
    trains = layer_inputs(program, frames, [trace.spikes for trace in record.traces])
    for index, found in bounds.items():
        layer = program.layers[index]
        if getattr(layer, "recurrent", None) is None:
            sums = sums_over_time(layer, trains[index], layer.weight)
            assert (found.sums.low <= sums).all()
            assert (sums <= found.sums.high).all()
    for (index, _), trace in zip(program.spiking(), record.traces, strict=True):
        state = bounds[index].state
        assert (state.low <= trace.membrane).all()
        assert (trace.membrane <= state.high).all()
        proof = next(p for p in prove(program) if p.index == index)
        form, overflow = program.arithmetic.state, program.arithmetic.overflow
        if not proof.saturating:
            wide = replace(program, arithmetic=replace(program.arithmetic, state=QFormat(32, 0)))
            unlimited = vectorised(wide, frames).traces if index == 0 else None
            if unlimited:
                assert np.array_equal(unlimited[0].membrane, trace.membrane)
        if proof.silent == proof.neurons:
            assert not trace.spikes.any()
        assert np.array_equal(fit_array(trace.membrane.astype(np.int64), form, overflow), trace.membrane)


@pytest.mark.slow
@settings(max_examples=100)
@given(choices())
def test_no_reachable_state_leaves_its_bound(choose):
    program = any_program(choose, orders=True)
    program = replace(program, steps=min(program.steps, 12))
    assert_within(program, greedy_frames(choose, program, 4))


@pytest.mark.slow
@settings(max_examples=20)
@given(arithmetics(weight_bits=4), st.sampled_from([conv_program, rich_program]), choices())
def test_no_reachable_state_of_many_layers_leaves_its_bound(rules, make, choose):
    program = make(np.random.default_rng(0), rules)
    assert_within(program, greedy_frames(choose, program, 4))


def tiny(rng, arithmetic, decay, steps):
    """Two inputs of 0..2, one neuron: nine inputs a step, all of which can be tried."""
    layer = Dense(
        frozen_ints(rng.integers(-7, 8, (1, 2))),
        frozen_ints(rng.integers(-3, 4, 1)),
        frozen_ints(rng.integers(1, 20, 1)),
        0,
        frozen_ints([decay]),
    )
    out = Readout(frozen_ints([[1]]), frozen_ints([0]), 0)
    return Program("tiny", (1, 1, 2), 2, steps, ("a",), arithmetic, (layer, out))


def reachable(program):
    """The lowest and highest membrane potential before saturation over all inputs, breadth first."""
    layer, rules = program.layers[0], program.arithmetic
    currents = {
        int(layer.weight[0] @ np.array(x)) + int(layer.bias[0])
        for x in itertools.product(range(program.input_max + 1), repeat=2)
    }
    states, seen = {0}, set()
    for _ in range(program.steps):
        totals = set()
        for u in states:
            # one sample, one step from u, in the widest format: the reference itself says what comes next
            fires = u >= layer.vth[0] if rules.comparison == ">=" else u > layer.vth[0]
            reset = (u if rules.reset == "zero" else int(layer.vth[0])) if fires else 0
            late = reset if (rules.reset, rules.reset_order) == ("subtract", "after-leak") else 0
            kept = _leak(u - (reset - late), layer.v_decay[0], rules)
            totals |= {kept + c - late for c in currents}
        seen |= totals
        states = {int(fit_array(np.array([t]), rules.state, rules.overflow)[0]) for t in totals} | {0}
    return min(seen), max(seen)


def _leak(u, decay, rules):
    exact = u * (4096 - int(decay)) / 4096
    return int({"toward-zero": np.trunc, "floor": np.floor}[rules.leak_rounding](exact))


@pytest.mark.parametrize(
    ("reset", "order"), [("subtract", "after-leak"), ("subtract", "before-leak"), ("zero", "after-leak")]
)
def test_bounds_of_tiny_programs_are_sound_and_mostly_exact(reset, order):
    rng, exact, number = np.random.default_rng(3), 0, 120
    for _ in range(number):
        arithmetic = replace(
            RULES, reset=reset, leak_rounding=str(rng.choice(["toward-zero", "floor"])), state=QFormat(6, 0),
            reset_order=order,
        )  # fmt: skip
        program = tiny(rng, arithmetic, int(rng.choice([0, 1024, 2048, 4096])), steps=6)
        low, high = reachable(program)
        bound = prove(program)[0]
        assert bound.membrane[0] <= low
        assert high <= bound.membrane[1]
        # What the interval adds is at most what one step's leak makes of the gaps between reachable states.
        exact += bound.membrane == (low, high)
    assert exact >= 0.8 * number


@pytest.mark.parametrize("order", RESET_ORDERS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("comparison", [">=", ">"])
def test_what_leak_and_reset_leave_is_an_interval_with_both_ends_reached(order, rounding, comparison):
    """Enumerated over all states of intervals around thresholds; where every state fires, it is wider."""
    rng, tight = np.random.default_rng(8), 0
    rules = replace(RULES, leak_rounding=rounding, comparison=comparison, reset_order=order)
    for _ in range(60):
        vth, decay = int(rng.integers(-30, 31)), int(rng.choice([0, 1, 1365, 2048, 4095, 4096]))
        low, high = -int(rng.integers(91)), int(rng.integers(91))
        layer = Dense(frozen_ints([[1]]), frozen_ints([0]), frozen_ints([vth]), 0, frozen_ints([decay]))
        growth = Growth(layer, Interval(*np.zeros((2, 1), np.int64)), rules)
        growth.state = Interval(np.array([low]), np.array([high]))
        found, left = growth._kept(), {0}
        for u in range(low, high + 1):
            spike = u >= vth if comparison == ">=" else u > vth
            early, late = (0, vth * spike) if order == "after-leak" else (vth * spike, 0)
            left.add(divide_pow2((u - early) * (4096 - decay), 12, rounding) - late)
        ends = int(found.low[0]), int(found.high[0])
        assert ends[0] <= min(left) <= max(left) <= ends[1]
        if low < growth.fires_at[0]:
            assert ends == (min(left), max(left)), (vth, decay, low, high)
            tight += 1
    assert tight > 40


def test_worst_case_sums_are_reached():
    rng = np.random.default_rng(0)
    for program in (fc_program(rng), conv_program(rng)):
        bounds, layer = bound_neurons(program)[0], program.layers[0]
        ones = np.full((1, 1, *program.input_shape), program.input_max)
        assert np.array_equal(
            sums_over_time(layer, ones, np.maximum(layer.weight, 0))[0, 0], bounds.sums.high
        )
    program = fc_program(rng)
    positive = program.input_max * np.maximum(program.layers[0].weight, 0).sum(axis=1)
    assert prove(program)[0].high == positive.max() > 0


def test_borders_of_a_convolution_have_smaller_sums():
    """A 3x3 map under a 3x3 kernel: the corner sees 4 taps, an edge 6, the centre 9."""
    layer = replace(conv(np.random.default_rng(0), 1, 1), weight=frozen_ints(np.ones((1, 1, 3, 3))))
    program = Program("p", (1, 3, 3), 2, 4, tuple("abcdefghi"), RULES, (layer,))
    assert bound_neurons(program)[0].sums.high.tolist() == [8, 12, 8, 12, 18, 12, 8, 12, 8]


def one_neuron(weight, bias, vth, *, decay=2048, steps=10, rules=RULES, **more):
    rules = replace(rules, weight_bits=32)
    layer = Dense(
        frozen_ints([[weight]]), frozen_ints([bias]), frozen_ints([vth]), 0, frozen_ints([decay]), **more
    )
    return Program(
        "one", (1, 1, 1), 1, steps, ("a",), rules, (layer, readout(np.random.default_rng(0), 1, 1))
    )


def test_a_hand_made_bound():
    """w 10, leak 1/2, vth 16: up to 10 + 15/2 without a spike before, down to 16/2 - 16 after one."""
    proof = prove(one_neuron(10, 0, 16))[0]
    assert proof.membrane == (-8, 17)
    assert (proof.saturating, proof.silent, proof.settled) == (0, 0, True)
    # less than half of the threshold a step cannot add up to it
    assert prove(one_neuron(7, 0, 16))[0].silent == 1
    assert prove(one_neuron(8, 0, 16))[0].silent == 1  # 8 + 15/2 truncates to 15
    assert prove(one_neuron(9, 0, 16))[0].silent == 0


def test_without_a_leak_the_bound_holds_for_the_programs_steps_only():
    proof = prove(one_neuron(-5, 0, 100, decay=0, steps=10))[0]
    assert (proof.membrane, proof.settled, proof.saturating) == ((-50, 0), False, 0)
    assert prove(one_neuron(-5, 0, 100, decay=0, steps=30))[0].saturating == 1


@pytest.mark.slow
def test_a_run_of_too_many_steps_gets_bounds_that_hold_for_ever(monkeypatch):
    """Found at once, and no narrower than those that grew."""
    program = one_neuron(-1, 0, 16, decay=0, rules=replace(RULES, state=QFormat(24, 4)))
    assert prove(program)[0].membrane == (-10, 0)
    proof = prove(replace(program, steps=1_000_000))[0]
    assert (proof.membrane, proof.settled) == ((-(2**23) - 1, 2**23 - 1 - 16), True)
    monkeypatch.setattr(proofs, "GROWTH", 0)
    rng, choose = np.random.default_rng(3), Seeded(3)
    for make in (fc_program, conv_program, rich_program):
        program = make(rng)
        assert_within(program, greedy_frames(choose, program, 5))


def test_a_wrapping_current_may_be_anything():
    rules = replace(RULES, state=QFormat(24, 6), overflow="wrap")
    program = one_neuron(1 << 20, 0, 16, rules=rules, u_decay=frozen_ints([0]), steps=20)
    assert prove(program)[0].wrapping == 1
    assert prove(replace(program, steps=7))[0].wrapping == 0


def test_signed_bits():
    wanted = {(0, 0): 1, (-1, 0): 1, (0, 1): 2, (-2, 1): 2, (-128, 127): 8, (-129, 0): 9, (0, 128): 9}
    assert {ends: signed_bits(*ends) for ends in wanted} == wanted


def test_input_maxima_follow_pools():
    program = conv_program(np.random.default_rng(0))
    assert input_maxima(program) == [3, 1, 4, 1, 2, 1]
    average = replace(program, layers=(program.layers[0], SumPool((2, 2), -1), *program.layers[2:]))
    assert input_maxima(average)[2] == 2


def test_states_at_the_ends_are_counted():
    program = fc_program(np.random.default_rng(4), replace(RULES, state=QFormat(6, 4)))
    frames = random_frames(np.random.default_rng(1), program, 10)
    traces = run_reference(program, frames, trace=True).traces
    membranes = [trace.membrane for trace in traces]
    wanted = [int(np.isin(membrane, (-32, 31)).sum()) for membrane in membranes]
    assert states_at_the_ends(program, membranes) == wanted
    assert wanted[0] > 0
    symmetric = replace(program, arithmetic=replace(program.arithmetic, overflow="saturate-symmetric"))
    assert states_at_the_ends(symmetric, membranes)[0] == int(np.isin(membranes[0], (-31, 31)).sum())
    wrapping = replace(program, arithmetic=replace(program.arithmetic, overflow="wrap"))
    assert states_at_the_ends(wrapping, membranes) == [None, None]
