"""The training loop: seeds, schedule, validation, choice of the checkpoint, resume."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sast_deploy.batches import Batch, BatchFeeder, Indices, minibatches
from sast_deploy.checkpoint import Checkpoint, load_checkpoint, package_versions, save_checkpoint
from sast_deploy.data import FrameSet
from sast_deploy.data.split import stratified_split
from sast_deploy.errors import TrainingError, UsageError
from sast_deploy.network import Network, NetworkSpec, cross_entropy
from sast_deploy.progress import progress_bar
from sast_deploy.recipes import Recipe
from sast_deploy.sam import SAM
from sast_deploy.train_state import (
    Progress,
    RunFiles,
    State,
    TrainingInterruptedError,
    differences,
    load_progress,
    save_progress,
)

ORDER_CLIMB, ORDER_DESCEND = 0, 1  # streams of random numbers within an epoch: B and B' are independent
PLAIN_LINES = 20  # about as many progress lines when the output is no terminal


@dataclass(frozen=True)
class TrainResult:
    """What `train` made: the checkpoint's path and content, and whether it was finished before."""

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
    validation: float = 0.15,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train a network on `data.train` and write the checkpoint `out`.

    A share `validation` of the training samples, stratified and fixed by `seed`, is set aside; after each
    epoch the hard-spike accuracy on it decides whether the weights are the best so far (ties: the lower
    hard-spike loss, then the later epoch). The test split is never looked at.

    Beside `out`: metrics.jsonl, one line per epoch, and resume.pt while unfinished. Nothing that exists is
    replaced unless `overwrite`. `resume` continues after the last finished epoch, bit-identically on the same
    machine; if the training is finished already it returns that.

    Raises:
        UsageError: a validation share outside (0, 1), an unknown device.
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
    if not resume:
        files.remove()
    trainer = Trainer(spec, recipe, data, seed, validation, device)
    try:
        _epochs(trainer, state, files, setting, progress)
    except KeyboardInterrupt as error:
        todo = "the same command with --resume continues" if state.epoch else "nothing was saved"
        raise TrainingInterruptedError(
            f"interrupted after {state.epoch} of {recipe.epochs} epochs; {todo}"
        ) from error
    checkpoint = _checkpoint(files, trainer, state, setting, data)
    save_checkpoint(files.checkpoint, checkpoint)
    files.remove()
    return TrainResult(files.checkpoint, checkpoint)


class Trainer:
    """The network, its optimizer and the two parts of the training split."""

    def __init__(
        self, spec: NetworkSpec, recipe: Recipe, data: FrameSet, seed: int, validation: float, device: str
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.device = pick_device(device)
        self.fitted, self.held = stratified_split(data.train.labels, validation, seed)
        self.feeder = BatchFeeder(data.train.frames, data.train.labels, data.options.clip, self.device)
        self.network = Network(spec, seed).to(self.device)
        decay = recipe.weight_decay
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=recipe.lr, weight_decay=decay)
        self.sam = SAM(self.network.parameters(), self.optimizer, recipe.rho)
        self.steps = -(-len(self.fitted) // recipe.batch)
        self.mean: State = {}

    def epoch(self, index: int, advance: Any) -> dict[str, float]:
        """One pass over the fitted samples; returns the mean loss and gradient norm."""
        k = self.recipe.slope(index, self.network.spec.k)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(index)
        climb, descend = (np.random.default_rng((self.seed, index, s)) for s in (ORDER_CLIMB, ORDER_DESCEND))
        batches = zip(self._order(climb), self._order(descend), strict=True)
        losses, norms = [], []
        for number, (b_climb, b_descend) in enumerate(batches):
            loss, norm = self.sam.step(
                lambda b=b_climb: self._loss(self.feeder.batch(b, self.recipe, climb), k),
                lambda b=b_descend: self._loss(self.feeder.batch(b, self.recipe, descend), k),
            )
            losses.append(float(loss))
            norms.append(float(norm))
            if not math.isfinite(losses[-1]) or not math.isfinite(norms[-1]):
                raise TrainingError(
                    f"the loss is {losses[-1]} and its gradient norm {norms[-1]} in epoch {index + 1}",
                    expected="finite numbers", todo="try a smaller --lr or --rho",
                )  # fmt: skip
            self._after_step(index * self.steps + number)
            advance()
        return {"loss": float(np.mean(losses)), "grad_norm": float(np.mean(norms))}

    def _order(self, rng: np.random.Generator) -> list[Indices]:
        return minibatches(self.fitted, self.recipe.batch, rng)

    def _loss(self, batch: Batch, k: float) -> Tensor:
        return cross_entropy(self.network(batch[0], k=k), batch[1], self.recipe.label_smoothing)

    @torch.no_grad()
    def _after_step(self, step: int) -> None:
        """Clip outlying weights and advance the running mean, as far as the recipe asks for it."""
        if self.recipe.weight_limit:
            for layer in [*self.network.layers, self.network.readout]:
                limit_weights(layer.weight, self.recipe.weight_limit)
        if self.recipe.ema:
            decay = min(
                self.recipe.ema, (1 + step) / (10 + step)
            )  # a short memory while the weights still travel
            for key, value in self.network.state_dict().items():
                self.mean.setdefault(key, value.clone()).lerp_(value, 1.0 - decay)

    def validate(self) -> dict[str, float]:
        """Surrogate and hard-spike accuracy and hard-spike loss of the current (mean) weights, held samples."""
        current = {key: value.clone() for key, value in self.network.state_dict().items()}
        if self.mean:
            self.network.load_state_dict(self.mean)
        soft, hard = (score(self.network, self.feeder, self.held, hard=h) for h in (False, True))
        self.network.load_state_dict(current)
        return {"surrogate_accuracy": soft[0], "hard_accuracy": hard[0], "hard_loss": hard[1]}

    def saved_weights(self) -> State:
        """A copy of the weights that are validated: the running mean where there is one."""
        state = self.mean or self.network.state_dict()
        return {key: value.detach().cpu().clone() for key, value in state.items()}

    def capture(self, state: Progress) -> None:
        """Copy everything that the next epoch depends on into `state`."""
        state.weights = {
            key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()
        }
        state.optimizer = self.optimizer.state_dict()
        state.mean = {key: value.cpu().clone() for key, value in self.mean.items()}

    def restore(self, state: Progress) -> None:
        """The inverse of `capture`."""
        self.network.load_state_dict(state.weights)
        self.optimizer.load_state_dict(state.optimizer)
        self.mean = {key: value.to(self.device) for key, value in state.mean.items()}


@torch.no_grad()
def score(network: Network, feeder: BatchFeeder, indices: Indices, *, hard: bool) -> tuple[float, float]:
    """(accuracy, mean cross-entropy) over the samples at `indices`."""
    correct, loss = 0, 0.0
    for x, y in feeder.in_order(indices):
        logits = network(x, hard=hard)
        correct += int((logits.argmax(1) == y).sum())
        loss += float(cross_entropy(logits, y)) * len(y)
    return correct / len(indices), loss / len(indices)


@torch.no_grad()
def limit_weights(weight: Tensor, limit: float) -> None:
    """Clip each neuron's weights, in place, to +-limit times their own root mean square."""
    rows = weight.flatten(1)
    bound = limit * rows.square().mean(1, keepdim=True).sqrt()
    rows.copy_(rows.clamp(-bound, bound))


def pick_device(name: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else the CPU. Raises UsageError."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not cuda):
        raise UsageError(
            f"device {name!r} is not here", where="--device", expected="auto, cpu" + ", cuda" * cuda
        )
    return torch.device(name)


def _epochs(
    trainer: Trainer, state: Progress, files: RunFiles, setting: dict[str, Any], progress: bool
) -> None:
    recipe = trainer.recipe
    if state.epoch:
        trainer.restore(state)
    with progress_bar() as bar:
        task = bar.add_task("training", total=recipe.epochs * trainer.steps, visible=progress)
        bar.advance(task, state.epoch * trainer.steps)
        for index in range(state.epoch, recipe.epochs):
            start = time.perf_counter()
            line = trainer.epoch(index, lambda: bar.advance(task)) | trainer.validate()
            _record(trainer, state, index, line, time.perf_counter() - start)
            save_progress(files, state, setting)
            bar.update(task, description=_describe(state, recipe))
            if progress and bar.disable and (index + 1) % max(1, recipe.epochs // PLAIN_LINES) == 0:
                print(_describe(state, recipe), file=sys.stderr, flush=True)


def _record(trainer: Trainer, state: Progress, index: int, line: dict[str, float], seconds: float) -> None:
    """Note the epoch in the history and keep its weights if they are the best so far."""
    best = state.history[state.best_epoch - 1] if state.best_epoch else None
    if best is None or _rank(line) >= _rank(best):
        state.best, state.best_epoch = trainer.saved_weights(), index + 1
    recipe, k = trainer.recipe, trainer.network.spec.k
    entry = {"epoch": index + 1, **line, "k": recipe.slope(index, k), "lr": recipe.learning_rate(index)}
    state.history.append(entry | {"seconds": round(seconds, 3)})
    state.seconds += seconds
    state.epoch = index + 1
    trainer.capture(state)


def _rank(line: dict[str, float]) -> tuple[float, float]:
    return line["hard_accuracy"], -line["hard_loss"]


def _describe(state: Progress, recipe: Recipe) -> str:
    line = state.history[-1]
    return (
        f"epoch {state.epoch}/{recipe.epochs}  loss {line['loss']:.3f}  validation: surrogate "
        f"{line['surrogate_accuracy']:.1%}, hard {line['hard_accuracy']:.1%} (best {state.best_epoch})"
    )


def _setting(
    spec: NetworkSpec, recipe: Recipe, data: FrameSet, seed: int, validation: float
) -> dict[str, Any]:
    """Everything that the result depends on, as flat plain values."""
    if not 0.0 < validation < 1.0:
        raise UsageError(f"validation share {validation}", where="--validation", expected="between 0 and 1")
    if seed < 0:
        raise UsageError(f"seed {seed}", where="--seed", expected="an integer of 0 or more")
    frames = {f"frames.{key}": value for key, value in data.options.to_dict().items()}
    info = {
        "data": data.info.dataset,
        "data.digest": data.info.frame_digest,
        "data.samples": len(data.train.labels),
    }
    return {**spec.to_dict(), **recipe.to_dict(), **frames, **info, "seed": seed, "validation": validation}


def _checkpoint(
    files: RunFiles, trainer: Trainer, state: Progress, setting: dict[str, Any], data: FrameSet
) -> Checkpoint:
    best = state.history[state.best_epoch - 1]
    metrics = {
        "epoch": state.best_epoch, "epochs": state.epoch, "seconds": round(state.seconds, 3),
        "validation_samples": len(trainer.held), "validation_surrogate_accuracy": best["surrogate_accuracy"],
        "validation_hard_accuracy": best["hard_accuracy"], "validation_hard_loss": best["hard_loss"],
        "device": trainer.device.type, "setting": setting,
    }  # fmt: skip
    arrays = {key: value.numpy() for key, value in state.best.items()}
    seeds = {"train": trainer.seed, "validation": setting["validation"]}
    name = (
        files.checkpoint.parent.resolve().name if files.checkpoint.stem == "ckpt" else files.checkpoint.stem
    )
    return Checkpoint(
        name, trainer.network.spec, arrays, trainer.recipe, data.options, data.info, seeds, metrics,
        package_versions(),
    )  # fmt: skip


def _finished(files: RunFiles, setting: dict[str, Any]) -> TrainResult:
    checkpoint = load_checkpoint(files.checkpoint)
    different = differences(checkpoint.metrics.get("setting", {}), setting)
    if different:
        raise TrainingError(
            f"was trained with {different}",
            where=files.checkpoint,
            todo="use --overwrite, or choose another -o",
        )
    return TrainResult(files.checkpoint, checkpoint, already_finished=True)
