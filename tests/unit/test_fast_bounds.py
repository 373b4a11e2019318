"""The fast engine's integer widths: chosen at the very edge, and a planted narrower one is found out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError
from sast_deploy.engines.fast import bounds, plan as plans, run_fast
from sast_deploy.engines.fast.bounds import choose_widths, largest_intermediate, largest_sum, most_rows
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, frozen_ints
from sast_deploy.program.record import first_difference

RULES = Arithmetic(QFormat(16, 8), 8, "saturate", "toward-zero", "half-up", ">=", "subtract")
INT32 = 2**31 - 1


def layer(weight, exponent=0, **more):
    one = frozen_ints([1])
    return Dense(frozen_ints(weight), frozen_ints([0]), one, exponent, frozen_ints([2048]), **more)


def widths(weight, x_max=1, rules=RULES, **more):
    found = choose_widths(layer(weight, **more), x_max, rules, "layer 0")
    return np.dtype(found.weight), np.dtype(found.partial), np.dtype(found.total)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-127, 127, np.int8),
        (-128, 127, np.int8),
        (-129, 0, np.int16),
        (0, 128, np.int16),
        (-32768, 32767, np.int16),
        (0, 32768, np.int32),
        (-32769, 0, np.int32),
    ],
)
def test_the_weights_range_chooses_their_type(low, high, expected):
    assert widths([[low, high]])[0] == expected


def test_recurrent_weights_count_too():
    recurrent = frozen_ints([[300]])
    assert widths([[1]], recurrent=recurrent) == (np.int16, np.int32, np.int32)
    assert largest_sum(layer([[1, -2]], recurrent=recurrent), 255) == 3 * 255 + 300


def test_the_total_widens_where_the_bound_passes_int32():
    # state and reset add to the sum: find the largest weighted sum that still fits
    slack = INT32 - largest_intermediate(layer([[0]]), 0, RULES)
    assert slack > 2**30  # the sum decides, not the leak
    room = INT32 - (2 * 2**15 + 1)
    rows = [[32767] * (room // 32767) + [room % 32767]]
    assert largest_sum(layer(rows), 1) == room
    assert widths(rows) == (np.int16, np.int32, np.int32)
    rows[0][-1] += 1
    assert widths(rows) == (np.int32, np.int64, np.int64)


@pytest.mark.parametrize(("bits", "expected"), [(19, np.int32), (20, np.int64), (24, np.int64)])
def test_the_leaks_product_needs_twelve_bits_more_than_the_state(bits, expected):
    assert widths([[1]], rules=replace(RULES, state=QFormat(bits, 4)))[2] == expected


@pytest.mark.parametrize(
    ("order", "sign", "decay", "expected"),
    [
        ("before-leak", -1, 1, np.int64),
        ("before-leak", -1, 0, np.int32),
        ("before-leak", 1, 1, np.int32),
        ("after-leak", -1, 1, np.int32),
    ],
)
def test_a_negative_threshold_counts_where_it_is_taken_off_before_a_leak(order, sign, decay, expected):
    """The product with 4096 ends at 2**31 - 1 - 2**12, and -vth joins the 2**15 of the state in it."""
    beyond, rules = ((INT32 - (1 << 12)) >> 12) - (1 << 15) + 1, replace(RULES, reset_order=order)
    for vth, total in ((beyond, expected), (beyond - 1, np.int32)):
        neurons = replace(layer([[1]]), vth=frozen_ints([sign * vth]), v_decay=frozen_ints([decay]))
        assert choose_widths(neurons, 1, rules, "").total is total


def test_left_shifts_count():
    assert widths([[100]], exponent=24)[2] == np.int32
    assert widths([[100]], exponent=25)[2] == np.int64


def test_partial_sums_take_in_what_fits():
    assert choose_widths(layer([[-128, 5]]), 255, RULES, "").partial_inputs == 32767 // 128
    assert choose_widths(layer([[7, -7]]), 255, RULES, "").partial_inputs == 32767 // 7


def test_more_than_64_bits_are_refused():
    with pytest.raises(CompileError, match=r"layer 3.*reach.*expected at most 9223372036854775807"):
        choose_widths(layer([[2**31 - 1]], exponent=31), 255, RULES, "layer 3")


def extreme(weight_value, inputs=600, exponent=-6):
    """One neuron whose every input is the largest, so that all sums reach their bounds."""
    rows = [[weight_value] * inputs, [-weight_value] * inputs]
    hidden = replace(layer(rows, exponent), vth=frozen_ints([9]))
    last = Readout(frozen_ints([[1, 2], [3, -4]]), frozen_ints([0, 1]), 0)
    rules = replace(RULES, weight_bits=32)
    program = Program("extreme", (1, 1, inputs), 255, 3, ("a", "b"), rules, (hidden, last))
    return program, np.full((2, 3, 1, 1, inputs), 255, np.uint8)


@pytest.mark.parametrize("weight", [1, 7, 127, -128, 129, 32767, -32768, 2**31 - 1])
@pytest.mark.parametrize("inputs", [1, 7, 8, 9, 64, 600])
def test_sums_at_their_bounds_are_exact(weight, inputs):
    program, frames = extreme(weight, inputs)
    got = run_fast(program, frames, trace=True, threads=1)
    assert first_difference(got, run_reference(program, frames, trace=True)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "planted"),
    [
        (129, {"weight": np.int8}),
        (30000, {"partial": np.int16}),
        (2**30, {"weight": np.int32, "partial": np.int64, "total": np.int32}),
    ],
)
def test_a_planted_narrow_type_is_caught(weight, planted, monkeypatch):
    program, frames = extreme(weight)
    expected = run_reference(program, frames, trace=True)

    def narrowed(*arguments):
        return replace(choose_widths(*arguments), **planted)

    monkeypatch.setattr(plans, "choose_widths", narrowed)
    got = run_fast(program, frames, trace=True, threads=1)
    assert first_difference(got, expected) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bound", "weight"), [("narrow_rows", 7), ("narrow_rows", 127), ("wide_rows", 7), ("wide_rows", 127),
                          ("unit_rows", 127)],
)  # fmt: skip
def test_a_planted_sum_of_16_bits_that_never_stops_is_caught(weight, bound, monkeypatch):
    """unit_rows is what lists by count go by; places of a convolution go by the others."""
    program, frames = extreme(weight, 300)
    if bound != "unit_rows":
        program, frames = as_convolution(program), frames.reshape(2, 3, 300, 1, 1)
    expected = run_reference(program, frames, trace=True)
    assert first_difference(run_fast(program, frames, trace=True), expected) is None
    plan_lanes = plans._plan_lanes

    def endless(*arguments):
        return plan_lanes(*arguments)._replace(**{bound: 10**6})

    monkeypatch.setattr(plans, "_plan_lanes", endless)
    assert first_difference(run_fast(program, frames, trace=True), expected) is not None


def as_convolution(program):
    """The first layer as one of 1 x 1 kernels over one pixel of as many channels."""
    hidden, last = program.layers
    weight = frozen_ints(hidden.weight[:, :, None, None])
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    conv = Conv2d(weight, hidden.bias, hidden.vth, hidden.weight_exp, hidden.v_decay, *geometry)
    return replace(program, input_shape=(300, 1, 1), layers=(conv, last))


@pytest.mark.parametrize("most", [-1, 0, 1, 9, 10, 11, 10**6])
def test_rows_are_counted_by_the_largest_weights(most):
    one = layer([[5, -4, 1, 0], [2, 2, 2, 2]])
    expected = {-1: -1, 0: 0, 1: 0, 9: 2, 10: 4, 11: 4, 10**6: 4}[most]
    assert most_rows(one, most) == expected


def test_the_ladder_ends_with_what_always_fits():
    assert bounds.LADDER[-1][2] is np.int64
