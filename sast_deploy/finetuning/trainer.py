"""One fine-tuning in memory: the ordinary trainer with the integer network in its forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.compiler import compile_network
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.data.split import stratified_split
from sast_deploy.engines.fast import FastEngine
from sast_deploy.finetuning.clipping import ClippingMemory, start_points
from sast_deploy.finetuning.network import IntegerNetwork
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import Program
from sast_deploy.training.batches import Batch
from sast_deploy.training.checkpoint import Checkpoint, load_network, to_float_network
from sast_deploy.training.network.network import cross_entropy
from sast_deploy.training.penalty import hidden_operations
from sast_deploy.training.recipes import Recipe
from sast_deploy.training.trainer import Trainer

CHUNK = 1024  # samples that are validated at a time


@dataclass(frozen=True, eq=False)
class Deployed:
    """A compiled program and the trained network's value of one unit of its logits."""

    program: Program
    scale: float


class FineTrainer(Trainer):
    """Trains the float weights behind a compiled program; validates the program that the compiler makes.

    The parts of the training split are those that the checkpoint was trained with, so that what validates
    was never fitted to; `seed` orders the minibatches and draws the augmentation. Weights stay between the
    clipping points of the start (clipping.py), `clip` times as far out; 0: anywhere.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        profile: Profile,
        recipe: Recipe,
        data: FrameSet,
        *,
        k: float,
        clip: float,
        seed: int,
        validation: float,
        device: str,
    ) -> None:
        super().__init__(checkpoint.network, recipe, data, seed, validation, device)
        self.fitted, self.held = stratified_split(data.train.labels, validation, checkpoint.seeds["train"])
        sloped = replace(checkpoint, network=replace(checkpoint.network, k=k))
        self._use(load_network(sloped))
        self.checkpoint, self.profile, self.split = checkpoint, profile, data.train
        self.points = start_points(self.network, profile, clip) if clip else {}
        self._clamp()
        self.memory = ClippingMemory()
        self.integers = IntegerNetwork(self.network, profile, checkpoint.frames.clip, self.memory)

    def epoch(self, index: int, advance: Callable[[], None]) -> dict[str, float]:
        """As the ordinary trainer's."""
        self.memory.forget()
        return super().epoch(index, advance)

    def _loss(self, batch: Batch, k: float) -> Tensor:
        """As the ordinary trainer's, but of the integer network."""
        recipe = self.recipe
        states = self.integers.run(batch[0], k)
        loss = cross_entropy(states.real_logits(), batch[1], recipe.label_smoothing)
        if not recipe.synops:
            return loss
        spikes = [s for _, s in states.layers]
        return loss + recipe.synops * hidden_operations(self.network.spec, spikes)

    def _after_step(self, step: int) -> None:
        self._clamp()
        super()._after_step(step)

    @torch.no_grad()
    def _clamp(self) -> None:
        for name, points in self.points.items():
            self.network.get_parameter(name).clamp_(-points, points)

    def start(self) -> dict[str, float]:
        """`validate`, of the checkpoint as it came. Raises CompileError."""
        return self._judged(deploy(self.checkpoint, self.profile))

    def deployed(self) -> Deployed:
        """What the compiler makes of the weights that would be saved. Raises CompileError."""
        state = {key: value.numpy() for key, value in self.saved_weights().items()}
        return deploy(replace(self.checkpoint, state=state), self.profile)

    def validate(self) -> dict[str, float]:
        """Accuracy and loss of that program on the held samples. Raises CompileError."""
        return self._judged(self.deployed())

    def _judged(self, deployed: Deployed) -> dict[str, float]:
        correct, loss = score(deployed, self.split, self.held)
        return {"integer_accuracy": correct / len(self.held), "integer_loss": loss}


def deploy(checkpoint: Checkpoint, profile: Profile) -> Deployed:
    """What the compiler makes of a checkpoint. Raises CompileError."""
    program = compile_network(to_float_network(checkpoint), profile, checkpoint.name).program
    nothing = torch.zeros(program.steps, 1, int(np.prod(program.input_shape)))
    with torch.no_grad():
        network = IntegerNetwork(load_network(checkpoint), profile, checkpoint.frames.clip)
        return Deployed(program, network.run(nothing, 1.0).scale)


def score(deployed: Deployed, split: FrameSplit, indices: NDArray[np.int64]) -> tuple[int, float]:
    """(correct predictions, mean cross-entropy) of a program on the samples of `split` at `indices`."""
    engine, correct, loss = FastEngine(deployed.program), 0, 0.0
    for start in range(0, len(indices), CHUNK):
        part = indices[start : start + CHUNK]
        labels, record = split.labels[part], engine.run(np.asarray(split.frames[part]))
        correct += int((record.predictions == labels).sum())
        logits = torch.from_numpy(record.logits) * deployed.scale
        loss += float(cross_entropy(logits, torch.from_numpy(labels))) * len(part)
    return correct, loss / len(indices)
