"""Stock NetX files: what is read, literally, and what is refused, by name."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.foreign.altered_weights import stock_weights
from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.netx.foreign.stocknet import StockUse
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Conv2d, Dense
from tests.stockfiles import FLATTEN, conv, dense, image, integrator, neuron, write_stock

ONES = np.ones((2, 3), dtype=int)
MIXED = np.array([[1, -2, 3], [-4, 5, 6]])
KERNEL = np.ones((2, 1, 2, 2), dtype=int)


def test_a_small_file_literally(tmp_path):
    slow = {"iDecay": 1024, "vDecay": 7, "vThMant": np.array([5, 9])}
    layers = [
        image(1, 3, 4),
        conv(KERNEL, (2, 2, 2), np.array([1.9, -3.9]), (1, 2), **slow),
        FLATTEN,
        {**dense(np.arange(-7, 9).reshape(2, 8), vThMant=8), "delay": np.array([0, 3])},
        integrator(np.array([[1, -1]]), np.array([2])),
    ]
    path = write_stock(tmp_path / "a stranger.net", layers)
    net = read_stock(path)
    path.unlink()  # all of it has been read
    stock = net.program(StockUse(20, message_bits=3, reset_interval=5, reset_offset=4))
    program, (first, second, last) = stock.program, stock.program.layers
    assert (program.name, program.input_shape, program.input_max, program.steps) == (
        "a stranger", (1, 3, 4), 7, 20,
    )  # fmt: skip
    rules = ("saturate-symmetric", "toward-zero", "toward-zero", ">", "zero")
    assert program.arithmetic == Arithmetic(QFormat(24, 6), 5, *rules)
    assert (program.reset_interval, [layer.reset_offset for layer in program.layers]) == (5, [4, 0, 1])
    assert isinstance(first, Conv2d)
    assert (first.stride, first.padding, first.dilation, first.groups) == ((1, 2), (0, 0), (1, 1), 1)
    assert [v.tolist() for v in (first.bias, first.vth, first.v_decay, first.u_decay, first.delay)] == [
        [64, -192], [320, 576], [7], [1024], [1],
    ]  # fmt: skip
    assert isinstance(second, Dense)
    assert second.delay.tolist() == [[1] * 8, [4] * 8]  # stock's reading: delays of the outputs
    assert [v.tolist() for v in (last.bias, last.vth, last.v_decay, last.u_decay)] == [
        [128], [1 << 23], [4096], [0],
    ]  # fmt: skip
    assert all(layer.weight_exp == 6 for layer in program.layers)
    assert (net.transform, net.notes, stock.unproven, net.latency) == (None, (), (), 3)
    layers = tuple(replace(layer, reset_offset=0) for layer in program.layers)
    never = replace(program, steps=1, input_max=1, reset_interval=0, layers=layers)
    assert net.program().program.digest() == never.digest()


def test_a_network_that_no_file_can_say_is_not_made(tmp_path):
    layers = [image(2, 4, 4, **neuron()), FLATTEN, dense(np.eye(3, 32))]
    net = read_stock(write_stock(tmp_path / "a.net", layers))
    with pytest.raises(ValueError, match="without its transform or shape"):
        replace(net, transform=None)
    with pytest.raises(ValueError, match="without its transform or shape"):
        replace(net, input_shape=None)
    with pytest.raises(ValueError, match=r"shape \(4,\) of weights \(3, 32\)"):
        replace(net.layers[0], shape=(4,))
    with pytest.raises(NetFileError, match=r"layer 2 \(dense\): weights of 32 inputs; expected 3, as"):
        replace(net, layers=(net.layers[0], replace(net.layers[0], flattened=False)))
    with pytest.raises(NetFileError, match="has no layer that computes"):
        replace(net, layers=(), transform=None, neurons=None)
    with pytest.raises(ValueError, match="read-only"):
        net.layers[0].layer.weight[0, 0] = 5


def test_an_unknown_input_shape_is_the_use_s_to_say(tmp_path):
    """A convolution without an input layer is read; only a program needs to know what it is of."""
    net = read_stock(write_stock(tmp_path / "a.net", [conv(KERNEL, (2, 2, 2)), FLATTEN, dense(np.eye(3, 8))]))
    assert (net.input_shape, net.inputs(array=(1, 3, 3)), net.inputs((1, 3, 3), (9, 9, 9))) == (
        None, (1, 3, 3), (1, 3, 3),
    )  # fmt: skip
    assert net.program(StockUse(input_shape=(1, 3, 3))).program.input_shape == (1, 3, 3)
    with pytest.raises(NetFileError, match=r"layer 0 \(conv\): shape \(2, 2, 2\); expected \(2, 4, 4\)"):
        net.program(StockUse(input_shape=(1, 5, 5)))


def test_input_neurons_become_a_layer(tmp_path):
    path = write_stock(
        tmp_path / "a.net", [image(2, 4, 4, **neuron(iDecay=5)), FLATTEN, dense(np.eye(3, 32, dtype=int))]
    )
    net = read_stock(path)
    program = net.program().program
    first = program.layers[0]
    assert (net.transform, net.latency, program.input_max) == ((64, 0), 1, 255)
    assert (first.weight.ravel().tolist(), first.groups, first.delay.tolist()) == ([64, 64], 2, [0])
    assert first.u_decay.tolist() == [4096]  # a bias passes no current filter


@pytest.mark.parametrize(
    ("weight", "used"),
    [
        ([[127, -128]], [[127, -128]]),
        ([[254, -256]], [[254, -256]]),
        ([[300, -1]], [[254, -1]]),
        ([[-128, -1]], [[-127, -1]]),
        ([[255, 1]], [[255, 1]]),
        ([[0, -5]], [[0, -5]]),
    ],
)
def test_weights_as_stock_lava_uses_them(weight, used):
    assert [part.tolist() for part in stock_weights(np.array(weight))] == [used]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([[0, 0]], "all weights are 0, which stock NetX cannot load"),
        ([[256, 0]], "weights 0..256 all become 0 in stock Lava"),
        ([[-128, -128]], "all become 0"),
    ],
)
def test_weights_that_stock_lava_loses(weight, message):
    with pytest.raises(ValueError, match=message):
        stock_weights(np.array(weight))


BARE = {name: value for name, value in conv(KERNEL, (2, 2, 2)).items() if "neuron" not in name}
REFUSED = {
    "average pooling": ([image(1, 4, 4), {"type": b"average"}], r"layer 1 \(average\): layer type 'average'"),
    "pool": ([{"type": b"pool"}], r"layer 0 \(pool\): layer type 'pool'; expected input, dense, dense_rec"),
    "unknown": ([{"type": b"dence"}], r"layer 0 \(dence\): layer type 'dence'"),
    "sdnn": ([dense(MIXED, type=b"SDNN")], r"neuron type 'SDNN'; expected neurons of type CUBA or LOIHI"),
    "resonator": ([dense(MIXED, type=b"RF_PHASE")], "neuron type 'RF_PHASE'"),
    "complex": ([{"type": b"dense", "shape": [2], "weight/imag": MIXED}], "complex weights"),
    "negative delay": ([{**dense(MIXED), "delay": np.array([0, -1, 2])}], r"delay -1\.\.2; expected 0\.\.62"),
    "odd delay": ([{**dense(MIXED), "delay": np.arange(4)}], r"delay \(4,\); expected one number or"),
    "refractory": ([dense(MIXED, refDelay=3)], "refDelay 3; expected 1: stock NetX ignores it"),
    "message bits": ([dense(MIXED, messageBits=8)], "neuron/messageBits"),
    "narrow type": ([dense(MIXED, vThMant=np.int16(9))], "vThMant of type int16; expected int32 or int64"),
    "float threshold": ([dense(MIXED, vThMant=9.0)], "vThMant of type float64; expected int32 or int64"),
    "decay": ([dense(MIXED, vDecay=5000)], r"vDecay 5000\.\.5000; expected 0\.\.4096"),
    "vector": ([dense(MIXED, vThMant=np.arange(3))], r"vThMant \(3,\); expected .*, where out is 2"),
    "nan": ([dense(MIXED + np.nan)], "weight that is not finite"),
    "zeros": ([dense(0 * MIXED)], "all weights are 0"),
    "large positive": ([dense(ONES * 256)], "all become 0 in stock Lava"),
    "wide bias": ([dense(MIXED, np.array([40000, 1]))], r"bias 1\.\.40000; expected -32768\.\.32767"),
    "bias shape": ([dense(MIXED, np.arange(3))], r"bias \(3,\)"),
    "both": ([{**dense(MIXED), "type": b"dense_rec", "weight_rec": ONES[:, :2], "delay": 1}], "with delays"),
    "second input": ([dense(MIXED), image(2)], "an input layer that is not the first"),
    "flat conv": ([image(3), conv(KERNEL, (2, 2, 1))], r"a convolution of inputs \(3, 1, 1\)"),
    "conv first": ([conv(KERNEL, (2, 2, 1))], "inputs of unknown shape"),
    "conv shape": ([image(1, 3, 3), conv(KERNEL, (2, 3, 3))], r"shape \(2, 3, 3\); expected \(2, 2, 2\)"),
    "no flatten": ([image(1, 3, 3), conv(KERNEL, (2, 2, 2)), dense(np.eye(2, 8))], "a flatten layer between"),
    "flat pixels": ([image(1, 4, 4, **neuron()), dense(np.eye(2, 16))], r"a dense layer after \(1, 4, 4\)"),
    "twice flat": ([dense(MIXED), FLATTEN, dense(np.eye(2))], r"a flatten layer after \(2,\)"),
    "size": ([dense(MIXED), dense(MIXED)], r"weights of 3 inputs; expected 2, as \(2,\) has"),
    "rows": ([{**dense(MIXED), "shape": np.array([3])}], r"weight \(2, 3\); expected .*, where out is 3"),
    "no weight": ([{"type": b"dense", "shape": np.array([2])}], "no dataset weight"),
    "no type": ([{"shape": np.array([2])}], "layer 0: no dataset type; expected a text"),
    "no conv neuron": ([image(1, 3, 3), {**BARE, "type": b"conv"}], "no neuron group"),
    "input only": ([image(1, 3, 3)], "has no layer that computes"),
    "wide input bias": ([image(1, 2, 2, weight=300, **neuron()), FLATTEN, dense(np.eye(2, 4))],
                        "neuron biases up to 76500"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_by_name(case, tmp_path):
    layers, message = REFUSED[case]
    path = write_stock(tmp_path / "a.net", layers)
    with pytest.raises(NetFileError, match=message) as caught:
        read_stock(path).program()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.net").write_text("hello")
    h5py.File(tmp_path / "empty.net", "w").close()
    with h5py.File(tmp_path / "flat.net", "w") as file:
        file["layer"] = 3
    with h5py.File(tmp_path / "row.net", "w") as file:
        file["layer/0"] = 3
    with h5py.File(tmp_path / "gap.net", "w") as file:
        file["layer/0/type"], file["layer/2/type"] = b"flatten", b"flatten"
    for name, message in (
        ("none", "no such file"), ("text", "is a text"), ("empty", "an HDF5 file without /layer"),
        ("flat", "has no layers in /layer"), ("row", "/layer/0 is a dataset; expected a group"),
        ("gap", r"/layer has 0, 2; expected 0\.\.1"),
    ):  # fmt: skip
        with pytest.raises(NetFileError, match=message):
            read_stock(tmp_path / f"{name}.net")


def test_a_current_that_leaves_24_bits_is_found(tmp_path):
    """64 * 250 * 500 steps = 8,000,000 fits 24 bits, 64 * 250 * 525 does not: only the run can tell."""
    path = write_stock(tmp_path / "a.net", [integrator(np.array([[250, -250]]))])
    net = read_stock(path)
    stock = net.program(StockUse(530))
    assert stock.unproven == (0,)
    assert net.program(StockUse(100)).unproven == ()
    frames = np.zeros((1, 530, 2, 1, 1), np.uint8)
    frames[:, :500, 0] = 1
    stock.check(frames, run_reference(stock.program, frames, trace=True))
    frames[:, :, 0] = 1
    record = run_reference(stock.program, frames, trace=True)
    with pytest.raises(
        NetFileError, match=r"layer 0 \(dense\): sample 7, step 525, neuron 0: the current reaches 8400000"
    ):
        stock.check(frames, record, 7)
