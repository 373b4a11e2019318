"""One fine-tuning in memory: the ordinary trainer with the integer network in its forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sast_deploy.base.errors import CompileError
from sast_deploy.base.text import percent
from sast_deploy.calibration.data import training_parts, validation_share
from sast_deploy.compiler import compile_network
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.engines.fast import FastEngine
from sast_deploy.finetuning.clipping import ClippingMemory, start_points
from sast_deploy.finetuning.network import IntegerNetwork
from sast_deploy.finetuning.recipe import FineRecipe
from sast_deploy.program.profile import Profile
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint, load_network, to_float_network
from sast_deploy.training.network.network import NetworkSpec, cross_entropy
from sast_deploy.training.network.neurons import LEARNED
from sast_deploy.training.network.sparse import Input
from sast_deploy.training.state import Line, Unfinished
from sast_deploy.training.trainer import Trainer

CHUNK = 1024  # samples that are validated at a time


class FineTrainer(Trainer):
    """Trains the float weights behind a compiled program; validates the program that the compiler makes.

    The parts of the training split are those that the checkpoint was trained with, so that what validates
    was never fitted to; `seed` orders the minibatches and draws the augmentation. Weights stay between the
    clipping points of the start (clipping.py), the recipe's `clip` times as far out; 0: anywhere. source:
    digest of the checkpoint's file, for the record.
    """

    kind = "fine-tuning"
    capturable = False  # scales and clipping points are searched by the processor

    def __init__(
        self,
        origin: Checkpoint,
        profile: Profile,
        recipe: FineRecipe,
        data: FrameSet,
        seed: int,
        device: str,
        source: str = "",
    ) -> None:
        profile = profile.obeying(origin.network.reset_order)
        self.origin, self.profile, self.source, self.k = origin, profile, source, recipe.k
        super().__init__(origin.network, recipe.training, data, seed, validation_share(origin), device)
        self.points = start_points(self.network, profile, recipe.clip) if recipe.clip else {}
        self._clamp()
        self.memory = ClippingMemory()
        self.integers = IntegerNetwork(self.network, profile, origin.frames.clip, self.memory)

    def _parts(self, validation: float) -> tuple[Indices, Indices]:
        return training_parts(self.origin, self.data)

    def _start(self, spec: NetworkSpec) -> None:
        network = load_network(replace(self.origin, network=replace(spec, k=self.k)))
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(LEARNED))  # no integer of a neuron has a gradient
        self._use(network)

    def begin(self, state: Unfinished) -> None:
        """The history begins with the checkpoint as it came. Raises CompileError."""
        state.history.append({"epoch": 0, **self.start(), "seconds": 0.0})
        state.best = {key: torch.tensor(value) for key, value in self.origin.state.items()}

    def epoch(self, index: int, advance: Callable[[], None]) -> Line:
        """As the ordinary trainer's."""
        self.memory.forget()
        return super().epoch(index, advance)

    def _forward(self, x: Input, k: float | Tensor) -> tuple[list[Tensor], Tensor]:
        states = self.integers.run(x, float(k))
        return [spikes for _, spikes in states.layers], states.real_logits()

    def _after_step(self, share: float | Tensor) -> None:
        self._clamp()
        super()._after_step(share)

    @torch.no_grad()
    def _clamp(self) -> None:
        for name, points in self.points.items():
            self.network.get_parameter(name).clamp_(-points, points)

    def start(self) -> Line:
        """`validate`, of the checkpoint as it came. Raises CompileError."""
        return self._held_out(self.origin)

    def validate(self) -> Line:
        """Accuracy and loss, on the held samples, of the program that the compiler makes of the weights that
        would be saved. Raises CompileError.
        """
        state = {key: value.numpy() for key, value in self.saved_weights().items()}
        return self._held_out(replace(self.origin, state=state))

    def _held_out(self, checkpoint: Checkpoint) -> Line:
        correct, loss = score(checkpoint, self.profile, self.data.train, self.held)
        return {"integer_accuracy": correct / len(self.held), "integer_loss": loss}

    def judged(self, index: int) -> Line:
        """`validate` after epoch `index`, with its learning rate."""
        try:
            line = self.validate()
        except CompileError as error:  # these weights are no candidate; the next epoch's may be
            line = {"integer_accuracy": 0.0, "integer_loss": None, "refused": str(error)}
        return {**line, "lr": self.recipe.learning_rate(index)}

    def rank(self, line: Line) -> tuple[float, ...]:
        """The program's accuracy decides."""
        return (line["integer_accuracy"],)

    def describe(self, state: Unfinished) -> str:
        """The last epoch's accuracy beside the start's."""
        found, start = (percent(state.history[at]["integer_accuracy"]) for at in (-1, 0))
        return (
            f"epoch {state.epoch}/{self.recipe.epochs}  validation, integers: {found} "
            f"(start {start}, best: epoch {state.best_epoch})"
        )

    def checkpoint(self, name: str, state: Unfinished, metrics: dict[str, Any]) -> Checkpoint:
        """The best epoch's weights, or the start's, and where they come from."""
        origin, profile, setting, start = self.origin, self.profile, metrics["setting"], state.history[0]
        tuned = {
            "name": origin.name, "digest": self.source, "weights": setting["start"],
            "profile": profile.name, "profile_digest": setting["profile.digest"],
            "profile_text": profile.text, "recipe": origin.recipe.to_dict(),
            "backward_k": setting["backward_k"], "clip": setting["clip"],
            "validation_integer_accuracy": start["integer_accuracy"],
            "validation_integer_loss": start["integer_loss"],
        }  # fmt: skip
        found = super().checkpoint(name, state, {**metrics, "finetuned": tuned})
        rules: Any = profile.arithmetic  # whose texts are those of a network
        network = replace(origin.network, reset=rules.reset, reset_order=rules.reset_order)
        seeds = {**origin.seeds, "finetune": self.seed}
        return replace(found, network=network, frames=origin.frames, data=origin.data, seeds=seeds)

    def test(self, found: Checkpoint) -> dict[str, Any]:
        """Accuracies on the test split: of smooth and of hard spikes, of the integers before and after."""
        split, floats = self.data.test, super().test(found)
        after, before = (
            score(each, self.profile, split, np.arange(len(split)))[0] / len(split)
            for each in (found, self.origin)
        )
        same = {key: floats[key] for key in ("samples", "surrogate", "hard")}
        return {**same, "integer": after, "integer_start": before}


def score(
    checkpoint: Checkpoint, profile: Profile, split: FrameSplit, indices: Indices
) -> tuple[int, float]:
    """(correct predictions, mean cross-entropy in the trained network's unit) over samples of `split`.

    It is the program that the compiler makes of the checkpoint. Raises CompileError.
    """
    program = compile_network(to_float_network(checkpoint), profile, checkpoint.name).program
    network = IntegerNetwork(load_network(checkpoint), profile, checkpoint.frames.clip)
    with torch.no_grad():
        scale = network.run(torch.zeros(program.steps, 1, int(np.prod(program.input_shape))), 1.0).scale
    engine, correct, loss = FastEngine(program), 0, 0.0
    for start in range(0, len(indices), CHUNK):
        part = indices[start : start + CHUNK]
        labels, record = split.labels[part], engine.run(np.asarray(split.frames[part]))
        correct += int((record.predictions == labels).sum())
        logits = torch.from_numpy(record.logits) * scale
        loss += float(cross_entropy(logits, torch.from_numpy(labels))) * len(part)
    return correct, loss / len(indices)
