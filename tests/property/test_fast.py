"""The fast engine against the reference, over random programs and all rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sast_deploy.program import Program, frozen_ints
from sast_deploy.simulate.fast import run_fast
from sast_deploy.simulate.record import first_difference
from sast_deploy.simulate.reference import run_reference
from tests.programs import conv, conv_program, dense, fc_program, random_frames, readout, rich_program
from tests.strategies import arithmetics

rules = arithmetics(24)


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


@settings(max_examples=80)
@given(
    rules,
    st.integers(0, 2**32 - 1),
    st.integers(2, 16),
    st.integers(-12, 2),
    st.sampled_from([1, 4, 255]),
    st.floats(0, 1),
)
def test_weights_of_any_width_and_saturating_inputs(arithmetic, seed, bits, exponent, count_max, density):
    rng = np.random.default_rng(seed)
    largest = 2 ** (bits - 1) - 1
    inputs = int(rng.integers(1, 90))
    first = dense(rng, inputs, 37, exponent=exponent, weight=largest)
    second = replace(dense(rng, 37, 11, weight=largest), vth=frozen_ints(rng.integers(-5, 2 * largest, 11)))
    layers = (first, second, readout(rng, 11, 3, exponent))
    arithmetic = replace(arithmetic, weight_bits=max(bits, 4))
    program = Program("wide", (1, 1, inputs), count_max, 5, ("a", "b", "c"), arithmetic, layers)
    agree(program, random_frames(rng, program, 3, density))


@settings(max_examples=60)
@given(
    rules,
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([1, 2, 4]),
)
def test_convolutions_of_any_geometry(arithmetic, seed, kernel, stride, padding, dilation, groups):
    rng = np.random.default_rng(seed)
    shape = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    first, second = conv(rng, 4, 8, **shape), conv(rng, 8, 4, kernel=(1, 2))
    sizes = first.out_shape((4, 9, 7)), second.out_shape(first.out_shape((4, 9, 7)))
    layers = (first, second, readout(rng, int(np.prod(sizes[1])), 2))
    program = Program("conv", (4, 9, 7), 3, 3, ("a", "b"), arithmetic, layers)
    agree(program, random_frames(rng, program, 1))
