"""Other people's NetX files: what we read out of them does what stock NetX on stock Lava does.

Stock Lava itself is the judge, on files written here; so are the ground truths of lava-dl's own tests.
"""

from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.lava import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.foreign.frames import stock_frames
from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.netx.foreign.stocknet import StockUse
from sast_deploy.program.record import first_difference
from tests.programs import vectorised
from tests.stockfiles import FLATTEN, conv, dense, image, integers, integrator, neuron, write_stock
from tests.stockruns import run_stock
from tools.stocklava import StockOptions

pytestmark = pytest.mark.slow


def spikes_in(rng, *shape, density=0.3, most=1):
    return (rng.integers(1, most + 1, shape) * (rng.random(shape) < density)).astype(np.uint8)


def recurrent_and_delayed(rng):
    """Dense layers only: delays of every shape, recurrence, current filters, biases, vectors."""
    vector = {"vThMant": rng.integers(40, 90, 20), "vDecay": rng.integers(0, 4097, 20)}
    layers = [
        dense(integers(rng, 60, 30, 24), integers(rng, 20, 30), iDecay=1024, vDecay=300, vThMant=150),
        {**dense(integers(rng, 100, 20, 30), **vector), "delay": rng.integers(0, 5, (20, 30))},
        {**dense(integers(rng, 100, 20, 20), integers(rng, 9, 20)), "delay": rng.integers(0, 9, 20)},
        {**dense(integers(rng, 90, 16, 20), iDecay=rng.integers(0, 4097, 16)), "type": b"dense_rec",
         "weight_rec": integers(rng, 90, 16, 16)},
        {**dense(integers(rng, 90, 12, 16).astype(float) + 0.4), "delay": rng.random(16) * 7},
        {**dense(integers(rng, 99, 12, 12).ravel(), vThMant=30), "shape": np.array([3, 4]), "delay": 62},
        integrator(integers(rng, 50, 5, 12), integers(rng, 9, 5)),
    ]  # fmt: skip
    return layers, spikes_in(rng, 1, 150, 24, 1, 1)


def convolutional(rng):
    """Rectangles, strides, groups, dilation, a fifth weight axis, per-channel neurons, flatten."""
    decays = {"iDecay": rng.integers(1000, 4097, 4), "vDecay": rng.integers(0, 3000, 4)}
    layers = [
        image(2, 9, 12),
        conv(integers(rng, 20, 4, 2, 3, 2, 1), (4, 5, 13), integers(rng, 9, 4), (2, 1), (1, 1), **decays),
        conv(integers(rng, 40, 6, 2, 2, 3) * 1.01, (6, 5, 6), None, [1, 2], [1, 0], [2, 1], 2,
             vThMant=rng.integers(30, 90, 6), iDecay=3000),
        FLATTEN,
        dense(integers(rng, 60, 30, 180), integers(rng, 20, 30), vThMant=140, vDecay=100),
        dense(integers(rng, 120, 8, 30), vThMant=200),
    ]  # fmt: skip
    return layers, spikes_in(rng, 1, 40, 2, 9, 12)


def altered(rng):
    """Weights that stock Lava alters: all negative with -128, beyond -256..254, odd ones beyond 8 bits."""
    edge = integers(rng, 100, 12, 12)
    edge[0, :3] = [-300, 299, -256]
    layers = [
        dense(edge, vThMant=100),
        dense(-rng.integers(1, 129, (10, 12)) + np.eye(10, 12, dtype=int) * 0, np.full(10, 300), vThMant=100),
        dense(rng.integers(0, 256, (9, 10)), vThMant=300),
        dense(integers(rng, 254, 8, 9), vThMant=90),
        dense(-rng.integers(0, 6, (7, 8)), np.full(7, 20), vThMant=40),
        {**dense(integers(rng, 3, 6, 7), np.full(6, 3), vThMant=9), "type": b"dense_rec",
         "weight_rec": -rng.integers(100, 200, (6, 6))},
    ]  # fmt: skip
    layers[1]["weight"][0, 0] = -128
    return layers, spikes_in(rng, 1, 60, 12, 1, 1, density=0.4)


def graded(rng):
    """Graded input (input_message_bits=8) into a convolution."""
    layers = [
        image(3, 6, 5),
        conv(integers(rng, 9, 5, 3, 3, 3), (5, 4, 3), integers(rng, 9, 5), vThMant=80),
        FLATTEN,
        dense(integers(rng, 60, 9, 60), vThMant=90),
    ]
    return layers, spikes_in(rng, 1, 30, 3, 6, 5, most=255, density=0.2)


def judged(tmp_path, layers, frames, use, options):
    """Stock Lava's run of the file against the reference's, on every membrane and spike of every layer."""
    path = write_stock(tmp_path / "stranger.net", layers)
    stock = read_stock(path).program(use)
    record = run_reference(stock.program, frames, trace=True)
    assert first_difference(vectorised(stock.program, frames), record) is None
    stock.check(frames, record)
    run = run_stock(path, frames, record=True, options=options)
    same_as_stock(run, record, frames.shape[1])
    return stock, record


@pytest.mark.parametrize(
    ("make", "interval"),
    [(recurrent_and_delayed, 0), (recurrent_and_delayed, 13), (convolutional, 13), (altered, 0)],
)
def test_stock_lava_is_the_judge(make, interval, tmp_path):
    layers, frames = make(np.random.default_rng([3, interval]))
    use = StockUse(frames.shape[1], reset_interval=interval, reset_offset=1)
    options = StockOptions(message_bits=0, reset_interval=interval, reset_offset=1)
    stock, record = judged(tmp_path, layers, frames, use, options)
    firing = [float(trace.spikes.mean()) for trace in record.traces]
    never = {len(firing) - 1} if make is recurrent_and_delayed else set()
    assert all(0.01 < rate < 0.99 for layer, rate in enumerate(firing) if layer not in never), firing
    assert bool(stock.net.notes) == (make is altered)
    found = run_lava(stock.program, frames, trace=True)
    assert first_difference(record, found) is None
    assert first_difference(record, run_fast(stock.program, frames, trace=True)) is None


def test_graded_input_and_its_absence(tmp_path):
    rng = np.random.default_rng(11)
    layers, frames = graded(rng)
    use = StockUse(frames.shape[1], message_bits=8)
    judged(tmp_path, layers, frames, use, StockOptions(message_bits=8, reset_interval=0))
    # Without message bits stock NetX takes every nonzero input for one spike.
    options = StockOptions(message_bits=0, reset_interval=0)
    path, spikes = tmp_path / "stranger.net", (frames > 0).astype(np.uint8)
    program = read_stock(path).program(StockUse(30)).program
    assert program.input_max == 1
    record = run_reference(program, spikes, trace=True)
    run = run_stock(path, frames, record=True, options=options)
    assert np.array_equal(run.spikes[-1][:, :30], record.traces[-1].spikes[0].T)


def numbers(kind, rng, shape):
    """(array, message bits): what people feed into stock NetX that are not spikes of 0 and 1."""
    some = rng.random(shape) < 0.4
    return {
        "spikes": (some * rng.normal(0, 1.5, shape), 0),  # signed, with fractions
        "8 bits": ((some * rng.normal(0, 400, shape)).astype(np.float32), 8),  # and beyond
        "16 bits": ((some * rng.integers(-600, 2000, shape)).astype(np.int16), 16),
    }[kind]


def begun_by(layer, rng, vth):
    """(layers, C, H, W): a network whose first layer is of that kind."""
    if layer == "dense":
        first = dense(integers(rng, 20, 14, 12), integers(rng, 20, 14), vThMant=vth)
        second = dense(integers(rng, 80, 6, 14), iDecay=2500, vThMant=50)
        return [{**first, "delay": rng.integers(55, 75, (14, 12))}, second], (12, 1, 1)
    first = conv(integers(rng, 9, 3, 2, 3, 2), (3, 3, 4), vThMant=vth, iDecay=2500)
    return [first, FLATTEN, dense(integers(rng, 60, 5, 36), vThMant=50)], (2, 5, 5)


@pytest.mark.parametrize("layer", ["dense", "conv"])
@pytest.mark.parametrize("kind", ["spikes", "8 bits", "16 bits"])
def test_numbers_become_what_stock_lava_casts_them_to(kind, layer, tmp_path):
    """By all three engines, through the same frames as the command makes."""
    rng = np.random.default_rng([len(kind), len(layer)])
    layers, shape = begun_by(layer, rng, 30 if kind == "spikes" else 2500)
    array, bits = numbers(kind, rng, (80, *shape))
    path, told = write_stock(tmp_path / "stranger.net", layers), None if layer == "dense" else shape
    net = read_stock(path)
    inputs = stock_frames(array, net, None, bits, path)
    assert len(inputs.notes) == {"spikes": 2, "8 bits": 2, "16 bits": 0}[kind]
    stock, frames = net.program(inputs.use), inputs.chunk(0, 1)
    record = run_reference(stock.program, frames, trace=True)
    stock.check(frames, record)
    options = StockOptions(message_bits=bits, reset_interval=0, input_shape=told)
    same_as_stock(run_stock(path, array[None], record=True, options=options), record, 80)
    assert all(trace.spikes.any() and not trace.spikes.all() for trace in record.traces)
    assert first_difference(record, run_fast(stock.program, frames, trace=True)) is None
    assert first_difference(record, run_lava(stock.program, frames, trace=True)) is None


def same_as_stock(run, record, steps):
    for layer, trace in enumerate(record.traces):
        assert np.array_equal(run.spikes[layer][:, :steps], trace.spikes[0, :steps].T), f"layer {layer}"
        shown = np.where(trace.spikes[0], 0, trace.membrane[0])
        assert np.array_equal(run.membranes[layer][:, :steps], shown[:steps].T), f"layer {layer}"


def driven(tmp_path, layers, array, bits=24):
    """A network of C, H, W inputs on an array: (path, network, frames)."""
    path = write_stock(tmp_path / "stranger.net", layers)
    net = read_stock(path)
    inputs = stock_frames(array, net, len(array), bits, path)
    return path, net.program(inputs.use), inputs.chunk(0, 1)


WIDE = dense(np.full((2, 600), 255), vThMant=(1 << 18) - 1, vDecay=4096)
NEVER = {"vThMant": (1 << 18) - 1, "vDecay": 4096}
EDGE = np.array([131072, 0, 5, 0, 0])[:, None, None, None]


@pytest.mark.parametrize(
    ("layers", "array", "bits"),
    [
        ([WIDE], (np.arange(600) < 514)[None, :, None, None] * np.ones((4, 1, 1, 1)), 0),
        ([dense(np.array([[1], [1]]), **NEVER)], EDGE, 24),
        ([dense(np.array([[1], [-1]]), iDecay=3000, **NEVER)], EDGE - 1 * (EDGE > 5), 24),
        ([conv(np.ones((1, 1, 1, 1), int), (1, 1, 1), **NEVER)], EDGE, 24),
        ([conv(np.array([[[[64]], [[-64]]]]), (1, 1, 1), **NEVER)],
         np.tile([131072, 131071], (4, 1))[..., None, None], 24),
        ([dense(np.array([[100, -100]]), **NEVER)], np.tile([999_999, 999_998], (4, 1))[..., None, None], 24),
    ],
)  # fmt: skip
def test_what_only_the_run_can_tell_is_as_in_stock_lava(layers, array, bits, tmp_path):
    """Sums, currents and partial sums that may leave stock Lava's range, and reach its very end here."""
    path, stock, frames = driven(tmp_path, layers, array, bits)
    assert stock.unproven == (0,)
    record = run_reference(stock.program, frames, trace=True)
    stock.check(frames, record)
    options = StockOptions(message_bits=bits, reset_interval=0, input_shape=array.shape[1:])
    same_as_stock(run_stock(path, array[None], record=True, options=options), record, len(array))
    assert first_difference(record, run_fast(stock.program, frames, trace=True)) is None


@pytest.mark.parametrize(
    ("layers", "array", "message"),
    [
        ([dense(np.array([[1], [-1]]), **NEVER)], EDGE, "step 1, neuron 1: the current reaches -8388608"),
        ([dense([[1]], iDecay=3000, **NEVER)], EDGE, "step 1, neuron 0: the current reaches 8388608"),
        ([dense([[1]], **NEVER)], EDGE + (EDGE > 5), "step 1, neuron 0: the current reaches 8388672"),
        ([conv(np.array([[[[65]], [[-64]]]]), (1, 1, 1), **NEVER)],
         np.tile([131072, 131071], (4, 1))[..., None, None], "step 0: parts of a sum reach 16908224"),
        ([dense(np.array([[1, -1]]), **NEVER)], np.tile([1 << 23, 1 << 23], (4, 1))[..., None, None],
         "step 0: parts of a sum reach 8388608"),
    ],
)  # fmt: skip
def test_a_run_that_leaves_stock_lavas_range_is_refused(layers, array, message, tmp_path):
    _, stock, frames = driven(tmp_path, layers, array)
    record = run_reference(stock.program, frames, trace=True)
    with pytest.raises(NetFileError, match=rf"layer 0 \((conv|dense)\): sample 0, {message}"):
        stock.check(frames, record)


def test_input_neurons_are_driven_by_their_bias(tmp_path):
    """weight * pixel + bias, per channel thresholds, ignored current filter; pixels that change."""
    rng = np.random.default_rng(12)
    layers = [
        image(2, 4, 5, weight=[3.7], bias=-20, **neuron(vThMant=np.array([90, 200]), vDecay=200, iDecay=77)),
        FLATTEN,
        dense(integers(rng, 60, 12, 40), vThMant=90),
    ]
    pixels = np.repeat(rng.integers(0, 60, (1, 8, 2, 4, 5)), 5, axis=1).astype(np.uint8)
    path = write_stock(tmp_path / "stranger.net", layers)
    net = read_stock(path)
    assert (net.transform, net.latency) == ((3, -20), 1)
    record = run_reference(net.program(StockUse(40, input_max=59)).program, pixels, trace=True)
    biases = 3 * pixels.astype(np.int64) - 20
    shifted = net.program(StockUse(40, input_max=59 * 3, input_bias=-20)).program
    again = run_reference(shifted, (biases + 20).astype(np.uint8), trace=True)
    assert first_difference(record, again) is None
    run = run_stock(path, biases, record=True, options=StockOptions(reset_interval=0, reset_offset=0))
    for layer, trace in enumerate(record.traces):
        assert np.array_equal(run.spikes[layer][:, :40], trace.spikes[0].T)
        assert np.array_equal(run.membranes[layer][:, :40], np.where(trace.spikes[0], 0, trace.membrane[0]).T)
        assert 0.05 < trace.spikes.mean() < 0.95


def test_ground_truth_tinynet(shared_data):
    """lava-dl's tests: 17 steps and 3 layers, biases held, states cleared every 17 steps, layer i at i."""
    folder = shared_data / "netx_conformance" / "tinynet"
    biases = np.load(folder / "input_bias.npy").transpose(2, 1, 0)  # stored W, H, C
    use = StockUse(20, reset_interval=17, input_max=int(biases.max()), input_bias=0)
    program = read_stock(folder / "tiny.net").program(use).program
    assert [layer.reset_offset for layer in program.layers] == [0, 1, 2]
    frames = np.broadcast_to(biases.astype(np.uint8), (1, 20, 3, 16, 16))
    record = run_reference(program, frames, trace=True)
    found = record.traces[2].spikes[0].T.reshape(36, 1, 1, 20)[..., 2:17]
    expected = np.load(folder / "output.npy")[0][..., 1:]
    assert expected.shape == found.shape
    assert np.array_equal(found, expected)
    assert expected.mean() > 0.05


def test_ground_truth_dense(shared_data, tmp_path):
    """A layer of lava's tests: 200 -> 256, vth 6, du 4095, dv 415, 2000 steps."""
    folder = shared_data / "netx_conformance" / "dense"
    inputs, weight, current, expected = (
        np.load(folder / f"{name}.npy") for name in ("in", "weight", "current", "out")
    )
    layers = [dense(weight, vThMant=6, iDecay=4096, vDecay=415)]
    net = read_stock(write_stock(tmp_path / "dense.net", layers))
    program = net.program(StockUse(2000)).program
    sums = program.layers[0].weight @ inputs.astype(np.int64)
    assert np.array_equal(sums[:, :-1], current[:, 1:])  # a synapse sends one step late
    frames = inputs.T.astype(np.uint8).reshape(1, 2000, 200, 1, 1)
    spikes = run_reference(program, frames, trace=True).traces[0].spikes[0].T
    assert np.array_equal(spikes, expected)
    assert expected.sum() == 1826
