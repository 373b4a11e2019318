"""The fast engine against the reference, over random programs and all rules."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_deploy.fixedpoint import OVERFLOWS, ROUNDINGS, Arithmetic, QFormat
from sast_deploy.simulate.fast import run_fast
from sast_deploy.simulate.record import first_difference
from sast_deploy.simulate.reference import run_reference
from tests.programs import conv_program, fc_program, random_frames, rich_program

rules = st.builds(
    Arithmetic,
    state=st.builds(QFormat, st.integers(5, 24), st.just(4)),
    weight_bits=st.just(4),
    overflow=st.sampled_from(OVERFLOWS),
    leak_rounding=st.sampled_from(ROUNDINGS),
    shift_rounding=st.sampled_from(ROUNDINGS),
    comparison=st.sampled_from([">=", ">"]),
    reset=st.sampled_from(["subtract", "zero"]),
)


def agree(program, frames):
    got = run_fast(program, frames, trace=True, batch=2, threads=1)
    assert first_difference(got, run_reference(program, frames, trace=True)) is None


@settings(max_examples=150)
@given(rules, st.integers(0, 2**32 - 1), st.integers(-5, 3), st.integers(0, 4096))
def test_dense_programs(arithmetic, seed, exponent, decay):
    rng = np.random.default_rng(seed)
    program = fc_program(rng, arithmetic, exponent=exponent, decay=decay)
    agree(program, random_frames(rng, program, 3))


@settings(max_examples=25)
@given(rules, st.integers(0, 2**32 - 1))
def test_convolutional_programs(arithmetic, seed):
    rng = np.random.default_rng(seed)
    program = conv_program(rng, arithmetic)
    agree(program, random_frames(rng, program, 2))


@settings(max_examples=100)
@given(rules, st.integers(0, 2**32 - 1))
def test_rich_programs(arithmetic, seed):
    rng = np.random.default_rng(seed)
    program = rich_program(rng, arithmetic)
    agree(program, random_frames(rng, program, 2))
