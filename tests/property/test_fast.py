"""The fast engine against the reference, over random programs and all rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, frozen_ints
from sast_deploy.program.record import first_difference
from tests.anyprogram import Choices, any_program, any_rules
from tests.strategies import cases

pytestmark = pytest.mark.slow


def agree(program, frames):
    got = run_fast(program, frames, trace=True, batch=2, threads=1)
    assert first_difference(got, run_reference(program, frames, trace=True)) is None


@settings(max_examples=150)
@given(cases(samples=3))
def test_any_program(case):
    agree(*case)


def leaky_readout(choose: Choices) -> Program:
    return any_program(choose, upsamples=True, integrates=True)


@settings(max_examples=100)
@given(cases(leaky_readout, samples=3))
def test_any_program_with_a_leaky_readout(case):
    agree(*case)


def many_inputs(choose: Choices) -> Program:
    """Two dense layers with more inputs and neurons than one vector of the kernels has lanes."""
    rules = any_rules(choose, orders=True)
    low = -(1 << (rules.weight_bits - 1))
    inputs, hidden = choose.integer(1, 90), choose.pick((3, 37, 70))

    def layer(outputs, width):
        return Dense(
            frozen_ints(choose.ints(low, -low - 1, (outputs, width))),
            frozen_ints(choose.ints(-3, 3, (1,))),
            frozen_ints(choose.ints(-5, 2 * -low, (outputs,))),
            choose.integer(-8, 2),
            frozen_ints(choose.ints(0, 4096, (1,))),
        )

    out = Readout(frozen_ints(choose.ints(low, -low - 1, (3, 11))), frozen_ints(choose.ints(-9, 9, (3,))), 0)
    layers = (layer(hidden, inputs), layer(11, hidden), out)
    return Program("wide", (1, 1, inputs), choose.pick((1, 4, 255)), 5, ("a", "b", "c"), rules, layers)


@settings(max_examples=60)
@given(cases(many_inputs, samples=3))
def test_weights_of_any_width_and_saturating_inputs(case):
    agree(*case)


def many_channels(choose: Choices) -> Program:
    """Two convolutions of more channels than `any_program` has, one of them in groups."""
    rules = any_rules(choose, orders=True)
    low = max(-(1 << (rules.weight_bits - 1)), -128)
    groups, axes = choose.pick((1, 2, 4)), [choose.ints(1, high, (2,)).tolist() for high in (4, 3, 2)]
    kernel, stride, dilation = (tuple(axis) for axis in axes)

    def layer(outputs, channels, kernel, *geometry):
        weight = frozen_ints(choose.ints(low, -low - 1, (outputs, channels, *kernel)))
        vectors = (choose.ints(-3, 3, (1,)), choose.ints(1, 40, (outputs,)))
        return Conv2d(weight, *map(frozen_ints, vectors), -2, frozen_ints([2048]), *geometry)

    first = layer(8, 4 // groups, kernel, stride, tuple(choose.ints(0, 3, (2,)).tolist()), dilation, groups)
    second = layer(4, 8, (1, 2), (1, 1), (0, 1), (1, 1), 1)
    maps = second.out_shape(first.out_shape((4, 9, 7)))
    weight = frozen_ints(choose.ints(-2, 1, (2, int(np.prod(maps)))))
    layers = (first, second, Readout(weight, frozen_ints([0, 1]), 0))
    return Program("conv", (4, 9, 7), 3, 3, ("a", "b"), rules, layers)


@settings(max_examples=40)
@given(cases(many_channels, samples=1))
def test_convolutions_of_many_channels(case):
    agree(*case)


@settings(max_examples=30)
@given(cases(), st.integers(1, 3), st.sampled_from([1, 2]))
def test_batches_and_threads_change_nothing(case, batch, threads):
    program, frames = case
    frames = np.concatenate([frames, frames[::-1]])
    got = run_fast(replace(program, name="b"), frames, trace=True, batch=batch, threads=threads)
    assert first_difference(got, run_fast(program, frames, trace=True, batch=len(frames), threads=1)) is None
