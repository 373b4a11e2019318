"""The loop of every training, with a training that only says what it was asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.progress import Observer, observe
from sast_deploy.finetuning import finetune
from sast_deploy.finetuning.trainer import FineTrainer
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint
from sast_deploy.training.loop import Loop, TrainResult
from sast_deploy.training.network.network import Network
from sast_deploy.training.recipes import PAPER
from sast_deploy.training.state import Line, RunFiles, State, TrainingInterruptedError, Unfinished
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer
from tests.tinynets import random_checkpoint

CHECKPOINT = random_checkpoint()
SPEC = CHECKPOINT.network


class Scripted:
    """A training whose epochs are given: rank, and the width of the first layer from then on."""

    kind, device, steps = "scripted", torch.device("cpu"), 3
    fitted, held = np.arange(6), np.arange(2)

    def __init__(self, *epochs: tuple[float, int], start: float | None = None) -> None:
        self.epochs, self.first = epochs, start
        self.recipe, self.network = PAPER.replace(epochs=len(epochs)), Network(SPEC)
        self.narrow(5)
        self.asked: list[str] = []

    def begin(self, state: Unfinished) -> None:
        self.asked.append("begin")
        if self.first is not None:
            state.history.append({"epoch": 0, "rank": self.first, "seconds": 0.0})
            state.best = self.saved_weights()

    def epoch(self, index: int, advance: Callable[[], None]) -> Line:
        self.asked.append("epoch")
        if self.epochs[index][0] < 0:
            raise KeyboardInterrupt
        for _ in range(self.steps):
            advance()
        self.narrow(self.epochs[index][1])
        return {"loss": 1.0}

    def narrow(self, width: int) -> None:
        self.network.spec = replace(SPEC, hidden=(width, *SPEC.hidden[1:]))

    def judged(self, index: int) -> Line:
        self.asked.append("judged")
        return {"rank": self.epochs[index][0]}

    def rank(self, line: Line) -> tuple[float, ...]:
        return (line["rank"],)

    def describe(self, state: Unfinished) -> str:
        return f"{state.epoch}: best {state.best_epoch}"

    def saved_weights(self) -> State:
        return {"theta_0": torch.ones(self.network.spec.hidden[0])}

    def capture(self, state: Unfinished) -> None:
        self.asked.append("capture")

    def restore(self, state: Unfinished) -> None:
        self.asked.append("restore")

    def checkpoint(self, name: str, state: Unfinished, metrics: dict[str, Any]) -> Checkpoint:
        self.asked.append("checkpoint")
        return replace(CHECKPOINT, name=name, metrics={**metrics, "rank": state.best_line["rank"]})

    def test(self, found: Checkpoint) -> dict[str, Any]:
        self.asked.append("test")
        return {"hard": 0.25}


class Heard(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []
        self.steps, self.lines = 0, list[str]()

    def begin(self, what: str, total: int | None) -> None:
        self.begun.append((what, total))

    def advance(self, task: Any, steps: int) -> None:
        self.steps += steps

    def say(self, line: str) -> None:
        self.lines.append(line)


def run(training: Scripted, out: Path) -> TrainResult:
    return Loop(RunFiles(out), {"seed": 0}).run(lambda: training)


def test_what_it_asks_and_when(tmp_path: Path) -> None:
    training = Scripted((0.5, 5), (0.4, 5))
    result = run(training, tmp_path / "ckpt.pt")
    assert training.asked == ["begin", *["epoch", "judged", "capture"] * 2, "checkpoint", "test"]
    assert result.checkpoint.metrics["test"] == {"hard": 0.25}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt.pt", "metrics.jsonl"]
    assert load_checkpoint(result.path).metrics["setting"] == {"seed": 0}


@pytest.mark.parametrize(
    ("epochs", "start", "best"),
    [
        ([(0.3, 5), (0.5, 5), (0.5, 5), (0.4, 5)], None, 3),  # equal ones: the later
        ([(0.9, 5), (0.2, 4), (0.1, 4)], None, 2),  # a network that is narrower by now wins over all before
        ([(0.3, 5), (0.4, 5)], 0.5, 0),  # the start stays
        ([(0.3, 5), (0.5, 5)], 0.5, 2),
    ],
)
def test_which_epoch_is_the_best(
    tmp_path: Path, epochs: list[tuple[float, int]], start: float | None, best: int
) -> None:
    metrics = run(Scripted(*epochs, start=start), tmp_path / "ckpt.pt").checkpoint.metrics
    assert (metrics["epoch"], metrics["epochs"]) == (best, len(epochs))
    assert metrics["rank"] == (epochs[best - 1][0] if best else start)


@pytest.mark.parametrize(
    ("epochs", "told"), [(3, [1, 2, 3]), (59, [*range(2, 59, 2), 59]), (100, [*range(5, 101, 5)])]
)
def test_about_twenty_lines_tell_of_the_epochs(tmp_path: Path, epochs: int, told: list[int]) -> None:
    heard = Heard()
    with observe(heard):
        run(Scripted(*[(0.5, 5)] * epochs), tmp_path / "ckpt.pt")
    assert heard.begun == [("scripted", 3 * epochs)]
    assert heard.steps == 3 * epochs
    assert heard.lines == [f"{number}: best {number}" for number in told]


@pytest.mark.parametrize(
    ("epochs", "says", "left"),
    [
        ([(-1.0, 5), (0.5, 5)], "after 0 of 2 epochs; nothing was saved", []),
        ([(0.5, 5), (-1.0, 5)], "after 1 of 2 epochs; the same command with --resume continues",
         ["metrics.jsonl", "resume.pt"]),
    ],
)  # fmt: skip
def test_interrupted(tmp_path: Path, epochs: list[tuple[float, int]], says: str, left: list[str]) -> None:
    training = Scripted(*epochs)
    with pytest.raises(TrainingInterruptedError, match=f"^interrupted {says}$"):
        run(training, tmp_path / "ckpt.pt")
    assert "test" not in training.asked
    assert sorted(path.name for path in tmp_path.iterdir()) == left


@pytest.mark.parametrize("made", [train, finetune, Trainer, FineTrainer, Loop])
def test_no_parameter_list_is_longer_than_ten(made: Callable[..., Any]) -> None:
    assert len(inspect.signature(made).parameters) <= 10
