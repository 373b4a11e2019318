"""`simulate` and `verify` on frames of one's own, with and without a data set of the network's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.cli import run

OWN = ["simulate", "bare.net", "--input", "frames.npy"]


@pytest.fixture(scope="module")
def made(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own.net with a data set, bare.net without one, frames.npy and labels.npy that fit both."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(chain / "netx_exports" / "sast-loihi-int4.net", folder / "own.net")
    own = sast.load(folder / "own.net").program
    rng = np.random.default_rng(0)
    hidden = sast.FloatDense(rng.normal(size=(6, 2 * 34 * 34)), leak=0.5)
    readout = sast.FloatReadout(rng.normal(size=(len(own.classes), 6)))
    network = sast.FloatNetwork([hidden, readout], (2, 34, 34), own.steps, input_clip=4)
    sast.compile(network).save(folder / "bare.net")
    np.save(folder / "frames.npy", (rng.random((7, *(own.steps, 2, 34, 34))) < 0.1).astype(np.uint8))
    np.save(folder / "labels.npy", np.arange(7) % len(own.classes))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulated(*words: str) -> dict[str, Any]:
    assert run(["simulate", *words, "--backend", "fast", "--check", "all"]) == 0
    return dict(np.load("runs/" + Path(words[0]).stem + "/frames/spikes.npz"))


@pytest.mark.parametrize("name", ["own.net", "bare.net"])
def test_frames_of_ones_own_give_answers_and_a_report(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = simulated(name, "--input", "frames.npy", "--labels", "labels.npy", "--traces")
    printed = capsys.readouterr().out
    expected = sast.simulate(sast.load(name), np.load("frames.npy"), np.load("labels.npy"), trace=True)
    np.testing.assert_array_equal(found["logits"], expected.logits)
    np.testing.assert_array_equal(found["predictions"], expected.predictions)
    np.testing.assert_array_equal(found["counts0"], expected.record.counts[0])
    assert expected.record.traces is not None
    np.testing.assert_array_equal(found["membranes0"], expected.record.traces[0].membrane)
    np.testing.assert_array_equal(found["spikes0"], expected.record.traces[0].spikes)
    report = json.loads((here / "runs" / Path(name).stem / "frames" / "report.json").read_text())
    assert expected.accuracy is not None
    assert report["accuracy"]["correct"] == expected.accuracy.correct
    assert report["synops_per_sample"]["total"] == expected.synops
    assert report["data"]["provenance"] == "frames.npy"
    assert report["run"] == {**report["run"], "checked": 7, "difference": None}
    for words in ("frames.npy", f"{expected.accuracy}", "7 samples replayed", "confusion of 7 samples"):
        assert words in printed
    assert "test split" not in printed


def test_without_labels_there_is_no_accuracy(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated("bare.net", "--input", "frames.npy")
    assert "membranes0" not in found
    printed = capsys.readouterr().out
    assert "no labels, integers on fast" in printed
    assert "confusion" not in printed
    report = json.loads((here / "runs/bare/frames/report.json").read_text())
    assert report["accuracy"] is None
    assert report["confusion"]["rows_are_true_labels"] is None


def test_another_run_is_not_replaced_and_the_same_one_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [*OWN, "--backend", "fast"]
    assert run(first) == run(first) == 0
    np.save("labels2.npy", np.zeros(7, int))
    assert run([*first, "--labels", "labels2.npy"]) == 2
    error = capsys.readouterr().err
    assert "report.json: holds a report of labels none; this run: labels " in error
    np.save("frames.npy", np.load("frames.npy")[:3])
    assert run(first) == 2
    assert "holds a report of input " in capsys.readouterr().err
    assert run([*first, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["simulate", "bare.net"], "bare.net: no data set belongs to it; give frames of your own"),
        (["simulate", "bare.net", "--input", "labels.npy"], "labels.npy: shape (7,); expected (samples"),
        (["simulate", "bare.net", "--input", "short.npy"], "short.npy: 3 time steps; expected 10"),
        ([*OWN, "--labels", "far.npy"], "far.npy: labels 0..99; expected 0.."),
        ([*OWN, "--labels", "frames.npy"], "frames.npy: labels of uint8 (7, 10, 2"),
        (["simulate", "bare.net", "--input", "bare.net"], "bare.net: is a .net file of ours; expected"),
        ([*OWN, "--report", "frames.npy"], "is what this command reads"),
        ([*OWN, "--labels", "nowhere.npy"], "nowhere.npy: no such file"),
        (["simulate", "bare.net", "--input", "nan.npy"], "nan.npy: values that are not finite"),
        (["verify", "bare.net", "--input", "short.npy"], "short.npy: 3 time steps; expected 10"),
        (["inspect", "bare.net", "--samples", "3"], "no data set belongs to it"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("short.npy", np.load("frames.npy")[:, :3])
    np.save("far.npy", np.array([0, 1, 2, 0, 1, 2, 99]))
    np.save("nan.npy", np.where(np.load("frames.npy"), np.nan, 0))
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (here / "runs").exists()


def test_verify_takes_known_answers_alone_or_frames(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "bare.net", "--backend", "fast"]) == 0
    printed = capsys.readouterr().out
    assert "known answers" in printed
    assert "frames given" not in printed
    assert run(["verify", "bare.net", "--backend", "fast", "--input", "frames.npy"]) == 0
    assert "frames given" in capsys.readouterr().out


def test_what_is_wrong_with_labels_comes_before_what_lies_where_the_report_goes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*OWN, "--backend", "fast"]) == 0
    capsys.readouterr()
    assert run([*OWN, "--backend", "fast", "--labels", "nowhere.npy"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.npy: no such file")
