"""`sast-deploy simulate` on other people's files."""

from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.netx import NetFile, write_net
from sast_deploy.netx_import import StockUse, read_stock
from sast_deploy.simulate.reference import run_reference
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
    write_stock("pixels.net", [image(2, 6, 5, weight=40, bias=10, **neuron(vThMant=90)), *body])
    np.save("one.npy", (rng.random((12, 2, 6, 5)) < 0.4).astype(float))
    np.save("many.npy", rng.integers(0, 3, (3, 12, 2, 6, 5)))
    np.save("row.npy", (rng.random((12, 60)) < 0.4))
    np.save("picture.npy", rng.random((2, 6, 5)))
    return tmp_path


@pytest.mark.parametrize("backend", ["reference", "fast", "lava"])
def test_spikes_in_spikes_out(backend, folder, capsys):
    assert run(["simulate", "flat.net", "--input", "one.npy", "--backend", backend, "-o", "out.npz"]) == 0
    text = capsys.readouterr().out
    assert "flat.net: stock NetX network, 1 samples x 15 steps" in text
    assert "latency 3 steps" in text
    program = read_stock("flat.net", StockUse(15, reset_offset=1))
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
    expected = run_reference(read_stock("pixels.net", use), frames, trace=True)
    with np.load("runs/pixels/spikes.npz") as found:
        assert np.array_equal(found["spikes"], expected.traces[-1].spikes)
        assert np.array_equal(found["logits"], expected.logits)
        assert int(found["latency"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flat.net"], "flat.net: was not written by sast-deploy, so no data belongs to it; name its input"),
        (["flat.net", "--input", "none.npy"], "none.npy: cannot be read"),
        (["flat.net", "--input", "flat.net"], "flat.net: cannot be read"),
        (["flat.net", "--input", "picture.npy"], "picture.npy: one frame without time; expected --steps N"),
        (["flat.net", "--input", "bad.npy"], "bad.npy: shape (3, 7); expected (samples, time, *(2, 6, 5))"),
        (["flat.net", "--input", "one.npy", "--message-bits", "9"], "9 is not in the range 0<=x<=8"),
        (["flat.net", "--input", "many.npy", "--message-bits", "1"], "from 0 to 2; expected integers from 0"),
        (["pixels.net", "--input", "many.npy", "--steps", "0"], "0 is not in the range x>=1"),
        (["pixels.net", "--input", "loud.npy"], "40 * pixel + 10 from 10 to 410; expected a range"),
    ],
)
def test_one_line_for_every_mistake(arguments, message, folder, capsys):
    np.save("bad.npy", np.zeros((3, 7)))
    np.save("loud.npy", np.arange(11)[:, None] * np.ones((1, 60)))
    assert run(["simulate", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert len(lines) == 1
    assert not (folder / "runs").exists()


def test_options_for_other_peoples_files_are_refused_for_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_net(tmp_path / "ours.net", NetFile(fc_program(np.random.default_rng(0)), ""))
    assert run(["simulate", "ours.net", "--steps", "5"]) == 2
    assert "ours.net: --steps is for stock NetX files" in capsys.readouterr().err
