"""The two specifications, the reference and the vectorised one, over random programs and all rules."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings, strategies as st

from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import (
    OVERFLOWS,
    ROUNDINGS,
    QFormat,
    divide_pow2,
    divide_pow2_array,
    fit,
    fit_array,
)
from sast_deploy.program.program import frozen_ints
from sast_deploy.program.record import first_difference
from tests.programs import RULES, fc_program, random_frames, vectorised
from tests.strategies import cases


@pytest.mark.slow
@settings(max_examples=150)
@given(cases())
def test_any_program_agrees_with_the_second_specification(case):
    program, frames = case
    got, expected = run_reference(program, frames, trace=True), vectorised(program, frames)
    assert first_difference(got, expected) is None


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"comparison": ">"}, {"overflow": "wrap"}, {"reset_order": "after-leak"}])
def test_a_planted_bug_shrinks_to_one_neuron(change):
    """Where a property fails, hypothesis shows the least program that does: the strategies can shrink."""

    def differs(case):
        program, frames = case
        if program.steps > 9:
            return False  # shrinking tries hundreds
        wrong = replace(program, arithmetic=replace(program.arithmetic, **change))
        return first_difference(vectorised(program, frames), vectorised(wrong, frames)) is not None

    searching = settings(database=None, max_examples=1000, suppress_health_check=list(HealthCheck))
    program, frames = find(cases(), differs, settings=searching, random=random.Random(0))
    assert sum(np.prod(shape) for shape in program.shapes()[1:]) <= 3
    assert frames.size <= 4


def test_without_a_readout_the_logits_are_the_last_spikes():
    rng = np.random.default_rng(2)
    program = fc_program(rng, hidden=(9, 6))
    last = replace(program.layers[1], vth=frozen_ints([3]))
    spiking = replace(program, layers=(program.layers[0], last), classes=tuple("abcdef"))
    frames = random_frames(rng, program, 5)
    record = run_reference(spiking, frames, trace=True)
    assert record.logits.tolist() == record.counts[1].tolist()
    assert record.logits.sum() > 0
    assert first_difference(record, vectorised(spiking, frames)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"leak_rounding": "floor"},
        {"shift_rounding": "floor"},
        {"comparison": ">"},
        {"reset": "zero"},
        {"reset_order": "before-leak"},
        {"overflow": "wrap"},
        {"state": QFormat(16, 8)},
    ],
)
def test_every_rule_matters(change):
    """A planted change of any one rule is found: the comparison above can fail."""
    rng = np.random.default_rng(5)
    program = fc_program(rng, replace(RULES, state=QFormat(7, 4)), exponent=-1)
    frames = random_frames(rng, program, 20)
    wrong = replace(program, arithmetic=replace(program.arithmetic, **change))
    expected = run_reference(program, frames, trace=True)
    assert first_difference(expected, vectorised(program, frames)) is None
    difference = first_difference(expected, vectorised(wrong, frames))
    assert difference is not None
    assert difference.startswith("sample ")


def test_states_are_cleared_between_samples():
    rng = np.random.default_rng(1)
    program = fc_program(rng)
    frames = random_frames(rng, program, 4)
    together = run_reference(program, frames, trace=True)
    for n in range(4):
        alone = run_reference(program, frames[n : n + 1], trace=True)
        assert np.array_equal(alone.traces[0].membrane[0], together.traces[0].membrane[n])
        assert np.array_equal(alone.logits[0], together.logits[n])


@given(st.integers(-(2**40), 2**40), st.integers(0, 20), st.sampled_from(ROUNDINGS))
def test_both_divisions_agree(value, n, rounding):
    assert divide_pow2_array(np.array([value]), n, rounding).tolist() == [divide_pow2(value, n, rounding)]


@given(st.integers(-(2**40), 2**40), st.integers(2, 24), st.sampled_from(OVERFLOWS))
def test_both_fits_agree(value, bits, overflow):
    form = QFormat(bits, 0)
    got = fit(value, form, overflow)
    assert fit_array(np.array([value]), form, overflow).tolist() == [got]
    assert form.low <= got <= form.high
    assert (got - value) % (1 << bits) == 0 or overflow != "wrap"
    assert got >= -form.high or overflow != "saturate-symmetric"
