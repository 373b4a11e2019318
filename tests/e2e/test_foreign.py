"""`sast-deploy simulate` on other people's files."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.engines import stockrun
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.netx.foreign import reader
from sast_deploy.netx.foreign.frames import stock_frames
from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.netx.foreign.stocknet import StockUse
from sast_deploy.program import record
from tests.programs import fc_program
from tests.stockfiles import FLATTEN, conv, dense, image, integers, integrator, neuron, write_stock


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A file with an integrating readout, one with input neurons, and arrays to feed them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    first = conv(integers(rng, 30, 3, 2, 3, 3), (3, 4, 3), vThMant=40)
    body = [first, FLATTEN, dense(integers(rng, 60, 8, 36))]
    write_stock("flat.net", [image(2, 6, 5), *body, integrator(integers(rng, 50, 4, 8))])
    write_stock("bare.net", body)
    write_stock("pixels.net", [image(2, 6, 5, weight=40, bias=10, **neuron(vThMant=90)), *body])
    np.save("one.npy", (rng.random((12, 2, 6, 5)) < 0.4).astype(float))
    np.save("many.npy", rng.integers(0, 3, (3, 12, 2, 6, 5)))
    np.save("row.npy", (rng.random((12, 60)) < 0.4))
    np.save("picture.npy", rng.random((2, 6, 5)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "vectorised", "fast", "lava"])
def test_spikes_in_spikes_out(backend, folder, capsys):
    assert run(["simulate", "flat.net", "--input", "one.npy", "--backend", backend, "-o", "out.npz"]) == 0
    text = capsys.readouterr().out
    assert "flat.net: stock NetX network, 1 samples x 15 steps" in text
    assert "latency 3 steps" in text
    program = read_stock("flat.net").program(StockUse(15, reset_offset=1)).program
    assert f"program {program.digest()}" in text
    frames = np.concatenate([np.load("one.npy"), np.zeros((3, 2, 6, 5))]).astype(np.uint8)[None]
    expected = run_reference(program, frames, trace=True).traces
    with np.load("out.npz") as found:
        assert np.array_equal(found["spikes"], expected[-1].spikes)
        assert np.array_equal(found["membranes"], expected[-1].membrane)
        # The last layer never fires: its membrane potentials are the answer.
        assert np.array_equal(found["logits"], expected[-1].membrane[:, -1])
        assert found["logits"].any()
    value = expected[-1].membrane[0, -1, 0]
    assert f"logits of sample 0 (membrane potentials after the last step): {value}" in text
    assert f"{expected[0].spikes.sum():,}" in text


def test_the_file_is_read_once_by_the_command_and_by_its_callers(folder, monkeypatch, capsys):
    opened, real = [], reader.open_hdf5
    monkeypatch.setattr(reader, "open_hdf5", lambda path, *rest: opened.append(path) or real(path, *rest))
    assert run(["simulate", "bare.net", "--input", "one.npy", "--backend", "reference"]) == 0
    assert len(opened) == 1
    net, array = reader.read_stock(Path("bare.net")), np.load("one.npy")
    frames = stock_frames(array, net, None, 0, Path("one.npy"))
    assert frames.use == StockUse(14, 0, reset_offset=1, input_max=1, input_shape=(2, 6, 5))
    stock = net.program(frames.use)
    assert f"program {stock.program.digest()}" in capsys.readouterr().out
    record = run_reference(stock.program, frames.chunk(0, 1), trace=True)
    stock.check(frames.chunk(0, 1), record)
    assert np.array_equal(np.load("runs/bare/spikes.npz")["spikes"], record.traces[-1].spikes)
    assert len(opened) == 2


def test_pixels_are_used_as_biases_that_come_at_once(folder):
    net = reader.read_stock(Path("pixels.net"))
    use = stock_frames(np.array([[-0.5, 2.0]] * 30).reshape(1, 2, 6, 5), net, None, 0, Path("x")).use
    assert use == StockUse(3, 0, reset_offset=0, input_max=100, input_bias=-10, input_shape=(2, 6, 5))


def test_shapes_steps_and_graded_inputs(folder, capsys):
    assert run(["simulate", "flat.net", "--input", "row.npy", "--steps", "5", "--backend", "reference"]) == 0
    assert np.load("runs/flat/spikes.npz")["spikes"].shape == (1, 5, 4)
    options = ["--input", "many.npy", "--backend", "reference", "--overwrite"]
    assert run(["simulate", "flat.net", *options, "--reset-interval", "4"]) == 0
    assert "every nonzero input counts as one spike" in capsys.readouterr().out
    once = np.load("runs/flat/spikes.npz")["membranes"]
    assert run(["simulate", "flat.net", *options, "--message-bits", "2", "--reset-interval", "4"]) == 0
    assert "counts as one" not in capsys.readouterr().out
    graded = np.load("runs/flat/spikes.npz")["membranes"]
    assert once.shape == graded.shape == (3, 15, 4)
    assert (once != graded).any()


def test_a_picture_drives_the_biases_of_input_neurons(folder):
    options = ["--input", "picture.npy", "--steps", "20", "--backend", "reference"]
    assert run(["simulate", "pixels.net", *options]) == 0
    biases = np.trunc(np.load("picture.npy") * 40 + 10).astype(np.int64)
    use = StockUse(20, input_max=50, input_bias=0)
    frames = np.broadcast_to(biases.astype(np.uint8), (1, 20, 2, 6, 5))
    expected = run_reference(read_stock("pixels.net").program(use).program, frames, trace=True)
    with np.load("runs/pixels/spikes.npz") as found:
        assert np.array_equal(found["spikes"], expected.traces[-1].spikes)
        assert np.array_equal(found["logits"], expected.logits)
        assert int(found["latency"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flat.net"], "flat.net: was not written by sast-deploy, so no data belongs to it; name its input"),
        (["flat.net", "--input", "none.npy"], "none.npy: no such file; expected an array of numbers"),
        (["flat.net", "--input", "flat.net"], "flat.net: is a stock NetX file; expected an array of numbers"),
        (["flat.net", "--input", "picture.npy"], "picture.npy: one frame without time; expected --steps N"),
        (["flat.net", "--input", "bad.npy"], "bad.npy: shape (3, 7); expected (samples, time, *(2, 6, 5))"),
        (["flat.net", "--input", "one.npy", "--message-bits", "33"], "33 is not in the range 0<=x<=32"),
        (["flat.net", "--input", "far.npy"], "values from 0 to 4294967296; expected integers of 32 bits"),
        (["flat.net", "--input", "nan.npy"], "nan.npy: values that are not finite"),
        (["flat.net", "--input", "none.npy", "--input-shape", "2,6"], "'2,6' is not C,H,W"),
        (["flat.net", "--input", "one.npy", "--input-shape", "1,6,5"], "1,6,5; expected 2,6,5, as the file"),
        (["flat.net", "--input", "one.npy", "--steps", "1000001"], "steps = 1000001; expected an int"),
        (["flat.net", "--input", "one.npy", "--reset-interval", "1000001"], "reset_interval = 1000001; exp"),
        (["pixels.net", "--input", "many.npy", "--steps", "0"], "0 is not in the range 1<=x<=2147483647"),
        (["pixels.net", "--input", "loud.npy"], "40 * pixel + 10 from 10 to 40010; expected biases"),
    ],
)
def test_one_line_for_every_mistake(arguments, message, folder, capsys):
    np.save("bad.npy", np.zeros((3, 7)))
    np.save("loud.npy", np.arange(0, 1001, 100)[:, None] * np.ones((1, 60)))
    np.save("far.npy", np.eye(60) * 2**32)
    np.save("nan.npy", np.full((3, 60), np.nan))
    assert run(["simulate", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert len(lines) == 1
    assert not (folder / "runs").exists()


def test_options_for_other_peoples_files_are_refused_for_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_net(tmp_path / "ours.net", NetFile(fc_program(np.random.default_rng(0)), ""))
    assert run(["simulate", "ours.net", "--steps", "5"]) == 2
    assert "--steps is for stock NetX files; sast-deploy wrote ours.net" in capsys.readouterr().err


def arrays(path):
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "vectorised", "fast", "lava"])
def test_chunks_and_traces_change_no_value(backend, folder, monkeypatch):
    """Samples one by one, in files instead of memory: the same arrays; with --traces those of all layers."""
    options = ["simulate", "flat.net", "--input", "many.npy", "--message-bits", "2", "--backend", backend]
    assert run([*options, "-o", "whole.npz"]) == 0
    monkeypatch.setitem(stockrun.CHUNK_BYTES, backend, 1)
    monkeypatch.setattr(record, "IN_MEMORY", 0)
    assert run([*options, "-o", "parts.npz", "--traces"]) == 0
    whole, parts = arrays("whole.npz"), arrays("parts.npz")
    values = {"spikes", "membranes", "logits", "latency"}
    assert set(whole) == {*values, "run"}
    assert all(np.array_equal(whole[name], parts[name]) for name in values)
    hidden = {f"{kind}{layer}": (3, 15, *shape) for layer, shape in enumerate([(3, 4, 3), (8,)])
              for kind in ("spikes", "membranes")}  # fmt: skip
    assert {name: parts[name].shape for name in set(parts) - set(whole)} == hidden
    use = StockUse(15, message_bits=2, input_max=2, reset_offset=1)
    frames = np.pad(np.load("many.npy"), [(0, 0), (0, 3), (0, 0), (0, 0), (0, 0)])
    expected = run_reference(read_stock("flat.net").program(use).program, frames, trace=True)
    for layer in (0, 1):
        assert np.array_equal(parts[f"spikes{layer}"].ravel(), expected.traces[layer].spikes.ravel())
        assert np.array_equal(parts[f"membranes{layer}"].ravel(), expected.traces[layer].membrane.ravel())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "vectorised", "fast"])
def test_memory_is_flat_in_the_number_of_samples(backend, folder, monkeypatch):
    monkeypatch.setitem(stockrun.CHUNK_BYTES, backend, 5_000)
    monkeypatch.setattr(record, "IN_MEMORY", 0)
    peaks = []
    for samples in (5, 5, 65):  # the first run imports and compiles
        np.save("x.npy", np.ones((samples, 5, 2, 6, 5), np.uint8))
        tracemalloc.start()
        assert run(["simulate", "flat.net", "--input", "x.npy", "--backend", backend, "--overwrite"]) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    traces_of_a_sample = 8 * (36 + 8 + 4) * 5
    assert peaks[2] - peaks[1] < 30 * traces_of_a_sample, peaks  # of 60 samples more; garbage is some of it


def test_a_convolution_first_takes_its_shape_from_the_array_or_the_option(folder, capsys):
    assert run(["simulate", "bare.net", "--input", "one.npy", "-o", "shaped.npz"]) == 0
    np.save("flat.npy", np.load("one.npy").reshape(12, 60))
    assert run(["simulate", "bare.net", "--input", "flat.npy", "-o", "flat.npz"]) == 2
    assert "layer 0 (conv): a convolution of inputs of unknown shape" in capsys.readouterr().err
    told = ["simulate", "bare.net", "--input-shape", "2,6,5"]
    assert run([*told, "--input", "flat.npy", "-o", "flat.npz"]) == 0
    assert run([*told, "--input", "one.npy", "-o", "told.npz"]) == 0
    shaped = arrays("shaped.npz")
    assert shaped["spikes"].any()
    for other in ("flat.npz", "told.npz"):
        found = {name: value for name, value in arrays(other).items() if name != "run"}
        assert all(np.array_equal(shaped[name], value) for name, value in found.items())
    assert run(["simulate", "bare.net", "--input", "flat.npy", "--input-shape", "3,5,4", "-o", "o.npz"]) == 2
    assert "layer 0 (conv): weight (3, 2, 3, 3) after (3, 5, 4)" in capsys.readouterr().err


@pytest.mark.slow
def test_what_stock_lava_alters_is_said(folder, capsys):
    layers = [{**dense(np.ones((2, 3), int)), "delay": np.array([[0, 1, 2], [62, 63, 99]])}]
    write_stock("late.net", layers)
    np.save("odd.npy", np.array([[0.7, 1.7, -3.0], [0, 1, 1]]))
    assert run(["simulate", "late.net", "--input", "odd.npy", "-o", "o.npz"]) == 0
    text = capsys.readouterr().out
    assert "note: 2 of 6 values have fractions, which stock Lava drops: 0.7 is 0, 1.7 is 1" in text
    assert "counts as one spike, whatever its sign: 1 values were neither 0 nor 1" in text
    assert "note: layer 0 (dense): stock NetX shortens delays above 62 to 62" in text
    assert run(["simulate", "late.net", "--input", "odd.npy", "--message-bits", "1", "-o", "p.npz"]) == 0
    assert "values from -3 to 1 do not fit 1 message bits; stock Lava takes them" in capsys.readouterr().out


def lfs(path):
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064d}\nsize 611968\n")


def keras(path):
    with h5py.File(path, "w") as file:
        file["model_weights/dense/kernel"] = np.zeros(3)


def truncated(path):
    write_stock(path, [dense(np.ones((2, 3), int))])
    path.write_bytes(path.read_bytes()[:3000])


def archive(path):
    np.savez("numbers.npz", a=1)
    path.write_bytes((path.parent / "numbers.npz").read_bytes())


def checkpoint(path):
    import torch

    torch.save({"state": torch.zeros(3)}, path)


KINDS = {
    "no such file": lambda path: None,
    "is a Git LFS pointer": lfs,
    "is truncated": truncated,
    "is empty": lambda path: path.touch(),
    "is a folder": lambda path: path.mkdir(),
    "is a text": lambda path: path.write_text("hello"),
    "is a Keras model": keras,
    "is a checkpoint": checkpoint,
    "is a NumPy array": lambda path: path.write_bytes((path.parent / "one.npy").read_bytes()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_opened_is_not_called_ours(kind, folder, capsys):
    """The same reason in simulate, with and without an input, and in inspect."""
    KINDS[kind](folder / "odd.net")
    for command in (["simulate"], ["simulate", "--input", "one.npy"], ["inspect"]):
        assert run([command[0], "odd.net", *command[1:]]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert f"odd.net: {kind}" in lines[0]
        assert "wrote this file" not in lines[0]


def test_a_file_that_another_process_writes_to_is_locked(folder, capsys):
    script = "import h5py, sys\nf = h5py.File('flat.net', 'a')\nprint(flush=True)\nsys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as holder:
        holder.stdout.readline()
        for more in ([], ["--input", "one.npy"]):
            assert run(["simulate", "flat.net", *more]) == 2
            assert "flat.net: is locked: another process has it open" in capsys.readouterr().err
        holder.communicate()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: np.save(path, np.zeros(5, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])),
         "holds records of x, y, t, p, not numbers; expected an array of numbers"),
        (archive, "is a NumPy archive (.npz)"),
        (lambda path: path.write_bytes((path.parent / "one.npy").read_bytes()[:900]), "is cut off"),
        (lfs, "is a Git LFS pointer; expected an array of numbers"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: np.save(path, np.array(["a"])), "holds values of type <U1, not numbers"),
        (lambda path: np.save(path, np.array([None])), "holds Python objects, not numbers"),
        (lambda path: np.save(path, np.zeros((0, 60))), "holds nothing, shape (0, 60)"),
    ],
)  # fmt: skip
def test_arrays_that_are_none(make, message, folder, capsys):
    make(folder / "odd.npy")
    assert run(["simulate", "flat.net", "--input", "odd.npy"]) == 2
    error = capsys.readouterr().err
    assert f"odd.npy: {message}" in error
    assert ("make frames of them first" in error) == ("records" in message)
    assert ("git lfs pull" in error) == ("LFS" in message)
