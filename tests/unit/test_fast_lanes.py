"""The fast engine's vector kernels: widths around a vector's, ways through the step, few inputs and many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.fast import FastEngine
from sast_deploy.engines.fast.neurons import FLOOR, KEPT, QUICK, TOWARD_ZERO
from sast_deploy.engines.fast.rows import pair_rows
from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.program import Conv2d, Program, frozen_ints
from sast_deploy.program.record import first_difference
from tests.programs import GEOMETRIES, RULES, conv, dense, random_frames, readout, vectorised

WIDTHS = [1, 15, 16, 17, 31, 33, 48, 49, 64, 65, 95, 130]
CHANNELS = {"few inputs": 4, "many inputs": 32}  # of a place: may be added one by one, or are listed for each
PLANE = (7, 6)
WIDE_STATE = replace(RULES, state=QFormat(16, 8))


def program_of(rng, layer, channels, plane=PLANE, rules=RULES, steps=6, input_max=4):
    """The layer and a readout of all its neurons."""
    shape, outputs = (channels, *plane), len(layer.weight)
    if isinstance(layer, Conv2d):
        outputs *= int(np.prod([axis.outputs for axis in layer.axes(shape)]))
    layers = (layer, readout(rng, outputs, 3))
    return Program("lanes", shape, input_max, steps, ("a", "b", "c"), rules, layers)


def differences(program, frames):
    """Where the engine and the second specification part, with frames as arrays."""
    return first_difference(FastEngine(program).run(frames, trace=True), vectorised(program, frames))


def with_silence(rng, program, density=0.06, samples=3):
    """Frames of which whole steps and regions are silent, so that places rest and wake."""
    frames = random_frames(rng, program, samples, density)
    frames[:, 1:3] = 0
    frames[:, :, :, : program.input_shape[1] // 2] *= rng.random((samples, program.steps, 1, 1, 1)) < 0.3
    return frames


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("outputs", WIDTHS)
@pytest.mark.parametrize("input_max", [1, 4])
def test_convolutions_of_every_width(outputs, channels, input_max):
    rng = np.random.default_rng(outputs)
    program = program_of(rng, conv(rng, channels, outputs), channels, input_max=input_max)
    lanes = FastEngine(program).plans[0].lanes
    assert (len(lanes.targets_of) > 0) == (channels == CHANNELS["few inputs"])
    for density in (0.06, 0.6):
        assert differences(program, with_silence(rng, program, density)) is None


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("bias", [0, 3])
def test_convolutions_of_every_geometry(geometry, channels, bias):
    """Without a bias a place without events rests, with one it does not."""
    rng = np.random.default_rng(5)
    layer = replace(conv(rng, channels, 20, **geometry), bias=frozen_ints(np.full(20, bias)))
    program = program_of(rng, layer, channels, plane=(11, 12))
    assert differences(program, with_silence(rng, program)) is None


@pytest.mark.parametrize("outputs", WIDTHS)
@pytest.mark.parametrize("input_max", [1, 4])
def test_dense_layers_of_every_width(outputs, input_max):
    rng = np.random.default_rng(outputs)
    program = program_of(rng, dense(rng, 84, outputs), 2, input_max=input_max)
    assert differences(program, with_silence(rng, program, 0.4)) is None


DECAYS = {"no leak": [0], "all leak": [1, 700, 4096], "some leak": [0, 700, 4096]}
RESETS = {
    "zero": {"reset": "zero"}, "after-leak": {}, "after-leak, wrap": {"overflow": "wrap"},
    "before-leak": {"reset_order": "before-leak"},
    "before-leak, wrap": {"reset_order": "before-leak", "overflow": "wrap"},
}  # fmt: skip


@pytest.mark.parametrize("decays", DECAYS.values(), ids=DECAYS)
@pytest.mark.parametrize("rounding", ["floor", "toward-zero", "half-up", "half-even"])
@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
@pytest.mark.parametrize("rules", [RULES, WIDE_STATE], ids=["8 bits", "16 bits"])
def test_every_way_through_the_step(rules, decays, rounding, reset):
    """From the ends of the state's range, too: weights are as large as they can be."""
    rng = np.random.default_rng(7)
    rules = replace(rules, leak_rounding=rounding, weight_bits=8, **reset)
    layer = replace(
        dense(rng, 84, 50), v_decay=frozen_ints(np.resize(decays, 50)), weight_exp=rules.state.bits // 4,
        weight=frozen_ints(rng.integers(-128, 128, (50, 84))),
    )  # fmt: skip
    program = program_of(rng, layer, 2, rules=rules, steps=12)
    ways = {"no leak": KEPT, "all leak": {"floor": FLOOR, "toward-zero": TOWARD_ZERO}.get(rounding, 0)}
    label = next(name for name, values in DECAYS.items() if values is decays)
    assert FastEngine(program).plans[0].rules[QUICK] == ways.get(label, 0)
    record = vectorised(program, random_frames(rng, program, 4, 0.1))
    membranes = record.traces[0].membrane
    ends = {rules.state.low, rules.state.high}
    assert {membranes.min(), membranes.max()} >= ends or rules.overflow == "wrap"
    assert differences(program, random_frames(rng, program, 4, 0.1)) is None


@pytest.mark.parametrize("bits", [8, 15, 16, 17, 19])
@pytest.mark.parametrize("vth", [0, -1, -32, -9000])
@pytest.mark.parametrize("outputs", [16, 50])
def test_a_negative_threshold_before_the_leak_leads_beyond_the_state(bits, vth, outputs):
    """u - vth needs more bits than u, and what the leak leaves of it too."""
    rng = np.random.default_rng(bits)
    rules = replace(RULES, state=QFormat(bits, 4), reset_order="before-leak", weight_bits=8)
    layer = replace(
        dense(rng, 84, outputs), vth=frozen_ints([vth]), v_decay=frozen_ints([1]), weight_exp=bits // 4,
        weight=frozen_ints(rng.integers(0, 128, (outputs, 84))),
    )  # fmt: skip
    program = program_of(rng, layer, 2, rules=rules, steps=12)
    frames = random_frames(rng, program, 4, 0.3)
    assert vectorised(program, frames).traces[0].membrane.max() == rules.state.high
    assert differences(program, frames) is None


@pytest.mark.parametrize("steps", [1, 255, 256, 300])
def test_spikes_of_maps_are_counted_beyond_a_byte(steps):
    rng = np.random.default_rng(steps)
    layer = replace(conv(rng, 2, 18), bias=frozen_ints(np.full(18, 90)), vth=frozen_ints(np.full(18, 4)))
    program = program_of(rng, layer, 2, steps=steps)
    frames = random_frames(rng, program, 1, 0.1)
    expected = vectorised(program, frames)
    assert expected.counts[0].max() == steps
    assert first_difference(FastEngine(program).run(frames), expected) is None


def test_sums_of_paired_rows_reach_both_ends():
    """32,767 and -32,768 in 16 bits, of which the halves overflow on the way."""
    rng = np.random.default_rng(0)
    weight = np.zeros((64, 84), np.int64)
    weight[:32] = 127
    weight[32:] = -128
    layer = dense(rng, 84, 64)
    layer = replace(layer, weight=frozen_ints(weight), bias=frozen_ints([0]), vth=frozen_ints([100]))
    rules = replace(WIDE_STATE, weight_bits=8)
    program = program_of(rng, layer, 2, rules=rules, steps=2, input_max=255)
    frames = np.zeros((3, 2, 2, *PLANE), np.uint8)
    frames[0], frames[1, 0], frames[2].reshape(2, -1)[:, :2] = 255, 1, 129
    assert differences(program, frames) is None


def test_paired_rows_hold_every_weight():
    table = np.arange(-128, 128, dtype=np.int64).astype(np.int8).repeat(2)[: 4 * 96].reshape(4, 96)
    paired = pair_rows(table)
    assert paired.shape == (4, 128)
    assert not paired[:, 96:].any()
    words = paired.view("<i2")
    high = words >> 8
    low = words - 256 * high - 128
    for half, lanes in (
        (low[:, :32], slice(0, 32)), (high[:, :32], slice(32, 64)), (low[:, 32:48], slice(64, 80)),
        (high[:, 32:48], slice(80, 96)),
    ):  # fmt: skip
        assert np.array_equal(half, table[:, lanes])


@pytest.mark.slow
@pytest.mark.parametrize("input_max", [1, 4])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_more_inputs_than_16_bits_number(kind, input_max):
    rng = np.random.default_rng(3)
    size = (1 << 16) + 200
    layer = dense(rng, size, 17) if kind == "dense" else conv(rng, 1, 3, kernel=(1, 5), stride=(1, 5))
    program = program_of(rng, layer, 1, plane=(1, size), steps=2, input_max=input_max)
    frames = random_frames(rng, program, 2, 0.1)
    assert differences(program, frames) is None
    lists = FastEngine(program).run(EventFrames.from_dense(frames), trace=True)
    assert first_difference(lists, vectorised(program, frames)) is None
