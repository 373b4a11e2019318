from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import UsageError
from sast_deploy.cli import run
from sast_deploy.data import FrameSplit
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.show.evaluation import evaluation_table
from sast_deploy.training.checkpoint import load_checkpoint
from sast_deploy.training.evaluate import EvaluationResult, evaluate, tail_shares, tail_warning
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import PAPER
from sast_deploy.training.train import train
from tests.tinydata import SHAPE, tiny_set


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny products wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "ckpt.pt"
    plan = PAPER.replace(epochs=12, lr=0.02, batch=16, rho=0.05)
    return train(NetworkSpec("fc", SHAPE, (12, 8), 3), plan, tiny_set(), out).path


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    # (c + z^2/2 +- z sqrt(c (n - c)/n + z^2/4)) / (n + z^2): 0 of n gives [0, z^2/(n + z^2)]
    [(0, 10, 0.0, 3.841459 / 13.841459), (10, 10, 10 / 13.841459, 1.0), (50, 100, 0.403832, 0.596168)],
)
def test_wilson_interval(correct: int, samples: int, low: float, high: float) -> None:
    assert Accuracy(correct, samples).interval == pytest.approx((low, high), abs=1e-6)


def by_numpy(state: dict[str, np.ndarray], frames: np.ndarray, hard: bool) -> tuple[np.ndarray, list[float]]:
    """Predictions and mean spikes per layer: the equations with alpha 1/2, theta 1, k 25."""
    x = frames.reshape(len(frames), 4, -1).swapaxes(0, 1) / 4.0
    rates = []
    for layer in range(2):
        current = x @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"]
        u, s = np.zeros_like(current[0]), np.zeros_like(current[0])
        spikes = []
        for i in current:
            u = 0.5 * u + i - s
            s = (u >= 1.0).astype(float) if hard else 0.5 + np.arctan(25.0 * (u - 1.0)) / np.pi
            spikes.append(s)
        x = np.stack(spikes)
        rates.append(x.mean())
    return (x.mean(0) @ state["readout.weight"].T + state["readout.bias"]).argmax(1), rates


def test_evaluation_agrees_with_the_equations_in_numpy(trained: Path) -> None:
    checkpoint, test = load_checkpoint(trained), tiny_set().test
    result = evaluate(checkpoint, test, batch=7)
    for correct, rates, hard in (
        (result.surrogate_correct, result.surrogate_rates, False),
        (result.hard_correct, result.hard_rates, True),
    ):
        predictions, expected = by_numpy(checkpoint.state, test.frames, hard)
        assert correct == int((predictions == test.labels).sum())
        assert rates == pytest.approx(expected, abs=1e-6)
    assert result.hard_accuracy > 0.8
    assert result.hard_rates != pytest.approx(result.surrogate_rates, abs=1e-5)


def test_batches_do_not_matter(trained: Path) -> None:
    checkpoint, test = load_checkpoint(trained), tiny_set().test
    one, many = (evaluate(checkpoint, test, batch=b) for b in (256, 1))
    assert (one.surrogate_correct, one.hard_correct) == (many.surrogate_correct, many.hard_correct)
    assert one.surrogate_rates == pytest.approx(many.surrogate_rates, rel=1e-5)


def test_table_and_dict() -> None:
    result = EvaluationResult(200, 190, 180, (0.25, 0.5), (0.2, 0.4), 1.5)
    assert result.transfer_gap == pytest.approx(0.05)
    assert result.to_dict()["hard_accuracy"] == 0.9
    table = evaluation_table(result)
    assert table.title == "200 test samples, 1.5 s"
    assert [row[1] for row in table.rows] == ["95.00 %", "90.00 %", "5.00 %"]
    assert table.rows[1][3:] == ("0.200", "0.400")


def test_frames_of_another_shape_are_refused(trained: Path) -> None:
    frames = np.zeros((2, 5, *SHAPE), np.uint8)
    other = FrameSplit(frames, np.zeros(2, np.int64), ("a", "b"), 0)
    with pytest.raises(UsageError, match="frames of shape"):
        evaluate(load_checkpoint(trained), other)


@pytest.mark.parametrize(
    ("smooth", "hard", "shares", "named"),
    [
        ((0.2, 0.1), (0.19, 0.09), (0.05, 0.1), ()),
        ((0.2, 0.1), (0.19, 0.08), (0.05, 0.2), ("layer 1",)),
        ((0.02, 0.02), (0.01, 0.0), (0.5, 1.0), ("layer 0", "layer 1")),
        ((0.2, 0.0), (0.3, 0.0), (0.0, 0.0), ()),
        ((), (), (), ()),
    ],
)
def test_layers_that_compute_with_the_surrogates_tails_are_named(
    smooth: tuple[float, ...], hard: tuple[float, ...], shares: tuple[float, ...], named: tuple[str, ...]
) -> None:
    assert tail_shares(smooth, hard) == pytest.approx(shares)
    warning = tail_warning(PAPER, smooth, hard) or ""
    assert tuple(name for name in ("layer 0", "layer 1") if name in warning) == named
    assert tail_warning(PAPER.replace(forward="hard"), smooth, hard) is None


def test_train_and_evaluate_warn_of_a_network_without_hard_spikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sast_deploy.data.request.load_frames", lambda *_, **__: tiny_set())
    monkeypatch.setattr("sast_deploy.data.request.load_recorded", lambda *_, **__: tiny_set())
    out = tmp_path / "ckpt.pt"
    weak = ["--dataset", "nmnist", "--epochs", "1", "--lr", "1e-6", "--rho", "0", "-o", str(out)]
    assert run(["train", *weak]) == 0
    assert "are much of layer 0 (100.00 %: 0.0000 hard spikes" in capsys.readouterr().out
    assert run(["evaluate", str(out)]) == 0
    assert "WARNING: the surrogate's tails" in capsys.readouterr().out
    assert run(["train", *weak, "--overwrite", "--set", "init=lsuv"]) == 0
    assert "WARNING" not in capsys.readouterr().out


def test_train_says_which_recipe_a_conv_network_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sast_deploy.data.request.load_frames", lambda *_, **__: tiny_set())
    quick = ["train", "--dataset", "nmnist", "--network", "conv", "--epochs", "1", "--rho", "0"]
    assert run([*quick, "--recipe", "best", "-o", str(tmp_path / "a" / "ckpt.pt")]) == 0
    assert "note: by best+ the deeper maps" in capsys.readouterr().out
    assert run([*quick, "--recipe", "best-conv", "-o", str(tmp_path / "b" / "ckpt.pt")]) == 0
    assert "note:" not in capsys.readouterr().out
