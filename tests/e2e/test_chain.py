"""Events to report through the command line, on Lava, as a user types it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.netx.file import read_net

pytestmark = pytest.mark.slow


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
    assert report["data"]["unlike_training"] is None
    assert report["data"]["test_samples"] == report["accuracy"]["samples"]
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
    for word in ("surrogate", "hard spikes", "gap", "20 test samples", "in N-MNIST's layout, not verified"):
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
    import sast_deploy.engines.lava as backend
    from sast_deploy.engines.reference import run_reference
    from sast_deploy.program.record import SpikeRecord

    def miscounting(program, frames, **_options):
        record = run_reference(program, frames)
        counts = record.counts[0].copy()
        counts[19, 7] += 1
        return SpikeRecord((counts, *record.counts[1:]), record.logits)

    monkeypatch.setattr(backend, "run_lava", miscounting)
    for check in ("all", "4"):  # whatever is replayed, the number is that of the test sample
        assert run(["simulate", "--check", check, "--report", "out/c.json", "--overwrite"]) == 1
        expected = "DIFFERS: Lava against the reference: sample 19, spiking layer 0, neuron 7: spike count"
        assert expected in capsys.readouterr().out


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
    assert "may be among these" not in out
    assert json.loads((tmp_path / "runs/h-loihi-int8/report.json").read_text())["data"]["holdout_seed"] == 7
    warning = "not the recordings and the split of training: training samples may be among these"
    other = ["simulate", "--backend", "reference", "--holdout-seed", "8"]
    assert run(other) == 2
    lost = "report.json: holds a report of holdout seed 7; this run: holdout seed 8; --overwrite replaces it"
    assert lost in capsys.readouterr().err
    for command in ([*other, "--overwrite"], ["evaluate", "runs/h/ckpt.pt", "--holdout-seed", "8"]):
        assert run(command) == 0
        assert warning in capsys.readouterr().out
    assert run(["evaluate", "runs/h/ckpt.pt", "--data-root", str(bands)]) == 0  # these have a Test folder
    printed = capsys.readouterr()
    assert "trained with holdout 0.25; here the data's own test split is used" in printed.err
    assert "WARNING: not the recordings of training" in printed.out


def test_part_of_the_test_split_has_every_digit(here, capsys):
    arguments = ["--samples", "4", "--backend", "reference", "--report", "out/d.json"]
    assert run(["simulate", *arguments]) == 0
    assert "4 of 20 samples, evenly spread" in capsys.readouterr().out
    rows = json.loads((here / "out/d.json").read_text())["confusion"]["rows_are_true_labels"]
    assert [sum(row) for row in rows[:4]] == [1, 1, 1, 1]


def test_the_recorded_folder_comes_before_the_variable(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAST_DATA_ROOT", str(tmp_path))
    assert run(["simulate", "--backend", "reference", "--report", "out/e.json"]) == 0
    assert "WARNING" not in capsys.readouterr().out


def test_a_folder_that_is_gone_is_named(bands, tmp_path, monkeypatch, capsys):
    shutil.copytree(bands, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    train = ["train", "--dataset", "nmnist", "--epochs", "1", "-o", "runs/g/ckpt.pt"]
    assert run([*train, "--data-root", "mine"]) == 0
    (tmp_path / "mine").rename(tmp_path / "data")
    assert run(["evaluate", "runs/g/ckpt.pt"]) == 0
    gone = f"{tmp_path / 'mine'}, the folder it was trained from, is gone; looking elsewhere"
    assert gone in capsys.readouterr().err


def test_data_info_names_missing_digits(bands, capsys):
    assert run(["data", "info", "--dataset", "nmnist", "--data-root", str(bands)]) == 0
    out = capsys.readouterr().out
    assert "classes without samples: 4, 5, 6, 7, 8, 9" in out
    assert "48" in out


def test_a_reset_before_the_leak_from_training_to_lava(bands, tmp_path, monkeypatch, capsys):
    """Said once, to `train`: no other command has an option for it."""
    monkeypatch.chdir(tmp_path)
    recipe = ["--recipe", "paper", "--epochs", "3", "--batch", "8", "--lr", "0.01", "--rho", "0"]
    data = ["--dataset", "nmnist", "--data-root", str(bands)]
    assert run(["train", *data, *recipe, "--alpha", "0.75", "--reset-order", "before-leak"]) == 0
    for profile in ("loihi-int8", "loihi-int4"):
        assert run(["compile", "runs/sast/ckpt.pt", "--profile", profile]) == 0
        program = read_net(f"netx_exports/sast-{profile}.net").program
        assert program.arithmetic.reset_order == "before-leak"
    capsys.readouterr()
    assert run(["simulate", "--check", "4"]) == 0
    assert "samples replayed: spike counts, logits and predictions identical" in capsys.readouterr().out
