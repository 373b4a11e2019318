"""One training in memory: network, optimizer, the two parts of the training split, and one epoch of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sast_deploy.batches import Batch, BatchFeeder, Indices, minibatches, pick_device
from sast_deploy.data import FrameSet
from sast_deploy.data.split import stratified_split
from sast_deploy.errors import TrainingError
from sast_deploy.evaluate import score
from sast_deploy.network import Network, NetworkSpec, cross_entropy
from sast_deploy.recipes import Recipe
from sast_deploy.sam import SAM
from sast_deploy.train_state import Progress, State

CLIMB, DESCEND = 0, 1  # separate streams of random numbers: minibatches B and B' are independent


class Trainer:
    """Trains on a part of `data.train` and validates on the rest; never looks at `data.test`.

    Everything random is drawn from generators keyed by (seed, epoch, stream), so an epoch depends on the
    weights and moments it starts from and on nothing else.
    """

    def __init__(
        self, spec: NetworkSpec, recipe: Recipe, data: FrameSet, seed: int, validation: float, device: str
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.device = pick_device(device)
        self.fitted, self.held = stratified_split(data.train.labels, validation, seed)
        self.feeder = BatchFeeder(data.train.frames, data.train.labels, data.options.clip, self.device)
        self.network = Network(spec, seed).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.sam = SAM(self.network.parameters(), self.optimizer, recipe.rho)
        self.steps = -(-len(self.fitted) // recipe.batch)  # per epoch
        self.mean: State = {}

    def epoch(self, index: int, advance: Callable[[], None]) -> dict[str, float]:
        """Epoch `index` (from 0); calls `advance` after every step; returns mean loss and gradient norm."""
        k = self.recipe.slope(index, self.network.spec.k)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(index)
        climb, descend = self._closures(index, CLIMB, k), self._closures(index, DESCEND, k)
        sums = np.zeros(2)
        for number, (loss_climb, loss_descend) in enumerate(zip(climb, descend, strict=True)):
            loss, norm = (float(value) for value in self.sam.step(loss_climb, loss_descend))
            _check_finite(index, loss, norm)
            sums += loss, norm
            self._after_step(index * self.steps + number)
            advance()
        loss, norm = sums / self.steps
        return {"loss": float(loss), "grad_norm": float(norm)}

    def _closures(self, index: int, stream: int, k: float) -> list[Callable[[], Tensor]]:
        """The loss on each minibatch of the epoch, for one of SAM's two passes."""
        rng = np.random.default_rng((self.seed, index, stream))

        def closure(indices: Indices) -> Callable[[], Tensor]:
            return lambda: self._loss(self.feeder.batch(indices, self.recipe, rng), k)

        return [closure(indices) for indices in minibatches(self.fitted, self.recipe.batch, rng)]

    def _loss(self, batch: Batch, k: float) -> Tensor:
        return cross_entropy(self.network(batch[0], k=k), batch[1], self.recipe.label_smoothing)

    @torch.no_grad()
    def _after_step(self, step: int) -> None:
        """Clip outlying weights and advance the running mean, where the recipe asks for it."""
        if self.recipe.weight_limit:
            for name, parameter in self.network.named_parameters():
                if name.endswith("weight"):
                    limit_weights(parameter, self.recipe.weight_limit)
        if self.recipe.ema:
            decay = min(self.recipe.ema, (1 + step) / (10 + step))  # a short memory while the weights travel
            for key, value in self.network.state_dict().items():
                self.mean.setdefault(key, value.clone()).lerp_(value, 1.0 - decay)

    def validate(self) -> dict[str, float]:
        """Accuracies and hard-spike loss, on the held samples, of the weights that would be saved."""
        current = _copy(self.network.state_dict(), self.device)
        self.network.load_state_dict(self.mean or current)
        soft, hard = (score(self.network, self.feeder, self.held, hard=h) for h in (False, True))
        self.network.load_state_dict(current)
        return {"surrogate_accuracy": soft[0], "hard_accuracy": hard[0], "hard_loss": hard[1]}

    def saved_weights(self) -> State:
        """A copy of what validation judges: the running mean where there is one, else the weights."""
        return _copy(self.mean or self.network.state_dict(), torch.device("cpu"))

    def capture(self, state: Progress) -> None:
        """Copy everything that the next epoch depends on into `state`."""
        state.weights = _copy(self.network.state_dict(), torch.device("cpu"))
        state.mean = _copy(self.mean, torch.device("cpu"))
        state.optimizer = self.optimizer.state_dict()

    def restore(self, state: Progress) -> None:
        """The inverse of `capture`."""
        self.network.load_state_dict(state.weights)
        self.mean = _copy(state.mean, self.device)
        self.optimizer.load_state_dict(state.optimizer)


@torch.no_grad()
def limit_weights(weight: Tensor, limit: float) -> None:
    """Clip each neuron's weights, in place, to +-limit times their own root mean square."""
    rows = weight.flatten(1)
    bound = limit * rows.square().mean(1, keepdim=True).sqrt()
    rows.copy_(rows.clamp(-bound, bound))


def _copy(state: State, device: torch.device) -> State:
    return {key: value.detach().to(device, copy=True) for key, value in state.items()}


def _check_finite(index: int, loss: float, norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingError(
            f"the loss is {loss} and its gradient's norm {norm} in epoch {index + 1}",
            expected="finite numbers",
            todo="try a smaller --lr or --rho",
        )
