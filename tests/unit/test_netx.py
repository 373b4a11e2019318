"""The .net file: what is written is read back, and every damage is refused in one line."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, NetFileError, OutputError
from sast_deploy.compiler import compile_network
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.netx.stock_view import stock_layers
from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import frozen_ints
from sast_deploy.reports.inspection import inspect_net
from sast_deploy.show.compilation import stock_lines
from tests.networks import float_conv, float_fc
from tests.programs import conv_program, fc_program, rich_program, stock_of

PROFILE = load_profile("loihi-int4")
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "files"


@pytest.fixture
def net():
    program = compile_network(float_fc(), PROFILE, "small").program
    return NetFile(program, PROFILE.text, {"steps": 6}, {"dataset": "x"}, {"name": "c"}, {"python": "3"})


@pytest.fixture
def path(net, tmp_path):
    write_net(tmp_path / "small.net", net)
    return tmp_path / "small.net"


def test_everything_is_read_back(net, path):
    again = read_net(path)
    assert again.program.digest() == net.program.digest()
    assert again.profile_text == PROFILE.text
    assert (again.frames, again.data, again.checkpoint, again.created) == (
        {"steps": 6}, {"dataset": "x"}, {"name": "c"}, {"python": "3"},
    )  # fmt: skip
    assert not again.strict_reset


@pytest.mark.parametrize("seed", [0, 1])
def test_all_layer_kinds_are_read_back(tmp_path, seed):
    program = conv_program(np.random.default_rng(seed))
    write_net(tmp_path / "a.net", NetFile(program, PROFILE.text))
    assert read_net(tmp_path / "a.net").program.digest() == program.digest()


def test_stock_view_of_a_dense_network(net):
    layers = stock_layers(net.program, strict_reset=False)
    assert [layer["type"] for layer in layers] == [b"input", b"flatten", b"dense", b"dense", b"dense"]
    first, hidden = net.program.layers[0], layers[2]
    assert first.weight_exp < 0  # so bias and threshold are scaled up, not the weights
    scale = 1 << -first.weight_exp
    assert np.array_equal(hidden["weight"], first.weight)
    assert np.array_equal(hidden["bias"], first.bias * scale)
    assert np.array_equal(hidden["neuron/vThMant"], first.vth * scale - 1)
    assert (hidden["neuron/type"], hidden["neuron/iDecay"].tolist(), hidden["neuron/vDecay"].tolist()) == (
        b"CUBA",
        [4096],
        [2048],
    )
    assert "neuron/type" not in layers[4]
    readout = net.program.layers[2]
    assert np.array_equal(layers[4]["weight"], readout.weight << readout.weight_exp)
    assert np.array_equal(layers[4]["bias"], readout.bias * net.program.steps)


def test_global_pool_is_folded_into_the_stock_readout():
    program = compile_network(float_conv(), PROFILE, "c").program
    layers = stock_layers(program, strict_reset=False)
    assert [layer["type"] for layer in layers] == [b"input", b"conv", b"conv", b"flatten", b"dense"]
    spikes = np.random.default_rng(0).integers(0, 2, (5, 2, 3))
    pooled = program.layers[3].weight @ spikes.sum(axis=(1, 2)) << program.layers[3].weight_exp
    assert np.array_equal(layers[4]["weight"] @ spikes.ravel(), pooled)
    assert stock_of(program).loads
    assert not stock_of(conv_program(np.random.default_rng(0))).loads


def test_strict_reset_changes_the_neuron_type_only(net, tmp_path):
    strict = NetFile(net.program, PROFILE.text, strict_reset=True)
    write_net(tmp_path / "s.net", strict)
    assert read_net(tmp_path / "s.net").strict_reset
    with h5py.File(tmp_path / "s.net") as file:
        assert file["layer/2/neuron/type"][()] == b"SAST_LIF_SUBTRACT"


def stock_view_of(path):
    with h5py.File(path) as file:
        names = []
        file["layer"].visit(names.append)
        groups = {name: file[f"layer/{name}"] for name in names}
        return {name: (x.dtype, x[()].tolist()) for name, x in groups.items() if isinstance(x, h5py.Dataset)}


def test_stock_netx_refuses_what_it_would_ignore_and_an_earlier_file_is_told_apart(tmp_path):
    """The golden file was written when delays and recurrence had a type that it loads; it has pools, too."""
    program = rich_program(np.random.default_rng(0))
    refused = stock_of(program).refused
    assert refused == (
        "layer 0 (conv): delays are ignored",
        "layer 0 (conv): states are not cleared every 4 steps",
        "layer 1 (pool): it has no pools",
        "layer 2 (dense): delays are ignored",
        "layer 2 (dense): recurrent weights are ignored",
        "layer 2 (dense): states are not cleared every 4 steps",
        "layer 3 (dense): delays are ignored",
        "layer 3 (dense): states are not cleared every 4 steps",
        "layer 4 (readout): delays are ignored",
        "resets to ZERO where this program subtracts",
    )
    write_net(tmp_path / "today.net", NetFile(program, ""))
    assert not read_net(tmp_path / "today.net").earlier
    path = tmp_path / "golden.net"
    path.write_bytes(gzip.decompress((GOLDEN / "rich.net.gz").read_bytes()))
    assert read_net(path).earlier
    today, golden = stock_view_of(tmp_path / "today.net"), stock_view_of(path)
    kinds = {f"{index}/neuron/type" for index in (1, 4, 5)}
    assert {name for name in golden if golden[name] != today[name]} == kinds | {"6/bias"}
    assert {today[name][1] for name in kinds} == {b"SAST_LIF"}
    assert today["6/neuron/type"][1] == b"SAST_INTEGRATOR"


@pytest.mark.parametrize("name", ["compiled.net", "leaky.net"])
def test_the_view_of_what_stock_netx_does_not_ignore_stays(name, tmp_path):
    """Reset by subtraction too, which only a strict file refuses."""
    path = tmp_path / name
    path.write_bytes(gzip.decompress((GOLDEN / f"{name}.gz").read_bytes()))
    net = read_net(path)
    write_net(tmp_path / "again.net", net)
    same = stock_view_of(path) == stock_view_of(tmp_path / "again.net")
    assert same == (name == "compiled.net")
    assert net.earlier != same
    assert ("resets to ZERO where this program subtracts" in stock_of(net.program).differences) == same


def test_what_stock_netx_makes_of_a_file_is_told_line_by_line(net, tmp_path):
    program = net.program
    lines = stock_lines(stock_of(program))
    assert lines[0].startswith("note: stock NetX loads this file but runs it otherwise: hdf5.Network(NET, ")
    assert lines[1:] == [
        *(f"- {line}" for line in stock_of(program).differences),
        "`--strict-reset` writes a file that stock NetX refuses.",
    ]
    found = inspect_net(net, None)
    assert found.summary["stock NetX"].startswith("loads it and runs it otherwise: hdf5.Network(")
    assert found.stock_netx == stock_of(program)
    strict = stock_lines(stock_of(program, strict_reset=True))
    assert strict[0].startswith("stock NetX refuses this file, ")
    assert strict[1:] == ["- resets to ZERO where this program subtracts"]
    assert inspect_net(replace(net, strict_reset=True), None).summary["stock NetX"] == "refuses it"
    same = replace(program.arithmetic, reset="zero", leak_rounding="toward-zero", state=QFormat(20, 0))
    layers = [replace(each, weight_exp=0, v_decay=frozen_ints([0])) for each in program.layers]
    (line,) = stock_lines(stock_of(replace(program, arithmetic=same, layers=tuple(layers))))
    assert line.startswith("note: stock NetX computes every membrane potential and spike: hdf5.Network(")


def test_weights_that_stock_netx_would_alter_are_refused(tmp_path):
    program = fc_program(np.random.default_rng(0), exponent=6)
    with pytest.raises(CompileError, match="weights reach 448 after their exponent 6; expected at most 254"):
        write_net(tmp_path / "a.net", NetFile(program, PROFILE.text))
    assert list(tmp_path.iterdir()) == []


def _alter(name, value):
    def change(path):
        with h5py.File(path, "r+") as file:
            data = file[name][()]
            del file[name]
            file[name] = value(data)

    return change


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _delete(name):
    def change(path):
        with h5py.File(path, "r+") as file:
            del file[name]

    return change


def bump(array):
    array = np.array(array)
    array.flat[0] += 1
    return array


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "is truncated: the end of the file is missing"),
        (lambda path: path.write_text("hello"), "is a text; expected a .net file that"),
        (lambda path: path.write_bytes(b""), "is empty; expected a .net file that"),
        (lambda path: path.unlink(), "no such file"),
        (_delete("sast"), "is a stock NetX file; expected a .net file that"),
        (_delete("sast/program/layers/1/vth"), "/sast/program/layers/1 has no vth"),
        (_delete("layer/3"), "was altered: 4 stock layers; expected 5"),
        (_alter("sast/format_version", lambda _: 3), "has format version 3; expected version 1 or 2; update"),
        (_alter("sast/format_version", lambda _: 1), "was altered: a file of version 1 has no digest"),
        (_alter("sast/frames", lambda _: np.bytes_(b'{"clip": 255}')), "was altered: /sast does not match"),
        (_alter("sast/strict_reset", lambda _: np.int8(2)), "strict_reset is no truth value"),
        (_alter("sast/data", lambda _: np.bytes_(b"[]")), "/sast: data = []; expected a table of"),
        (_alter("sast/checkpoint", lambda _: np.bytes_(b'{"metrics": {"epoch": -2}}')), "metrics.epoch = -2"),
        (_alter("sast/calibration", lambda _: np.bytes_(b'{"steps": [{}]}')), "missing key calibration."),
        (_alter("sast/created", lambda _: np.bytes_(b'{"numpy": 3}')), "created.numpy = 3"),
        (_alter("sast/program/steps", lambda _: np.inf), "/sast/program/steps has float64 (); expected"),
        (_alter("sast/program/reset_interval", lambda _: -3), "Program.reset_interval = -3; expected an int"),
        (_alter("sast/program/arithmetic/state_bits", lambda _: 40), "QFormat.bits = 40; expected an"),
        (_alter("sast/program/arithmetic/reset", lambda _: np.bytes_(b"substract")), "reset = 'substract'"),
        (_alter("sast/program/classes", lambda _: np.bytes_(b"[1]")), "Program.classes[0] = 1; expected"),
        (_alter("sast/program/layers/0/kind", lambda _: np.bytes_(b"rnn")), "has no kind of layer"),
        (_alter("sast/program/layers/0/delay", lambda d: d - 5), "Dense.delay = -5..-5; expected int32"),
        (_alter("sast/program/layers/2/bias", lambda _: np.zeros(1000, np.int32)), "Readout.bias = shape"),
        (_alter("sast/program/layers/0/weight", bump), "was altered: the program does not match its digest"),
        (_alter("sast/program/steps", bump), "was altered: the program does not match its digest"),
        (_alter("layer/2/weight", bump), "was altered: /layer/2/weight differs from the program"),
        (_alter("layer/3/neuron/vThMant", bump), "was altered: /layer/3/neuron/vThMant differs"),
        (_alter("sast/data", lambda _: np.bytes_(b"{")), "/sast/data: is no JSON, or cut off"),
        (_alter("sast/program/layers/0/weight", lambda w: w + 0.5), "layers/0/weight has float64"),
    ],
)  # fmt: skip
def test_damage_is_refused(path, damage, message):
    damage(path)
    with pytest.raises(NetFileError) as caught:
        read_net(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_stock_files_are_named_foreign(shared_data):
    with pytest.raises(NetFileError, match="is a stock NetX file; expected a "):
        read_net(shared_data / "netx_conformance" / "tinynet" / "tiny.net")


def test_unwritable_output_leaves_nothing(net, tmp_path):
    (tmp_path / "folder.net").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_net(tmp_path / "folder.net", net)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_net(tmp_path / "file" / "a.net", net)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.net"]


def test_a_full_disk_keeps_the_old_file(net, path, monkeypatch):
    before = path.read_bytes()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_net(path, net)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_biases_that_stock_netx_would_wrap_are_refused(tmp_path):
    program = fc_program(
        np.random.default_rng(0), exponent=-13
    )  # biases of 1..3 LSB become 8192..24576 at 2**13
    wide = replace(program.layers[0], bias=frozen_ints([5] * 9))
    program = replace(program, layers=(wide, *program.layers[1:]))
    with pytest.raises(
        CompileError, match="layer 0: the bias of neuron 0 is 40960 weight LSBs for stock NetX"
    ):
        write_net(tmp_path / "a.net", NetFile(program, PROFILE.text))
    assert list(tmp_path.iterdir()) == []
