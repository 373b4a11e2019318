"""How fine-tuning trains where it differs from the training before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from sast_deploy.base.errors import UsageError
from sast_deploy.base.rules import AMOUNT, FLOAT_MAX, Number
from sast_deploy.base.settings import Settings, ruled
from sast_deploy.training.recipes import Recipe

_RECIPE = ruled(Recipe)


@dataclass(frozen=True)
class FineTuning(Settings, called="fine-tuning", error=UsageError):
    """Values of the recipe that fine-tuning sets, and two of its own.

    epochs, lr, rho, ema: as in `Recipe`. k: slope factor of the arctan surrogate, in the backward pass only,
    in units of the trained network's membrane. clip: weights stay within so many times their clipping points
    of least squared error, found once at the start (clipping.py); 0: anywhere.
    """

    epochs: Annotated[int, _RECIPE["epochs"]]
    lr: Annotated[float, _RECIPE["lr"]]
    rho: Annotated[float, _RECIPE["rho"]]
    ema: Annotated[float, _RECIPE["ema"]]
    k: Annotated[float, Number(0.0, FLOAT_MAX, above=True)]
    clip: Annotated[float, AMOUNT]

    def recipe(self, trained: Recipe) -> Recipe:
        """The recipe that `trained` becomes: its minibatches, augmentation and loss with these values."""
        return replace(
            trained,
            name="finetune",
            epochs=self.epochs,
            lr=self.lr,
            rho=self.rho,
            ema=self.ema,
            k_start=0.0,
            forward="hard",  # always: the integers' spikes are steps
            init="torch",  # starts from trained weights, of a network that was pruned already
            prune=0.0,
        )


# Compared by validation accuracy on a `best` network for simulated N-MNIST (54,000 samples, 2 epochs, one
# seed): lr 3e-4 and 1e-3 (equal at 4 bits), 3e-3 (worse at 2 bits); k 1.5, 3, 6 (equal at 3 bits); clip 0 and
# 1 (at 2 bits 95.3 and 97.8 %).
FINETUNE = FineTuning(epochs=10, lr=1e-3, rho=0.0, ema=0.99, k=3.0, clip=1.0)
