"""The loop of fine-tuning: epochs, choice of the checkpoint, files, resume."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from sast_deploy.base.errors import CompileError, TrainingError, UsageError
from sast_deploy.base.progress import say, task
from sast_deploy.base.text import percent
from sast_deploy.base.versions import package_versions
from sast_deploy.calibration.parts import validation_share
from sast_deploy.data import FrameSet
from sast_deploy.finetuning.recipe import FINETUNE
from sast_deploy.finetuning.trainer import FineTrainer, deploy, score
from sast_deploy.program.profile import Profile
from sast_deploy.training.batches import fitting_threads
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.network.lif import Reset
from sast_deploy.training.process_memory import kept_memory, peak_memory_mb
from sast_deploy.training.recipes import Recipe
from sast_deploy.training.state import (
    Progress,
    RunFiles,
    Setting,
    TrainingInterruptedError,
    differences,
    load_progress,
    save_progress,
)
from sast_deploy.training.train import LINES, TrainResult


def finetune(
    checkpoint: Checkpoint,
    profile: Profile,
    data: FrameSet,
    recipe: Recipe,
    out: Path,
    *,
    k: float = FINETUNE.k,
    clip: float = FINETUNE.clip,
    seed: int = 0,
    source: str = "",
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Train `checkpoint` on with the integers of `profile` in its forward pass; write the checkpoint `out`.

    Before the first epoch and after each, the compiled program is run on the samples that the checkpoint's
    own training set aside; the highest accuracy decides (ties: the later epoch), so that the result is
    never worse on them than the start. Compiling it for `profile` gives the program that was chosen; the
    new checkpoint's reset is the profile's, whatever it was before, as it was trained with that. The
    test split decides nothing; start and result are measured on it once, at the end.

    k, clip: as in `FineTuning`. seed: of minibatches and augmentation. source: digest of the checkpoint's
    file, for the record. Files, `resume` and `overwrite`: as for `train`.

    Raises:
        UsageError: other frames, a recipe that fine-tuning cannot follow.
        CheckpointError: a checkpoint that does not say which samples it was validated on.
        CompileError: a checkpoint that does not compile for the profile.
        TrainingError, TrainingInterruptedError: as `train`.
    """
    files = RunFiles(Path(out))
    setting = _setting(checkpoint, profile, data, recipe, {"backward_k": k, "clip": clip, "seed": seed})
    if resume and files.checkpoint.exists() and not files.resume.exists():
        return _finished(files, setting)
    if not resume and not overwrite:
        files.refuse_overwriting()
    state = load_progress(files, setting) if resume else Progress()
    validation = setting["validation"]
    trainer = FineTrainer(
        checkpoint, profile, recipe, data, k=k, clip=clip, seed=seed, validation=validation, device=device
    )
    if resume:
        trainer.restore(state)
    else:
        files.begin()
        state.history.append({"epoch": 0, **trainer.start(), "seconds": 0.0})
        state.best = {key: torch.tensor(value) for key, value in checkpoint.state.items()}
    try:
        with fitting_threads(checkpoint.network, trainer.device), kept_memory(trainer.device):
            _epochs(trainer, state, files, setting)
    except KeyboardInterrupt as error:
        todo = "the same command with --resume continues" if state.epoch else "nothing was saved"
        raise TrainingInterruptedError(
            f"interrupted after {state.epoch} of {recipe.epochs} epochs; {todo}"
        ) from error
    found = _checkpoint(files, trainer, state, setting, source)
    tested = replace(found, metrics={**found.metrics, "test": _test(checkpoint, found, trainer, data)})
    save_checkpoint(files.checkpoint, tested)
    files.remove()
    return TrainResult(files.checkpoint, tested)


def _epochs(trainer: FineTrainer, state: Progress, files: RunFiles, setting: Setting) -> None:
    epochs = trainer.recipe.epochs
    with task("fine-tuning", epochs * trainer.steps) as steps:
        steps.advance(state.epoch * trainer.steps)
        for index in range(state.epoch, epochs):
            start = time.perf_counter()
            line = _epoch(trainer, index, steps.advance)
            _record(trainer, state, line, time.perf_counter() - start)
            state.epoch = index + 1
            save_progress(files, state, setting)
            if (index + 1) % max(1, epochs // LINES) == 0 or index + 1 == epochs:
                say(_describe(state, epochs))


def _epoch(trainer: FineTrainer, index: int, advance: Callable[[], None]) -> dict[str, Any]:
    """One epoch and its validation, as a line of metrics.jsonl."""
    line: dict[str, Any] = dict(trainer.epoch(index, advance))
    try:
        line |= trainer.validate()
    except CompileError as error:  # these weights are no candidate; the next epoch's may be
        line |= {"integer_accuracy": 0.0, "integer_loss": None, "refused": str(error)}
    return line | {"lr": trainer.recipe.learning_rate(index)}


def _record(trainer: FineTrainer, state: Progress, line: dict[str, Any], seconds: float) -> None:
    """Note the epoch in the history, which begins with the start; keep its weights if they are the best."""
    epoch = len(state.history)
    if line["integer_accuracy"] >= state.history[state.best_epoch]["integer_accuracy"]:
        state.best, state.best_epoch = trainer.saved_weights(), epoch
    state.history.append({"epoch": epoch, **line, "seconds": round(seconds, 3)})
    state.seconds += seconds
    trainer.capture(state)


def _describe(state: Progress, epochs: int) -> str:
    line, start = state.history[-1], state.history[0]["integer_accuracy"]
    return (
        f"epoch {line['epoch']}/{epochs}  validation, integers: {percent(line['integer_accuracy'])} "
        f"(start {percent(start)}, best: epoch {state.best_epoch})"
    )


def weights_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 over the names, shapes and float32 values of a checkpoint's weights."""
    sha = hashlib.sha256()
    for key, value in sorted(checkpoint.state.items()):
        sha.update(f"{key}{list(value.shape)}".encode())
        sha.update(np.ascontiguousarray(value, "<f4").tobytes())
    return sha.hexdigest()


def _setting(
    checkpoint: Checkpoint, profile: Profile, data: FrameSet, recipe: Recipe, own: dict[str, Any]
) -> Setting:
    """Everything that the result depends on, as flat plain values; raises UsageError, CheckpointError."""
    validation = validation_share(checkpoint)
    if not (0.0 < own["backward_k"] < math.inf and 0.0 <= own["clip"] < math.inf):
        found = f"k = {own['backward_k']}, clip = {own['clip']}"
        raise UsageError(found, where="fine-tuning", expected="k above 0, clip of 0 or more, both finite")
    for key, value in (("forward", "hard"), ("init", "torch"), ("prune", 0.0)):
        if getattr(recipe, key) != value:
            raise UsageError(f"{key} = {getattr(recipe, key)}", where="fine-tuning", expected=f"{value}")
    wanted = (checkpoint.frames.steps, *checkpoint.network.input_shape)
    if data.train.frames.shape[1:] != wanted or data.info.classes != checkpoint.data.classes:
        raise UsageError(
            f"frames of shape {data.train.frames.shape[1:]} in {len(data.info.classes)} classes",
            where="fine-tuning",
            expected=f"{wanted} in the network's {len(checkpoint.data.classes)}",
        )
    frames = {f"frames.{key}": value for key, value in data.options.to_dict().items()}
    origin = {"data": data.info.dataset, "data.digest": data.info.frame_digest}
    start = {"start": weights_digest(checkpoint), "start.seed": checkpoint.seeds["train"]}
    target = {"profile": profile.name, "profile.digest": hashlib.sha256(profile.text.encode()).hexdigest()}
    training = {**recipe.to_dict(), **own, "validation": validation}
    return {**checkpoint.network.to_dict(), **frames, **origin, **start, **target, **training}


def _checkpoint(
    files: RunFiles, trainer: FineTrainer, state: Progress, setting: Setting, source: str
) -> Checkpoint:
    start, best = state.history[0], state.history[state.best_epoch]
    steps = [line["step_ms"] for line in state.history if "step_ms" in line]
    origin = {
        "name": trainer.checkpoint.name, "digest": source, "weights": setting["start"],
        "profile": trainer.profile.name, "profile_digest": setting["profile.digest"],
        "profile_text": trainer.profile.text, "recipe": trainer.checkpoint.recipe.to_dict(),
        "backward_k": setting["backward_k"], "clip": setting["clip"],
        "validation_integer_accuracy": start["integer_accuracy"],
        "validation_integer_loss": start["integer_loss"],
    }  # fmt: skip
    metrics = {
        "epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": round(state.seconds, 3),
        "step_ms": round(statistics.median(steps), 3),
        "peak_memory_mb": round(peak_memory_mb(trainer.device), 1),
        "training_samples": len(trainer.fitted),
        "validation_samples": len(trainer.held),
        "validation_integer_accuracy": best["integer_accuracy"],
        "validation_integer_loss": best["integer_loss"],
        "device": trainer.device.type,
        "setting": setting,
        "finetuned": origin,
    }
    return replace(
        trainer.checkpoint,
        name=files.name,
        network=replace(trainer.checkpoint.network, reset=cast(Reset, trainer.profile.arithmetic.reset)),
        state={key: value.numpy() for key, value in state.best.items()},
        recipe=trainer.recipe,
        seeds={**trainer.checkpoint.seeds, "finetune": trainer.seed},
        metrics=metrics,
        packages=package_versions(),
    )


def _test(start: Checkpoint, found: Checkpoint, trainer: FineTrainer, data: FrameSet) -> dict[str, Any]:
    """Accuracies on the test split, measured once, when nothing is left to choose."""
    everything = np.arange(len(data.test))
    before, after = (score(deploy(c, trainer.profile), data.test, everything)[0] for c in (start, found))
    floats = evaluate(found, data.test, device=trainer.device.type)
    return {
        "samples": len(everything),
        "surrogate": floats.surrogate_accuracy,
        "hard": floats.hard_accuracy,
        "integer": after / len(everything),
        "integer_start": before / len(everything),
    }


def _finished(files: RunFiles, setting: Setting) -> TrainResult:
    checkpoint = load_checkpoint(files.checkpoint)
    different = differences(checkpoint.metrics.get("setting", {}), setting)
    if different:
        raise TrainingError(
            f"was trained with {different}", where=files.checkpoint,
            todo="use --overwrite, or choose another -o",
        )  # fmt: skip
    return TrainResult(files.checkpoint, checkpoint, already_finished=True)
