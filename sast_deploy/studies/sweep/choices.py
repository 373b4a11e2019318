"""What a run is made of: its data, its network and its recipe, each a named choice of the study."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import SastError, UsageError
from sast_deploy.data.options import FrameOptions
from sast_deploy.data.readers.sources import TONIC_PREFIX
from sast_deploy.finetuning.recipe import FINETUNE, FineRecipe, FineTuning
from sast_deploy.studies.sweep.keys import Table
from sast_deploy.training.network.network import NetworkSpec, network_spec
from sast_deploy.training.recipes import PAPER, RECIPES, Recipe, recipe

DATASETS = ("nmnist", "nmnist-simulated", "digits-saccade", "dvsgesture", "cifar10dvs")
NETWORKS = ("fc", "conv")
_FRAME_KEYS = {"steps": int, "binning": str, "encoding": str, "clip": int, "duration_us": int}


@dataclass(frozen=True)
class DataChoice:
    """A data set and how much of it: [data.NAME].

    Fields:
        name: what runs are called after.
        dataset: as `sast-deploy train --dataset`, but never "auto", which says nothing about what ran.
        root: folder of the recordings; None: --data-root, else $SAST_DATA_ROOT, else ./data. No part of a
            run's identity: the frames' digest is.
        options: how events become frames.
        holdout, holdout_seed: the test split, for data sets without one.
        train, test: use only so many samples of each split, every class in proportion; None: all.
    """

    name: str
    dataset: str
    root: Path | None = None
    options: FrameOptions = field(default_factory=FrameOptions)
    holdout: float | None = None
    holdout_seed: int = 0
    train: int | None = None
    test: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values of everything that the result depends on."""
        values = {key: value for key, value in asdict(self).items() if key not in ("root", "options")}
        return values | {"options": self.options.to_dict()}


@dataclass(frozen=True)
class NetworkChoice:
    """A network for whatever frames and classes the data has: [network.NAME].

    hidden and strides: None for the papers' widths; the rest as in `NetworkSpec`.
    """

    name: str
    kind: str = "fc"
    hidden: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    values: tuple[tuple[str, Any], ...] = ()  # alpha, theta, k, reset, where they are not the default

    def spec(self, input_shape: tuple[int, int, int], classes: int) -> NetworkSpec:
        """The network's specification for frames of `input_shape`. Raises UsageError."""
        values = network_spec(self.kind, input_shape, classes).to_dict() | dict(self.values)  # type: ignore[arg-type]
        if self.hidden is not None:
            values |= {"hidden": self.hidden}
            strides = (2,) * len(self.hidden) if self.kind == "conv" else ()
            values |= {"strides": strides if self.strides is None else self.strides}
        return NetworkSpec.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values of everything that the result depends on."""
        shape = {
            "hidden": list(self.hidden) if self.hidden else None,
            "strides": list(self.strides) if self.strides else None,
        }
        return {"name": self.name, "kind": self.kind, **shape, **network_defaults(), **dict(self.values)}


@dataclass(frozen=True)
class RecipeChoice:
    """A recipe under the name that runs are called after: [recipe.NAME]."""

    name: str
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `name` is the choice's, `base` the recipe's."""
        values = self.recipe.to_dict()
        return {**values, "name": self.name, "base": values["name"].rstrip("+")}


@dataclass(frozen=True)
class FineTuneChoice:
    """A fine-tuning under the name that profiles are followed by, "loihi-int4 NAME": [finetune.NAME].

    tuning: what fine-tuning sets itself. changes: other values of the recipe that it trains with.
    """

    name: str
    tuning: FineTuning
    changes: tuple[tuple[str, Any], ...] = ()

    def recipe(self, trained: Recipe) -> FineRecipe:
        """The recipe of the fine-tuning of a network that was trained by `trained`."""
        return self.tuning.recipe(trained).replace(**dict(self.changes))

    def to_dict(self) -> dict[str, Any]:
        """Plain values of everything that the result depends on, besides the checkpoint."""
        return {**asdict(self.tuning), **dict(self.changes)}


def network_defaults() -> dict[str, Any]:
    """The values that every network has, however wide: {"alpha": 0.5, "theta": 1.0, "k": 25.0, ...}."""
    shape = ("kind", "input_shape", "hidden", "classes", "strides")
    return {each.name: each.default for each in fields(NetworkSpec) if each.name not in shape}


def recipe_keys() -> dict[str, type]:
    """The kind of every value of a recipe that may be changed."""
    return {each.name: type(each.default) for each in fields(Recipe) if each.name != "name"}


def parse_data(name: str, table: Table) -> DataChoice:
    """A [data.NAME] table. Raises UsageError."""
    kinds = {"dataset": str, "root": str, "holdout": float, "holdout_seed": int, "train": int, "test": int}
    table.refuse_unknown({*kinds, *_FRAME_KEYS, "size"})
    values = {key: table.get(key, kind) for key, kind in kinds.items() if key in table.values}
    frames = {key: table.get(key, kind) for key, kind in _FRAME_KEYS.items() if key in table.values}
    if "size" in table.values:
        frames["size"] = table.list("size", int)
    if frames.get("encoding") == "binary":
        frames.setdefault("clip", 1)
    dataset = values.setdefault("dataset", name)
    if dataset not in DATASETS and not dataset.startswith(TONIC_PREFIX):
        expected = f"{', '.join(DATASETS)} or tonic:<ClassName>"
        raise UsageError(f"dataset = {dataset!r}", where=table.where, expected=expected)
    for key in ("train", "test"):
        if values.get(key, 1) < 1:
            raise UsageError(f"{key} = {values[key]}", where=table.where, expected="at least one sample")
    root = Path(values.pop("root")).expanduser() if "root" in values else None
    return DataChoice(name, root=root, options=made_of(table, FrameOptions, frames), **values)


def parse_network(name: str, table: Table) -> NetworkChoice:
    """A [network.NAME] table. Raises UsageError."""
    defaults = network_defaults()
    table.refuse_unknown({"kind", "hidden", "strides", *defaults})
    values = {key: table.get(key, type(value), value) for key, value in defaults.items()}
    kind = table.get("kind", str, name)
    if kind not in NETWORKS:
        raise UsageError(f"kind = {kind!r}", where=table.where, expected=" or ".join(NETWORKS))
    changed = tuple((key, value) for key, value in values.items() if value != defaults[key])
    choice = NetworkChoice(name, kind, table.list("hidden", int), table.list("strides", int), changed)
    made_of(table, choice.spec, {"input_shape": (2, 34, 34), "classes": 10})
    return choice


def parse_recipe(name: str, table: Table) -> RecipeChoice:
    """A [recipe.NAME] table: `base` and the values that differ from it. Raises UsageError."""
    kinds = recipe_keys()
    table.refuse_unknown({"base", *kinds})
    base = table.get("base", str, name if name in RECIPES else "paper")
    changes = {key: table.get(key, kind) for key, kind in kinds.items() if key in table.values}
    return RecipeChoice(name, changed_recipe(made_of(table, recipe, {"name": base}), changes, table))


def parse_finetune(name: str, table: Table) -> FineTuneChoice:
    """A [finetune.NAME] table: what differs from the usual fine-tuning. Raises UsageError."""
    own = {key: type(value) for key, value in asdict(FINETUNE).items()}
    kinds = {**recipe_keys(), **own}
    table.refuse_unknown(kinds)
    values = {key: table.get(key, kind) for key, kind in kinds.items() if key in table.values}
    tuning = replace(FINETUNE, **{key: value for key, value in values.items() if key in own})
    changes = tuple((key, value) for key, value in values.items() if key not in own)
    choice = FineTuneChoice(name, tuning, changes)
    made_of(table, choice.recipe, {"trained": PAPER})
    return choice


def changed_recipe(base: Recipe, changes: dict[str, Any], table: Table) -> Recipe:
    """`base` with `changes`; errors name the table. Raises UsageError."""
    made: Recipe = made_of(table, base.replace, changes)
    return made


def made_of(table: Table, make: Any, values: dict[str, Any]) -> Any:
    """make(**values), its complaint told with the table's name."""
    try:
        return make(**values)
    except SastError as error:
        raise UsageError(str(error), where=table.where) from error
