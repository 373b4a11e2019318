"""Named training recipes: `paper` as published, `best` with options that are not the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sast_deploy.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Raises UsageError for values that make no sense.

    Attributes:
        name: "paper", "best", or either with "+" once a value was changed.
        epochs: passes over the training samples.
        batch: largest minibatch; an epoch is cut into equal minibatches no larger than this.
        lr: Adam's learning rate in the first epoch; cosine annealing over the epochs takes it to 0.
        rho: radius of the SAM perturbation; 0 is the baseline without SAM.
        k_start: slope factor of the first epoch, annealed geometrically to the network's k; 0: no annealing.
        anneal: share of the epochs after which the network's own k is reached.
        label_smoothing: share of the target spread over all classes.
        weight_decay: decoupled (AdamW), relative to the learning rate.
        weight_limit: after every step each neuron's weights are clipped to this many times their own root
            mean square, so that a per-neuron integer scale is not wasted on outliers; 0 is no limit.
        ema: decay per step of the running mean of the weights that is validated and saved; 0 is no mean.
        shift: random translation, up to this many pixels in x and in y.
        rotate: random rotation, up to this many degrees either way.
        scale: random zoom per axis, up to this share either way.
        shear: random shear, up to this many pixels per pixel either way.
        drop: every event is dropped with a probability drawn for each sample from 0 to this.
    """

    name: str
    epochs: int = 200
    batch: int = 128
    lr: float = 1e-3
    rho: float = 0.3
    k_start: float = 0.0
    anneal: float = 0.7
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    weight_limit: float = 0.0
    ema: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    drop: float = 0.0

    def __post_init__(self) -> None:
        for key, (low, high) in _RANGES.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise UsageError(f"{key} = {value!r}", where="recipe", expected=f"{low:g} to {high:g}")
            if key in ("epochs", "batch") and not isinstance(value, int):
                raise UsageError(f"{key} = {value!r}", where="recipe", expected="a whole number")

    def replace(self, **changes: float | None) -> Recipe:
        """This recipe with the given values changed; None leaves a value as it is. Raises UsageError."""
        unknown = set(changes) - set(_RANGES)
        if unknown:
            raise UsageError(
                f"no such value: {', '.join(sorted(unknown))}", where="recipe", expected=", ".join(_RANGES)
            )
        wanted: dict[str, Any] = {
            key: value for key, value in changes.items() if value is not None and value != getattr(self, key)
        }
        return replace(self, name=self.name.rstrip("+") + "+", **wanted) if wanted else self

    @property
    def augments(self) -> bool:
        """Whether training samples are transformed at all."""
        return any((self.shift, self.rotate, self.scale, self.shear, self.drop))

    def learning_rate(self, epoch: int) -> float:
        """Cosine annealing: lr (1 + cos(pi epoch / epochs)) / 2, `epoch` from 0."""
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs))

    def slope(self, epoch: int, k: float) -> float:
        """Slope factor in `epoch`: k_start (k / k_start)^(epoch / (anneal epochs)), then `k`."""
        until = self.anneal * self.epochs
        if not self.k_start or epoch >= until:
            return k
        return float(self.k_start * (k / self.k_start) ** (epoch / until))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_dict`; raises UsageError for unknown or missing keys."""
        known = {f.name for f in fields(cls)}
        if set(values) != known:
            raise UsageError(f"keys {sorted(values)}", where="recipe", expected=str(sorted(known)))
        return cls(**values)


_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000), "batch": (1, 65_536), "lr": (1e-9, 10.0), "rho": (0.0, 100.0),
    "k_start": (0.0, 1000.0), "anneal": (0.0, 1.0), "label_smoothing": (0.0, 0.9),
    "weight_decay": (0.0, 10.0), "weight_limit": (0.0, 1000.0), "ema": (0.0, 0.99999),
    "shift": (0.0, 64.0), "rotate": (0.0, 180.0), "scale": (0.0, 0.9), "shear": (0.0, 2.0),
    "drop": (0.0, 0.95),
}  # fmt: skip

PAPER = Recipe("paper")
# Chosen by training on 1,000 real N-MNIST samples of all digits and scoring 1,200 other recordings, of the
# digits 6 to 9, taken from N-MNIST's training split: the official test split decided nothing. A test split
# that is held out of those recordings (digits 6 to 9 alone) shares some of them, so it is not wholly unseen.
BEST = Recipe(
    "best",
    epochs=150,
    batch=32,
    lr=3e-3,
    rho=0.1,
    k_start=3.0,
    label_smoothing=0.1,
    ema=0.98,
    shift=2.0,
    rotate=12.0,
    scale=0.12,
    shear=0.15,
    drop=0.2,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (PAPER, BEST)}


def recipe(name: str) -> Recipe:
    """The recipe called `name`; raises UsageError."""
    if name not in RECIPES:
        raise UsageError(f"no recipe {name!r}", where="--recipe", expected=" or ".join(RECIPES))
    return RECIPES[name]
