"""The vectorised specification: types that are proved exact, blocks of samples and steps, and who watches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, DataError
from sast_deploy.engines import vectorised
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import PRODUCTS, STATES, run_vectorised
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, SumPool, frozen_ints
from sast_deploy.program.record import first_difference
from tests.programs import conv_program, decoder_program, fc_program, random_frames, rich_program

WIDE = Arithmetic(QFormat(32, 0), 32, "wrap", "half-even", "half-even", ">=", "subtract")
LARGEST = (1 << 31) - 1


def agree(program, frames, **options):
    record = run_vectorised(program, frames, trace=True, **options)
    assert first_difference(record, run_reference(program, frames, trace=True)) is None
    return record


@pytest.mark.parametrize("make", [fc_program, conv_program, rich_program, decoder_program])
@pytest.mark.parametrize(("block", "batch"), [(1, None), (20_000, None), (1, 2), (20_000, 3)])
def test_blocks_of_samples_and_steps_change_nothing(make, block, batch, monkeypatch):
    """One step of one sample at a time, some of them, or two samples a step at a time: what is under way, and
    what is remembered, comes along.
    """
    rng = np.random.default_rng(3)
    program = make(rng)
    frames = random_frames(rng, program, 5)
    monkeypatch.setattr(vectorised, "BLOCK", block)
    agree(program, frames, batch=batch)


@pytest.mark.parametrize(
    ("weights", "inputs", "kind"),
    [
        ([LARGEST], (1 << 24) // LARGEST + 1, np.float64),
        ([(1 << 24) - 2, 1], 1, np.float32),
        ([(1 << 24) - 1, 1], 1, np.float64),
        ([LARGEST, -LARGEST, 1], 1 << 20, np.float64),
        ([LARGEST, -LARGEST, 1], LARGEST, np.int64),
        ([LARGEST] * 3, LARGEST, object),
    ],
)
def test_sums_run_in_a_type_that_the_weights_prove_exact(weights, inputs, kind):
    """With float32 in place of float64, or either in place of integers, the last weight's 1 would be lost."""
    layer = Dense(frozen_ints([weights]), frozen_ints([0]), frozen_ints([5]), 0, frozen_ints([1000]))
    program = Program("w", (len(weights), 1, 1), inputs, 3, ("a",), WIDE, (layer,))
    network = vectorised._Network(program, 3)
    assert network.spiking[0].sums.kind == np.dtype(kind)
    frames = np.full((2, 3, len(weights), 1, 1), inputs, np.int64)
    frames[1, 1] = 1
    agree(program, frames)


@pytest.mark.parametrize(("most", "kind"), [(0, np.int32), ((1 << 31) - 1, np.int32), (1 << 31, np.int64),
                                            ((1 << 63) - 1, np.int64), (1 << 63, object)])  # fmt: skip
def test_states_are_as_wide_as_what_goes_into_a_step(most, kind):
    assert vectorised._type_for(most, STATES) == np.dtype(kind)


def test_a_float_type_is_exact_below_its_limit():
    for limit, kind in PRODUCTS[:2]:
        assert kind(limit - 1) != kind(limit)
        assert kind(limit) == kind(limit + 1)


@pytest.mark.parametrize("exponent", [31, 8, 0, -1, -31])
@pytest.mark.parametrize("rounding", ["toward-zero", "floor", "half-up", "half-even"])
def test_the_widest_states_weights_and_shifts(exponent, rounding):
    """States of 32 bits that wrap, filtered currents, sums of 64 bits shifted by 31: beyond int64."""
    rng = np.random.default_rng(exponent + 31)
    rules = replace(WIDE, leak_rounding=rounding, shift_rounding=rounding)
    ends = [-LARGEST - 1, LARGEST, -1, 0, 1]
    pick = lambda *shape: frozen_ints(rng.choice(ends, shape))  # noqa: E731
    layers = (
        Dense(pick(6, 4), pick(6), pick(6), exponent, frozen_ints(rng.choice([0, 1, 4095, 4096], 6)),
              u_decay=frozen_ints(rng.choice([0, 1, 4096], 6)), recurrent=pick(6, 6)),
        Readout(pick(2, 6), pick(2), min(exponent, 8)),
    )  # fmt: skip
    program = Program("w", (4, 1, 1), LARGEST, 7, ("a", "b"), rules, layers, input_min=-LARGEST)
    frames = rng.choice([*ends[1:], -LARGEST], (3, 7, 4, 1, 1))
    record = agree(program, frames)
    assert 0 < record.counts[0].sum() < record.counts[0].size * 7


@pytest.mark.parametrize("steps", [1, 2])
def test_logits_beyond_64_bits_are_refused_as_by_the_reference(steps):
    """2**31 * 2**31 in one step fits, in two it does not."""
    readout = Readout(frozen_ints([[-LARGEST - 1]]), frozen_ints([0]), 1)
    program = Program("w", (1, 1, 1), LARGEST, steps, ("a",), WIDE, (readout,))
    frames = np.full((2, steps, 1, 1, 1), LARGEST)
    frames[0] = 1
    if steps == 1:
        assert agree(program, frames).logits.min() < -(1 << 62)
        return
    reached = 2 * (1 << 32) * LARGEST
    for run in (run_reference, run_vectorised):
        with pytest.raises(CompileError, match=f"w: logits reach {reached}; expected at most"):
            run(program, frames)


def test_pools_of_the_widest_inputs():
    layers = (SumPool((3, 2), -31), SumPool((1, 1), 4), Readout(frozen_ints([[1, -1]]), frozen_ints([0]), 0))
    program = Program("p", (2, 3, 3), LARGEST, 2, ("a",), WIDE, layers, input_min=-LARGEST)
    frames = np.random.default_rng(0).integers(-LARGEST, LARGEST, (4, 2, 2, 3, 3))
    assert agree(program, frames).logits.any()


def test_a_kernel_that_sees_little_but_padding_takes_no_room():
    """A map of 131,073 x 131,073 padded inputs, of which one output in each corner is asked for."""
    conv = conv_program(np.random.default_rng(0)).layers[0]
    far = replace(
        conv, weight=conv.weight[:, :1, :1, :1], stride=(1 << 16, 1 << 16), padding=(1 << 16, 1 << 16),
        groups=2,
    )  # fmt: skip
    program = Program("far", (2, 1, 1), 3, 2, tuple("abcd" * 9), WIDE, (far,))
    frames = random_frames(np.random.default_rng(1), program, 3)
    assert agree(program, frames).traces[0].membrane.shape == (3, 2, 36)


def test_no_samples_no_steps_and_frames_that_do_not_fit():
    rng = np.random.default_rng(0)
    program = rich_program(rng)
    frames = random_frames(rng, program, 2)
    for some in (frames[:0], frames[:, :0], frames[:, :4], frames.astype(np.int32)):
        agree(program, some)
    with pytest.raises(DataError, match=r"frames with values 0\.\.4"):
        run_vectorised(program, frames * 0 + np.uint8(4))


def test_every_sample_is_told_and_every_step_is_watched(monkeypatch):
    rng = np.random.default_rng(0)
    program = rich_program(rng)
    frames = random_frames(rng, program, 5)
    monkeypatch.setattr(vectorised, "BLOCK", 20_000)
    told, seen = [], [np.zeros((3, 5, program.steps, size), np.int64) for size in (96, 7, 5)]

    def watch(number, samples, sums, membranes, spikes):
        at = watch.steps.setdefault((number, samples.start), 0)
        watch.steps[number, samples.start] = at + len(sums)
        for kind, values in enumerate((sums, membranes, spikes)):
            seen[number][kind, samples, at : at + len(sums)] = values.transpose(2, 0, 1)

    watch.steps = {}
    record = run_vectorised(
        program, frames, trace=True, watch=watch, progress=lambda each: (told.append(n) or n for n in each)
    )
    assert told == [0, 1, 2, 3, 4]
    assert len({start for _, start in watch.steps}) > 1
    for (sums, membranes, spikes), trace in zip(seen, record.traces, strict=True):
        assert np.array_equal(membranes, trace.membrane)
        assert np.array_equal(spikes, trace.spikes)
        assert sums.any()
