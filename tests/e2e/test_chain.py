"""Events to report through the command line, on Lava, as a user types it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.netx import read_net


@pytest.fixture
def here(chain, monkeypatch):
    monkeypatch.chdir(chain)
    return chain


def test_the_newest_export_runs_on_lava_and_equals_the_reference(here, capsys):
    assert run(["simulate", "--check", "all"]) == 0
    out = capsys.readouterr().out
    assert "netx_exports/sast-loihi-int8.net: 20 test samples of nmnist on lava" in out
    assert "20 samples replayed: spike counts, logits and predictions identical" in out
    report = json.loads((here / "runs/sast-loihi-int8/report.json").read_text())
    assert report["accuracy"]["samples"] == 20
    assert report["accuracy"]["value"] >= 0.75
    assert report["run"]["checked"] == 20
    assert report["run"]["difference"] is None
    assert report["data"]["dataset"] == "nmnist"
    assert report["data"]["same_frames_as_in_training"] is True
    assert report["training"]["metrics"]["test"]["samples"] == 20
    assert (
        report["net"]["program_digest"]
        == read_net(here / "netx_exports/sast-loihi-int8.net").program.digest()
    )
    layers = report["synops_per_sample"]["layers"]
    assert report["synops_per_sample"]["total"] == pytest.approx(sum(layer["synops"] for layer in layers))
    assert np.array(report["confusion"]["rows_are_true_labels"]).sum() == 20


def test_the_reference_backend_gives_the_same_report(here):
    for backend in ("reference", "lava"):
        path = f"out/{backend}.json"
        net = "netx_exports/sast-loihi-int4.net"
        assert run(["simulate", net, "--backend", backend, "--report", path]) == 0
    first, second = (json.loads((here / f"out/{name}.json").read_text()) for name in ("reference", "lava"))
    for key in ("accuracy", "synops_per_sample", "firing_rates", "confusion", "net"):
        assert first[key] == second[key]


def test_evaluate_prints_both_accuracies_and_the_gap(here, capsys):
    assert run(["evaluate", "runs/sast/ckpt.pt"]) == 0
    out = capsys.readouterr().out
    for word in ("surrogate", "hard spikes", "gap", "20 samples", "real N-MNIST"):
        assert word in out


def test_compile_says_that_stock_netx_resets_to_zero(here, capsys):
    arguments = ["compile", "runs/sast/ckpt.pt", "--profile", "loihi-int4", "-o", "out/a.net"]
    assert run(arguments) == 0
    assert "resets to ZERO" in capsys.readouterr().out
    assert run([*arguments[:-1], "out/b.net", "--strict-reset"]) == 0
    assert "stock NetX refuses this file" in capsys.readouterr().out
    assert read_net(here / "out/b.net").strict_reset
    assert read_net(here / "out/a.net").program.digest() == read_net(here / "out/b.net").program.digest()


def test_a_disagreement_is_reported_and_exits_1(here, monkeypatch, capsys):
    """A backend that miscounts one spike is caught by the reference check."""
    import sast_deploy.simulate.lava as backend
    from sast_deploy.simulate.record import SpikeRecord
    from sast_deploy.simulate.reference import run_reference

    def miscounting(path, frames, **_options):
        record = run_reference(read_net(path).program, frames)
        counts = record.counts[0].copy()
        counts[3, 7] += 1
        return SpikeRecord((counts, *record.counts[1:]), record.logits)

    monkeypatch.setattr(backend, "run_lava", miscounting)
    assert run(["simulate", "--check", "all", "--report", "out/c.json"]) == 1
    assert "DIFFERS: sample 3, spiking layer 0, neuron 7: spike count" in capsys.readouterr().out


def test_a_set_without_test_folder_is_held_out_by_seed(bands, tmp_path, monkeypatch, capsys):
    shutil.copytree(bands / "Train", tmp_path / "data" / "Train")
    monkeypatch.chdir(tmp_path)
    train = ["train", "--dataset", "nmnist", "--epochs", "1", "--batch", "8", "-o", "runs/h/ckpt.pt"]
    assert run(train) == 2
    assert "--holdout 0.2" in capsys.readouterr().err
    assert run([*train, "--holdout", "0.25", "--holdout-seed", "7"]) == 0
    assert run(["compile", "runs/h/ckpt.pt"]) == 0
    assert run(["simulate", "--backend", "reference"]) == 0
    out = capsys.readouterr().out
    assert "12 samples, 25 % held out by seed 7" in out
    assert json.loads((tmp_path / "runs/h-loihi-int8/report.json").read_text())["data"]["holdout_seed"] == 7


def test_data_info_names_missing_digits(bands, capsys):
    assert run(["data", "info", "--dataset", "nmnist", "--data-root", str(bands)]) == 0
    out = capsys.readouterr().out
    assert "classes without samples: 4, 5, 6, 7, 8, 9" in out
    assert "48" in out
