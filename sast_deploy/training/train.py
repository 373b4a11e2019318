"""The training loop: epochs, choice of the checkpoint, files, resume."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sast_deploy.base.errors import TrainingError, UsageError
from sast_deploy.base.progress import say, task
from sast_deploy.base.text import percent
from sast_deploy.base.versions import package_versions
from sast_deploy.data import FrameSet
from sast_deploy.training.batches import fitting_threads
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.process_memory import kept_memory, peak_memory_mb
from sast_deploy.training.recipes import Recipe
from sast_deploy.training.state import (
    Progress,
    RunFiles,
    Setting,
    State,
    TrainingInterruptedError,
    differences,
    load_progress,
    save_progress,
)
from sast_deploy.training.trainer import Trainer

LINES = 20  # about as many lines tell of epochs


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What `train` made: the checkpoint's path and content; `already_finished` if it was there before."""

    path: Path
    checkpoint: Checkpoint
    already_finished: bool = False


def train(
    spec: NetworkSpec,
    recipe: Recipe,
    data: FrameSet,
    out: Path,
    *,
    seed: int = 0,
    validation: float = 0.1,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Train a network on `data.train` and write the checkpoint `out`.

    A share `validation` of the training samples, stratified and fixed by `seed`, is set aside; after each
    epoch the hard-spike accuracy on it decides whether the weights are the best so far (ties: the lower
    hard-spike loss, then the later epoch). The test split decides nothing; the chosen
    weights are measured on it once, at the end. With `prune`, only epochs count in which the last neuron is
    gone.

    Beside `out`: metrics.jsonl, one line per epoch, and resume.pt while unfinished. Nothing that exists is
    replaced unless `overwrite`, and then the old checkpoint stays until the new one is complete. `resume`
    continues after the last finished epoch, bit-identically on the same machine; if the training is finished
    already it returns that.

    Raises:
        UsageError: a validation share outside (0, 1), a negative seed, an unknown device, frames of another
            shape than the network's.
        TrainingError: existing output, a resume that does not fit, a loss that is not finite.
        TrainingInterruptedError: Ctrl-C; says how to resume.
    """
    files = RunFiles(Path(out))
    setting = _setting(spec, recipe, data, seed, validation)
    if resume and files.checkpoint.exists() and not files.resume.exists():
        return _finished(files, setting)
    if not resume and not overwrite:
        files.refuse_overwriting()
    state = load_progress(files, setting) if resume else Progress()
    trainer = Trainer(spec, recipe, data, seed, validation, device)
    if resume:
        trainer.restore(state)
    else:
        files.begin()
    try:
        with fitting_threads(spec, trainer.device), kept_memory(trainer.device):
            _epochs(trainer, state, files, setting)
    except KeyboardInterrupt as error:
        todo = "the same command with --resume continues" if state.epoch else "nothing was saved"
        raise TrainingInterruptedError(
            f"interrupted after {state.epoch} of {recipe.epochs} epochs; {todo}"
        ) from error
    checkpoint = _tested(_checkpoint(files, trainer, state, setting, data), data, trainer)
    save_checkpoint(files.checkpoint, checkpoint)
    files.remove()
    return TrainResult(files.checkpoint, checkpoint)


def _epochs(trainer: Trainer, state: Progress, files: RunFiles, setting: Setting) -> None:
    recipe = trainer.recipe
    with task("training", recipe.epochs * trainer.steps) as steps:
        steps.advance(state.epoch * trainer.steps)
        for index in range(state.epoch, recipe.epochs):
            start = time.perf_counter()
            line = trainer.epoch(index, steps.advance) | trainer.validate()
            _record(trainer, state, index, line, time.perf_counter() - start)
            save_progress(files, state, setting)
            if (index + 1) % max(1, recipe.epochs // LINES) == 0 or index + 1 == recipe.epochs:
                say(_describe(state, recipe))


def _record(trainer: Trainer, state: Progress, index: int, line: dict[str, float], seconds: float) -> None:
    """Note the epoch in the history and keep its weights if they are the best so far."""
    best = state.history[state.best_epoch - 1] if state.best_epoch else None
    if best is None or _rank(line) >= _rank(best) or _is_wider(state.best, trainer):
        state.best, state.best_epoch = trainer.saved_weights(), index + 1
    recipe, k = trainer.recipe, trainer.network.spec.k
    entry = {"epoch": index + 1, **line, "k": recipe.slope(index, k), "lr": recipe.learning_rate(index)}
    state.history.append(entry | {"seconds": round(seconds, 3)})
    state.seconds += seconds
    state.epoch = index + 1
    trainer.capture(state)


def _rank(line: dict[str, float]) -> tuple[float, float]:
    return line["hard_accuracy"], -line["hard_loss"]


def _is_wider(weights: State, trainer: Trainer) -> bool:
    """Whether `weights` are of an epoch before neurons were pruned: those are not what was asked for."""
    return len(weights["theta_0"]) > trainer.network.spec.hidden[0]


def _describe(state: Progress, recipe: Recipe) -> str:
    line = state.history[-1]
    return (
        f"epoch {state.epoch}/{recipe.epochs}  loss {line['loss']:.3f}  validation: surrogate "
        f"{percent(line['surrogate_accuracy'])}, hard {percent(line['hard_accuracy'])} "
        f"(best: epoch {state.best_epoch})"
    )


def _setting(spec: NetworkSpec, recipe: Recipe, data: FrameSet, seed: int, validation: float) -> Setting:
    """Everything that the result depends on, as flat plain values; raises UsageError."""
    if not 0.0 < validation < 1.0:
        raise UsageError(f"validation share {validation}", where="--validation", expected="between 0 and 1")
    if seed < 0:
        raise UsageError(f"seed {seed}", where="--seed", expected="an integer of 0 or more")
    if data.train.frames.shape[2:] != spec.input_shape or len(data.info.classes) != spec.classes:
        raise UsageError(
            f"network for {spec.classes} classes of {spec.input_shape} frames",
            expected=f"{len(data.info.classes)} classes of {data.train.frames.shape[2:]} frames",
        )
    frames = {f"frames.{key}": value for key, value in data.options.to_dict().items()}
    origin = {"data": data.info.dataset, "data.digest": data.info.frame_digest}
    return {**spec.to_dict(), **recipe.to_dict(), **frames, **origin, "seed": seed, "validation": validation}


def _checkpoint(
    files: RunFiles, trainer: Trainer, state: Progress, setting: Setting, data: FrameSet
) -> Checkpoint:
    best = state.history[state.best_epoch - 1]
    metrics = {
        "epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": round(state.seconds, 3),
        "step_ms": _median_step(state),
        "peak_memory_mb": round(peak_memory_mb(trainer.device), 1),
        "training_samples": len(trainer.fitted),
        "validation_samples": len(trainer.held),
        "validation_surrogate_accuracy": best["surrogate_accuracy"],
        "validation_hard_accuracy": best["hard_accuracy"],
        "validation_hard_loss": best["hard_loss"],
        "device": trainer.device.type,
        "setting": setting,
    }
    return Checkpoint(
        name=files.name,
        network=trainer.network.spec,
        state={key: value.numpy() for key, value in state.best.items()},
        recipe=trainer.recipe,
        frames=data.options,
        data=data.info,
        seeds={"train": trainer.seed},
        metrics=metrics,
        packages=package_versions(),
    )


def _median_step(state: Progress) -> float | None:
    """Median over the epochs of the median step; None for a training that was begun before it was noted."""
    times = [line["step_ms"] for line in state.history if "step_ms" in line]
    return round(statistics.median(times), 3) if times else None


def _tested(checkpoint: Checkpoint, data: FrameSet, trainer: Trainer) -> Checkpoint:
    """The checkpoint with its accuracies on the test split, measured once, when nothing is left to choose."""
    result = evaluate(checkpoint, data.test, device=trainer.device.type)
    test = {
        "samples": result.samples,
        "surrogate": result.surrogate_accuracy,
        "hard": result.hard_accuracy,
        "surrogate_rates": list(result.surrogate_rates),
        "hard_rates": list(result.hard_rates),
    }
    return replace(checkpoint, metrics={**checkpoint.metrics, "test": test})


def _finished(files: RunFiles, setting: Setting) -> TrainResult:
    checkpoint = load_checkpoint(files.checkpoint)
    different = differences(checkpoint.metrics.get("setting", {}), setting)
    if different:
        raise TrainingError(
            f"was trained with {different}",
            where=files.checkpoint,
            todo="use --overwrite, or choose another -o",
        )
    return TrainResult(files.checkpoint, checkpoint, already_finished=True)
