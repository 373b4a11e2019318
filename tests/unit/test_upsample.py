"""Nearest-neighbour upsampling: the specification by hand, every other reading of it against the equation."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from sast_deploy.calibration import Samples, calibrate
from sast_deploy.calibration.targets import run_float
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatReadout, FloatUpsample
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.lava.exact import unfit_layer
from sast_deploy.engines.lava.run import open_files
from sast_deploy.engines.reference import run_reference, synapses
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import WIDE, Program, Readout, SumPool, Upsample, frozen_ints
from sast_deploy.program.record import first_difference
from sast_deploy.program.sums import input_maxima, resampled, transposed
from sast_deploy.reports.synops import count_operations
from sast_deploy.verification.vectors import make_known_answers
from tests.networks import EXACT_LSB, exact_profile, float_trace
from tests.programs import RULES, conv, decoder_program, random_frames, readout, stock_of, vectorised

UP, OUT = FloatUpsample((2, 3)), FloatReadout(np.ones((2, 18)))
CONV = FloatConv2d(np.ones((3, 2, 3, 3)), leak=0.5)


def only(layer, shape, **others):
    """A program whose logits are the layer's outputs, summed over its one step."""
    outputs = int(np.prod(layer.out_shape(shape)))
    whole = Readout(frozen_ints(np.eye(outputs)), frozen_ints(np.zeros(outputs)), 0)
    return Program("only", shape, 9, 1, tuple(map(str, range(outputs))), RULES, (layer, whole), **others)


def test_the_specification_by_hand():
    fanout = synapses(Upsample((2, 3)), (2, 1, 2))
    copies = [0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11], [12, 13, 14, 18, 19, 20], [15, 16, 17, 21, 22, 23]
    assert fanout == [[(slice(i, i + 1), [1], 0) for i in each] for each in copies]
    program = only(Upsample((2, 3)), (2, 1, 2))
    record = run_reference(program, np.array([[[[[5, 0]], [[7, 9]]]]], np.uint8))
    rows = [5, 5, 5, 0, 0, 0], [7, 7, 7, 9, 9, 9]
    assert record.logits.tolist() == [[*rows[0], *rows[0], *rows[1], *rows[1]]]


@pytest.mark.parametrize("low", [0, -9])
@pytest.mark.parametrize("shape", [(1, 3, 2), (3, 2, 5)])
def test_every_engine_obeys_the_equation(shape, low):
    """Counts and signed values, one channel and several, sizes that fill no whole word."""
    program = only(Upsample((3, 2)), shape, input_min=low)
    frames = np.random.default_rng(0).integers(low, 10, (5, 1, *shape))
    y, x = np.arange(3 * shape[1]) // 3, np.arange(2 * shape[2]) // 2
    expected = frames[..., y[:, None], x].reshape(5, -1)
    for run in (run_reference, run_fast, vectorised):
        assert np.array_equal(run(program, frames).logits, expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_decoder_is_the_same_everywhere(seed):
    rng = np.random.default_rng(seed)
    program = decoder_program(rng)
    frames = random_frames(rng, program, samples=5)
    expected = run_reference(program, frames, trace=True)
    assert all(0 < trace.spikes.mean() < 1 for trace in expected.traces)
    assert first_difference(expected, run_fast(program, frames, trace=True)) is None
    assert first_difference(expected, vectorised(program, frames)) is None


def test_a_value_keeps_its_range():
    program = decoder_program(np.random.default_rng(0))
    assert input_maxima(program) == [3, 3, 1, 1, 1, 1, 4, 4]
    signed = only(Upsample((2, 2)), (1, 1, 1), input_min=-5)
    assert signed.input_ranges() == [(-5, 9)] * 2


@pytest.mark.parametrize("layer", [Upsample((2, 3)), Upsample((1, 1)), SumPool((2, 3)), SumPool((2, 2), -1)])
def test_pool_and_upsampling_are_each_others_transposed(layer):
    """<A x, y> = <x, A' y>, with rows and columns that fill no window, and without the shift."""
    rng, shape = np.random.default_rng(0), (2, 5, 7)
    x, y = rng.integers(-9, 10, (4, *shape)), rng.integers(-9, 10, (4, *layer.out_shape(shape)))
    forward = resampled(layer if isinstance(layer, Upsample) else SumPool(layer.kernel), x, "floor")
    assert (forward * y).sum() == (x * transposed(layer, y, shape)).sum()
    assert forward.dtype == transposed(layer, y, shape).dtype == np.int64


def test_a_file_keeps_it_and_stock_netx_refuses_it(tmp_path):
    program = decoder_program(np.random.default_rng(3))
    write_net(tmp_path / "a.net", NetFile(program, "text", known=make_known_answers(program)))
    found = read_net(tmp_path / "a.net").program
    assert isinstance(found.layers[2], Upsample)
    assert found.layers[2].factors == (2, 3)
    assert found.digest() == program.digest()
    turned = replace(program, layers=(*program.layers[:6], Upsample((2, 1)), program.layers[7]))
    assert found.digest() != turned.digest()
    with h5py.File(tmp_path / "a.net") as file:
        stock = {name: dataset[()] for name, dataset in file["layer/3"].items()}
    assert stock.pop("type") == b"unpool"
    assert {name: value.tolist() for name, value in stock.items()} == {"shape": [3, 4, 12], "factors": [2, 3]}
    first, *_, last = program.layers
    behind = replace(program, layers=(first, program.layers[1], replace(last, weight=last.weight[:, :24])))
    assert not stock_of(program).loads
    assert not stock_of(behind).loads


def test_lava_starts_one_process_for_it_and_bounds_the_sums_behind_it():
    """Eight layers, five without neurons: 11 processes and the source, seven files each, and 12 more."""
    program = decoder_program(np.random.default_rng(0))
    assert open_files(program) == 12 + 7 * 12
    assert unfit_layer(program, program.steps) is None
    wide = replace(program, layers=(*program.layers[:7], replace(program.layers[7], weight_exp=31)))
    assert unfit_layer(wide, 1 << 30).startswith("layer 7: weighted sums reach")


def test_its_digest_stays():
    assert only(Upsample((2, 3)), (2, 1, 2)).digest() == (
        "f9cb183f7db25a427b24ae5fa623b0ed86716a358649832f2daf4454c41081ba"
    )


def test_a_spike_is_charged_what_all_its_copies_trigger():
    """A kernel of 2 x 2 over 4 x 4 copies of 2 x 2 spikes, stride 2: every copy meets one of 5 outputs."""
    rng = np.random.default_rng(3)
    last = conv(rng, 2, 5, kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    behind = (Upsample((3, 1)), SumPool((2, 1)), readout(rng, 5 * 3 * 2, 3))
    layers = (conv(rng, 1, 2), Upsample((2, 2)), last, *behind)
    program = Program("p", (1, 2, 2), 1, 4, ("a", "b", "c"), RULES, layers)
    frames = (rng.random((6, 4, 1, 2, 2)) < 0.7).astype(np.uint8)
    ones = np.ones((6, 8), np.int32), np.ones((6, 20), np.int32)
    _, behind, out = count_operations(program, frames, ones)
    assert behind.synops == 8 * 4 * 5
    assert out.synops == 20 * 3 * 3  # 3 copies of each row; every copy lies in one of the 3 windows
    assert behind.operation == "AC"


def network(layers, shape=(2, 3, 3), **others):
    return FloatNetwork(layers, shape, 4, **others)


@pytest.mark.parametrize("seed", range(8))
def test_integers_do_what_floating_point_does(seed):
    """Upsampled counts and spikes; membranes, spikes and logits, where nothing is rounded."""
    rng = np.random.default_rng(seed)

    def weights(*shape, unit):
        values = rng.integers(-20, 21, shape)
        values.flat[0] = 127
        return values * unit

    layers = [
        FloatUpsample((2, 1)),
        FloatConv2d(weights(3, 2, 3, 2, unit=2), rng.integers(-9, 20, 3) / 2, 20, stride=(2, 1), leak=0.5),
        FloatUpsample(2),
        FloatDense(weights(7, 3 * 4 * 4, unit=1 / 2), 1.5, rng.integers(8, 60, 7) / 2, leak=0.25),
        FloatReadout(weights(3, 7, unit=1 / 64)),
    ]
    float_network = network(layers, input_clip=4, input_max=6)
    program = compile_network(float_network, exact_profile(), "exact").program
    assert [layer.kind for layer in program.layers] == ["upsample", "conv", "upsample", "dense", "readout"]
    frames = random_frames(rng, program, samples=3)
    traces, logits = float_trace(float_network, frames)
    for run in (run_reference, run_fast):
        record = run(program, frames, trace=True)
        for trace, (membrane, spikes) in zip(record.traces, traces, strict=True):
            assert np.array_equal(trace.spikes, spikes)
            assert np.array_equal(trace.membrane * EXACT_LSB, membrane)
            assert spikes.any()
        assert np.array_equal(record.logits, 4 * 64 * 2.0 ** program.layers[-1].weight_exp * logits)


@pytest.mark.slow
def test_calibration_sees_the_copies():
    rng = np.random.default_rng(1)
    first = replace(CONV, weight=rng.normal(0, 0.5, (3, 2, 3, 3)))
    last = FloatReadout(rng.normal(0, 1, (2, 3 * 8 * 14)))
    decoder = network([UP, first, FloatUpsample(2), last], input_clip=2)
    profile = load_profile("loihi-int4")
    program = compile_network(decoder, profile, "t").program
    frames = random_frames(rng, program, samples=40)
    traces, logits = float_trace(decoder, frames)
    found = run_float(decoder, frames)
    assert np.array_equal(found.spikes[0], traces[0][1])
    assert found.logits == pytest.approx(logits, rel=1e-5)
    samples = Samples(frames, logits.argmax(axis=1))
    assert calibrate(decoder, profile, "t", samples, samples).compilation.program.shapes() == program.shapes()


@pytest.mark.parametrize("factors", [0, (2, 0), (2, -1), 1.5, "2", True, (2, 2, 2), (2,), WIDE + 1, None])
def test_factors_that_are_no_whole_numbers_are_refused_by_name(factors):
    with pytest.raises(ValueError, match=r"^FloatUpsample.factors.*expected .*65536"):
        FloatUpsample(factors)
    pair = factors if isinstance(factors, tuple) else (factors, 1)
    with pytest.raises(ValueError, match=r"^Upsample.factors"):
        Upsample(pair)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((FloatDense(np.ones((4, 18)), leak=1), UP, OUT), r"layer 1: upsample \(2, 3\) after \(4,\)"),
        ((CONV, UP), "FloatUpsample is last; expected a readout, or a layer that spikes"),
        ((UP,), "no layer spikes"),
        ((FloatUpsample(WIDE), CONV), "layer 0 has 77,309,411,328 values; expected at most 16,777,216"),
        ((CONV, UP, OUT, OUT), "a readout before the last layer"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_name(layers, message):
    with pytest.raises(ValueError, match=message) as caught:
        network(layers)
    assert "\n" not in str(caught.value)


def test_a_program_that_cannot_be_is_refused_by_name():
    program = decoder_program(np.random.default_rng(0))
    for layers, message in (
        (program.layers[:7], "neither reads out nor spikes"),
        ((program.layers[-1], Upsample((1, 1)), program.layers[-1]), r"weight"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(program, layers=layers)
    huge = (Upsample((4096, 4096)), conv(np.random.default_rng(0), 2, 1))
    with pytest.raises(ValueError, match=r"a layer of \(2, 4096, 4096\), more than 16,777,216 values"):
        replace(program, input_shape=(2, 1, 1), layers=huge)
