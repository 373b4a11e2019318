"""What a run is made of: its data, its network and its recipe, each a named choice of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import SastError, UsageError
from sast_deploy.base.rules import COUNT, FRACTION, INTEGER, SEED, Choice, Rule, Table, Text, Whole
from sast_deploy.base.settings import ruled
from sast_deploy.data.options import FrameOptions, RecordingOptions
from sast_deploy.data.readers.sources import FOLDER, TONIC_PREFIX
from sast_deploy.finetuning.recipe import FINETUNE, FineRecipe, FineTuning
from sast_deploy.studies.sweep.keys import OneOrMore
from sast_deploy.training.network.network import NetworkSpec, network_spec
from sast_deploy.training.recipes import PAPER, RECIPES, Recipe

DATASETS = ("nmnist", "nmnist-simulated", "digits-saccade", "dvsgesture", "cifar10dvs")
NETWORKS = ("fc", "conv")
_SHAPE = ("kind", "input_shape", "hidden", "classes", "strides")
# What every network has, however wide: {"alpha": 0.5, "theta": 1.0, "k": 25.0, ...}.
NEURON = {each.name: each.default for each in fields(NetworkSpec) if each.name not in _SHAPE}
DEFAULTS: dict[str, Any] = {  # the paper's, flat; what counts where a config is older than a key
    **{f"recipe.{key}": value for key, value in PAPER.to_dict().items()},
    **{f"network.{key}": value for key, value in NEURON.items()},
}


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
        recordings: how those of a folder:PATH are read and cut; None for all other data sets.
    """

    name: str
    dataset: str
    root: Path | None = None
    options: FrameOptions = field(default_factory=FrameOptions)
    holdout: float | None = None
    holdout_seed: int = 0
    train: int | None = None
    test: int | None = None
    recordings: RecordingOptions | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values of everything that the result depends on."""
        own = ("root", "options", "recordings")
        values = {key: value for key, value in asdict(self).items() if key not in own}
        read = {} if self.recordings is None else {"recordings": self.recordings.to_dict()}
        return values | {"options": self.options.to_dict()} | read


@dataclass(frozen=True)
class NetworkChoice:
    """A network for whatever frames and classes the data has: [network.NAME].

    hidden and strides: None for the papers' widths; the rest as in `NetworkSpec`.
    """

    name: str
    kind: str = "fc"
    hidden: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    values: tuple[tuple[str, Any], ...] = ()  # alpha, theta, k, resets, where they are not the default

    def spec(self, input_shape: tuple[int, int, int], classes: int) -> NetworkSpec:
        """The network's specification for frames of `input_shape`. Raises UsageError."""
        values = network_spec(self.kind, input_shape, classes).to_dict() | dict(self.values)  # type: ignore[arg-type]
        if self.hidden is not None:
            values |= {"hidden": self.hidden}
            strides = (2,) * len(self.hidden) if self.kind == "conv" else ()
            values |= {"strides": strides if self.strides is None else self.strides}
        return NetworkSpec.from_dict(values)

    def changed(self, values: Mapping[str, Any]) -> NetworkChoice:
        """The same with other values of what every network has. Raises UsageError for impossible ones."""
        spec = replace(self, values=tuple({**dict(self.values), **values}.items())).spec((2, 34, 34), 10)
        own = ((key, getattr(spec, key)) for key in NEURON)
        return replace(self, values=tuple((key, each) for key, each in own if each != NEURON[key]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values of everything that the result depends on."""
        shape = {
            "hidden": list(self.hidden) if self.hidden else None,
            "strides": list(self.strides) if self.strides else None,
        }
        return {"name": self.name, "kind": self.kind, **shape, **NEURON, **dict(self.values)}


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
        return {**self.tuning.to_dict(), **dict(self.changes)}


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """{"recipe": {"rho": 0.3}} -> {"recipe.rho": 0.3}, one level."""
    found: dict[str, Any] = {}
    for part, values in config.items():
        table = isinstance(values, Mapping)
        found |= {f"{part}.{key}": value for key, value in values.items()} if table else {part: values}
    return found


def parse_data(name: str, values: dict[str, Any], where: str) -> DataChoice:
    """A [data.NAME] table of `DATA`. Raises UsageError."""
    frames = {key: values.pop(key) for key in ruled(FrameOptions) if key in values}
    if frames.get("encoding") == "binary":
        frames.setdefault("clip", 1)
    root = Path(values.pop("root")).expanduser() if "root" in values else None
    options = made_of(where, FrameOptions, frames)
    reading = {key: values.pop(key) for key in ruled(RecordingOptions) if key in values}
    choice = DataChoice(name, root=root, options=options, **{"dataset": name, **values})
    if choice.dataset.startswith(FOLDER):
        return replace(choice, recordings=made_of(where, RecordingOptions, reading))
    if reading:
        what = f"{next(iter(reading))} with dataset = {choice.dataset}"
        raise UsageError(what, where=where, expected=f"dataset = {FOLDER}PATH")
    return choice


def parse_network(name: str, values: dict[str, Any], where: str) -> NetworkChoice:
    """A [network.NAME] table of `NETWORK`. Raises UsageError."""
    shape = (values.get("kind", name), values.get("hidden"), values.get("strides"))
    of_neurons = {key: values[key] for key in NEURON if key in values}
    changed: NetworkChoice = made_of(where, NetworkChoice(name, *shape).changed, {"values": of_neurons})
    return changed


def parse_recipe(name: str, values: dict[str, Any], where: str) -> RecipeChoice:
    """A [recipe.NAME] table of `RECIPE`: the values that differ from `base`. Raises UsageError."""
    base = values.pop("base", name if name in RECIPES else "paper")
    return RecipeChoice(name, made_of(where, RECIPES[base].replace, values))


def parse_finetune(name: str, values: dict[str, Any], where: str) -> FineTuneChoice:
    """A [finetune.NAME] table of `TUNING`: what differs from the usual fine-tuning. Raises UsageError."""
    own = {key: value for key, value in values.items() if key in ruled(FineTuning)}
    changes = tuple((key, value) for key, value in values.items() if key not in own)
    choice = FineTuneChoice(name, replace(FINETUNE, **own), changes)
    made_of(where, choice.recipe, {"trained": PAPER})
    return choice


def made_of(where: str, make: Any, values: dict[str, Any]) -> Any:
    """make(**values), its complaint told with the table's name."""
    try:
        return make(**values)
    except SastError as error:
        raise UsageError(str(error), where=where) from error


class _Dataset(Rule):
    """A data set that says what ran: any but "auto"."""

    def __str__(self) -> str:
        return f"{', '.join(DATASETS)}, tonic:<ClassName> or {FOLDER}PATH"

    def _fits(self, value: Any) -> bool:
        known = isinstance(value, str) and (value in DATASETS or value.startswith((TONIC_PREFIX, FOLDER)))
        return known and Text().fits(value)


def _any_of(fields: dict[str, Rule]) -> Table:
    return Table(fields, fields)


_SOME = Whole(1, INTEGER - 1)
_SPEC = ruled(NetworkSpec)
SHARED = {key: _SPEC[key] for key in NEURON}  # of every network, however wide
CHANGES = {key: rule for key, rule in ruled(Recipe).items() if key != "name"}
DATA = _any_of({
    "dataset": _Dataset(), "root": Text(), "holdout": FRACTION, "holdout_seed": SEED, "train": _SOME,
    "test": _SOME, **ruled(FrameOptions), **ruled(RecordingOptions),
})  # fmt: skip
NETWORK = _any_of({
    "kind": _SPEC["kind"], "hidden": OneOrMore(COUNT), "strides": OneOrMore(COUNT), **SHARED,
})  # fmt: skip
RECIPE = _any_of({"base": Choice(tuple(RECIPES)), **CHANGES})
TUNING = _any_of({**CHANGES, **ruled(FineTuning)})
