"""One sample step by step, and two networks side by side: values against runs made another way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.cli import run
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile
from sast_deploy.program.program import Program, Readout, frozen_ints
from sast_deploy.reports.tracing import logits_over_time
from tests.anyprogram import Seeded, any_frames, any_program

WEIGHTS = [[0.5, -0.25, 1.0], [1.0, 0.75, -0.5], [0.25, 1.0, 0.5], [-0.5, 0.5, 1.0]]


def network(**more: Any) -> sast.FloatNetwork:
    readout = sast.FloatReadout(np.arange(8).reshape(2, 4) / 8 - 0.4)
    return sast.FloatNetwork([sast.FloatDense(WEIGHTS, leak=0.5), readout], 3, steps=6, **more)


@pytest.fixture
def frames() -> Any:
    return np.random.default_rng(5).integers(0, 2, (12, 6, 3)).astype(np.uint8)


def changed(net: sast.Net, **fields: Any) -> sast.Net:
    """The network with other values in its first layer."""
    program = net.program
    layers = (replace(program.layers[0], **fields), *program.layers[1:])
    assert isinstance(net.content, NetFile)
    return sast.Net(replace(net.content, program=replace(program, layers=layers)))


@pytest.mark.parametrize("seed", range(12))
def test_logits_over_time_are_those_of_samples_that_end_earlier(seed: int) -> None:
    choose = Seeded(seed, 12)
    program = any_program(choose)
    frames = any_frames(choose, program, samples=1)[:, :20]
    record = run_reference(program, frames, trace=True)
    found = logits_over_time(program, frames, record.traces or ())
    for step in range(frames.shape[1]):
        assert found[step].tolist() == run_reference(program, frames[:, : step + 1]).logits[0].tolist()


def test_a_readout_that_forgets_is_followed_step_by_step(frames: Any) -> None:
    net = sast.compile(network())
    last = net.program.layers[-1]
    assert isinstance(last, Readout)
    leaky = replace(last, v_decay=frozen_ints([1024]), decoding="max")
    program = replace(net.program, layers=(*net.program.layers[:-1], leaky))
    one = frames[:1].reshape(1, 6, 3, 1, 1)
    record = run_reference(program, one, trace=True)
    found = logits_over_time(program, one, record.traces or ())
    for step in range(6):
        assert found[step].tolist() == run_reference(program, one[:, : step + 1]).logits[0].tolist()


def test_a_trace_is_what_the_engine_kept(frames: Any) -> None:
    net = sast.compile(network())
    found = sast.trace(net, frames, sample=3)
    kept = sast.simulate(net, frames, trace=True).record
    assert kept.traces is not None
    assert np.array_equal(found.layers[0].membrane, kept.traces[0].membrane[3])
    assert np.array_equal(found.layers[0].spikes, kept.traces[0].spikes[3])
    assert found.logits[-1].tolist() == kept.logits[3].tolist()
    assert found.prediction == kept.predictions[3]
    assert found.layers[0].threshold.tolist() == net.program.layers[0].vth.tolist()  # type: ignore[union-attr]
    json.dumps(found.to_dict())
    with pytest.raises(DataError, match="no sample 12; expected 0 to 11"):
        sast.trace(net, frames, sample=12)


def test_a_network_does_not_part_from_itself(frames: Any) -> None:
    net, labels = sast.compile(network()), np.arange(12) % 2
    found = sast.compare(net, net, frames, labels)
    assert found.parting is None
    assert found.looked_at == 0
    assert found.other_predictions == 0
    assert found.accuracy is not None
    assert found.mcnemar is not None
    assert found.mcnemar.p == 1.0
    assert found.accuracy[0] == found.accuracy[1]
    assert found.layers[0].unequal == 0.0
    json.dumps(found.to_dict())


def test_the_first_spike_that_only_one_fires_is_found(frames: Any) -> None:
    """By another way: all spikes of both, compared in a loop over samples, steps and neurons."""
    net = sast.compile(network())
    vth = net.program.layers[0].vth.copy()  # type: ignore[union-attr]
    vth[2] = vth[2] // 2
    other = changed(net, vth=frozen_ints(vth))
    runs = [sast.simulate(each, frames, trace=True).record.traces for each in (net, other)]
    a, b = (each[0].spikes for each in runs if each)
    where = next((n, t, i) for n, t, i in np.ndindex(a.shape) if a[n, t, i] != b[n, t, i])
    found = sast.compare(net, other, frames).parting
    assert found is not None
    assert (found.sample, found.step, found.neuron) == where == (where[0], where[1], 2)
    assert found.fired == "b"
    assert found.thresholds == (net.program.layers[0].vth[2], vth[2])
    assert found.membranes[0] < found.thresholds[0]
    assert found.membranes[1] >= found.thresholds[1]
    there = sast.compare(net, other, frames, sample=where[0]).parting
    assert there == found


def test_who_is_right_alone_is_counted(frames: Any) -> None:
    net = sast.compile(network())
    other = changed(net, vth=frozen_ints(net.program.layers[0].vth * 3))  # type: ignore[union-attr]
    right, theirs = (sast.simulate(each, frames).predictions for each in (net, other))
    found = sast.compare(net, other, frames, right)
    assert found.mcnemar is not None
    assert found.accuracy is not None
    assert found.mcnemar.only_b == 0
    assert found.mcnemar.only_a == (right != theirs).sum() > 0
    assert found.other_predictions == found.mcnemar.only_a
    assert found.accuracy[0].value == 1.0
    spikes = sast.simulate(other, frames).record.counts[0]
    assert found.layers[0].spikes[1] == spikes.sum(axis=1).mean()
    assert found.synops == tuple(sast.simulate(each, frames).synops for each in (net, other))


def test_networks_of_other_layers_are_compared_as_far_as_that_goes(frames: Any) -> None:
    net = sast.compile(network())
    more = sast.FloatNetwork(
        [sast.FloatDense(WEIGHTS, leak=0.5), sast.FloatDense(np.eye(4), leak=0.5), network().layers[-1]],
        3, steps=6,
    )  # fmt: skip
    found = sast.compare(net, sast.compile(more), frames)
    assert found.layers == ()
    assert found.looked_at is None
    assert found.parting is None
    with pytest.raises(UsageError, match="other layers or frames"):
        sast.compare(net, sast.compile(more), frames, sample=0)
    named = sast.compile(network(classes=("left", "right")))
    with pytest.raises(DataError, match="classes left, right, "):
        sast.compare(net, named, frames)


@pytest.mark.slow
def test_the_commands_write_and_say_the_same(frames: Any, tmp_path: Path, capsys: Any) -> None:
    path = str(sast.compile(network()).save(tmp_path / "a.net").path)
    np.save(tmp_path / "x.npy", frames)
    given = ["--input", str(tmp_path / "x.npy")]
    out = ["-o", str(tmp_path / "t.npz"), "--plot", str(tmp_path / "t.svg")]
    assert run(["trace", path, *given, "--sample", "2", *out]) == 0
    assert "sample 2 of" in capsys.readouterr().out
    found = sast.trace(sast.load(path), frames, sample=2).arrays()
    with np.load(tmp_path / "t.npz", allow_pickle=False) as kept:
        assert {*kept} == {*found, "run"}
        assert all(np.array_equal(kept[name], found[name]) for name in found)
    picture = (tmp_path / "t.svg").read_text()
    assert "layer 0 (dense)" in picture
    assert "logits if the sample ended here" in picture
    assert run(["compare", path, path, *given]) == 0
    assert "every spike of every layer is the same" in capsys.readouterr().out
    assert run(["trace", path, *given, "--sample", "12"]) == 2
    assert "no sample 12; expected 0 to 11" in capsys.readouterr().err


def test_any_engine_gives_the_same_trace() -> None:
    choose = Seeded(3, 1)
    program: Program = any_program(choose)
    frames = any_frames(choose, program, samples=1)
    net = sast.compile(network())
    assert isinstance(net.content, NetFile)
    net = sast.Net(replace(net.content, program=program))
    one, two = (sast.trace(net, frames, engine=engine) for engine in ("reference", "vectorised"))
    assert one.logits.tolist() == two.logits.tolist()
    assert all(np.array_equal(a.membrane, b.membrane) for a, b in zip(one.layers, two.layers, strict=True))
