"""The loop of every training: epochs, the choice of the best, its files, interruption and resume."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import TrainingError
from sast_deploy.base.progress import Task, say, task
from sast_deploy.training.batches import fitting_threads
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sast_deploy.training.process_memory import kept_memory, peak_memory_mb
from sast_deploy.training.state import (
    JUDGED,
    RunFiles,
    Setting,
    TrainingInterruptedError,
    Unfinished,
    differences,
    load_unfinished,
    save_unfinished,
)
from sast_deploy.training.trainer import Trainer

LINES = 20  # about as many lines tell of epochs


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training made: the checkpoint's path and content; `already_finished` if it was there before."""

    path: Path
    checkpoint: Checkpoint
    already_finished: bool = False


@dataclass(frozen=True)
class Loop:
    """A training from its first epoch, or the one after an interruption, to its checkpoint.

    files: where it lives. setting: everything that the result depends on. resume, overwrite: continue or
    replace what lives there already; without either that is refused.
    """

    files: RunFiles
    setting: Setting
    resume: bool = False
    overwrite: bool = False

    def run(self, make: Callable[[], Trainer]) -> TrainResult:
        """Train what `make` makes. The test split is looked at once, when nothing is left to choose.

        Raises TrainingError: existing output, a resume that does not fit. TrainingInterruptedError: Ctrl-C.
        """
        files = self.files
        if self.resume and files.checkpoint.exists() and not files.resume.exists():
            return TrainResult(files.checkpoint, self._finished(), already_finished=True)
        if not self.resume:
            files.refuse_other_owner() if self.overwrite else files.refuse_overwriting()
        state = load_unfinished(files, self.setting) if self.resume else Unfinished()
        training = make()
        if self.resume:
            training.restore(state)
        else:
            files.begin()
            training.begin(state)
        self._epochs(training, state)
        found = training.checkpoint(files.name, state, self._metrics(training, state))
        tested = replace(found, metrics={**found.metrics, "test": training.test(found)})
        save_checkpoint(files.checkpoint, tested)
        files.remove()
        return TrainResult(files.checkpoint, tested)

    def _finished(self) -> Checkpoint:
        checkpoint = load_checkpoint(self.files.checkpoint)
        different = differences(checkpoint.metrics.get("setting", {}), self.setting)
        if different:
            todo = "use --overwrite, or choose another -o"
            raise TrainingError(f"was trained with {different}", where=self.files.checkpoint, todo=todo)
        return checkpoint

    def _epochs(self, training: Trainer, state: Unfinished) -> None:
        epochs, steps, device = training.recipe.epochs, training.steps, training.device
        threads = fitting_threads(training.network.spec, device)
        try:
            with threads, kept_memory(device), task(training.kind, epochs * steps) as under_way:
                under_way.advance(state.epoch * steps)
                for index in range(state.epoch, epochs):
                    _epoch(training, state, index, under_way)
                    save_unfinished(self.files, state, self.setting)
                    if state.epoch % max(1, epochs // LINES) == 0 or state.epoch == epochs:
                        say(training.describe(state))
        except KeyboardInterrupt as error:
            todo = "the same command with --resume continues" if state.epoch else "nothing was saved"
            found = f"interrupted after {state.epoch} of {epochs} epochs; {todo}"
            raise TrainingInterruptedError(found) from error

    def _metrics(self, training: Trainer, state: Unfinished) -> dict[str, Any]:
        best = state.best_line
        times = [line["step_ms"] for line in state.history if "step_ms" in line]  # older trainers noted none
        return {
            "epoch": state.best_epoch,
            "epochs": state.epoch,
            "seconds": round(state.seconds, 3),
            "step_ms": round(statistics.median(times), 3) if times else None,
            "peak_memory_mb": round(peak_memory_mb(training.device), 1),
            "training_samples": len(training.fitted),
            "validation_samples": len(training.held),
            **{f"validation_{key}": best[key] for keys in JUDGED for key in keys if key in best},
            "device": training.device.type,
            "setting": self.setting,
        }


def _epoch(training: Trainer, state: Unfinished, index: int, under_way: Task) -> None:
    """Train and note the epoch in the history, and keep its weights if they are the best so far."""
    start = time.perf_counter()
    line = training.epoch(index, under_way.advance) | training.judged(index)
    seconds = time.perf_counter() - start
    width, best = training.network.spec.hidden[0], state.best
    # An epoch before neurons were pruned is not what was asked for, however good.
    if not best or len(best["theta_0"]) > width or training.rank(line) >= training.rank(state.best_line):
        state.best, state.best_epoch = training.saved_weights(), index + 1
    state.history.append({"epoch": index + 1, **line, "seconds": round(seconds, 3)})
    state.seconds += seconds
    state.epoch = index + 1
    training.capture(state)
