"""How fine-tuning trains where it differs from the training before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

from sast_deploy.base.errors import UsageError
from sast_deploy.base.rules import AMOUNT, FLOAT_MAX, Number
from sast_deploy.base.settings import Settings, ruled
from sast_deploy.training.recipes import Recipe

_RECIPE = ruled(Recipe)
# What a recipe must say for it: the integers' spikes are steps, and it starts from trained weights, of a
# network that was pruned already.
_FIXED: dict[str, Any] = {"forward": "hard", "init": "torch", "prune": 0.0}


@dataclass(frozen=True)
class FineRecipe:
    """How a network is fine-tuned. Raises UsageError for what fine-tuning cannot follow.

    training: its minibatches, augmentation, loss and steps. k, clip: as in `FineTuning`.
    """

    training: Recipe
    k: float
    clip: float

    def __post_init__(self) -> None:
        if not (0.0 < self.k < math.inf and 0.0 <= self.clip < math.inf):
            found = f"k = {self.k}, clip = {self.clip}"
            raise UsageError(found, where="fine-tuning", expected="k above 0, clip of 0 or more, both finite")
        for key, value in _FIXED.items():
            if (found := getattr(self.training, key)) != value:
                raise UsageError(f"{key} = {found}", where="fine-tuning", expected=f"{value}")

    def replace(self, **changes: float | str | None) -> FineRecipe:
        """As `Recipe.replace`, of what it trains with. Raises UsageError."""
        return replace(self, training=self.training.replace(**changes))


@dataclass(frozen=True)
class FineTuning(Settings, called="fine-tuning", error=UsageError):
    """Values of the recipe that fine-tuning sets, and two of its own.

    epochs, lr, rho, ema: as in `Recipe`. k: slope factor of the network's surrogate in the backward pass,
    in units of the trained network's membrane. clip: weights stay within so many times their clipping points
    of least squared error, found once at the start (clipping.py); 0: anywhere.
    """

    epochs: Annotated[int, _RECIPE["epochs"]]
    lr: Annotated[float, _RECIPE["lr"]]
    rho: Annotated[float, _RECIPE["rho"]]
    ema: Annotated[float, _RECIPE["ema"]]
    k: Annotated[float, Number(0.0, FLOAT_MAX, above=True)]
    clip: Annotated[float, AMOUNT]

    def recipe(self, trained: Recipe) -> FineRecipe:
        """What becomes of `trained`: its minibatches, augmentation and loss with these values."""
        own = {"epochs": self.epochs, "lr": self.lr, "rho": self.rho, "ema": self.ema, "k_start": 0.0}
        return FineRecipe(replace(trained, name="finetune", **{**own, **_FIXED}), self.k, self.clip)


# Compared by validation accuracy on a `best` network for simulated N-MNIST (54,000 samples, 2 epochs, one
# seed): lr 3e-4 and 1e-3 (equal at 4 bits), 3e-3 (worse at 2 bits); k 1.5, 3, 6 (equal at 3 bits); clip 0 and
# 1 (at 2 bits 95.3 and 97.8 %).
FINETUNE = FineTuning(epochs=10, lr=1e-3, rho=0.0, ema=0.99, k=3.0, clip=1.0)
