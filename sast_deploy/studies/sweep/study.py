"""sweep.toml -> Study: the grid of runs, multiplied out, every key checked before anything starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sast_deploy.base.errors import ProfileError, UsageError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_toml
from sast_deploy.base.rules import shown
from sast_deploy.data.readers.sources import EMBEDDED
from sast_deploy.studies.sweep.choices import (
    DATASETS,
    NETWORKS,
    DataChoice,
    NetworkChoice,
    RecipeChoice,
    changed_recipe,
    made_of,
    network_defaults,
    parse_data,
    parse_finetune,
    parse_network,
    parse_recipe,
    recipe_keys,
)
from sast_deploy.studies.sweep.keys import Table, plain_name
from sast_deploy.studies.sweep.measures import FLOAT, Stage, ablation_stage, analysis_stage, profile_stage
from sast_deploy.training.recipes import RECIPES

Choice = TypeVar("Choice")
MOST_SAMPLES = 1 << 31
MEASURED = ("profiles", "analyses", "ablations")
SHARED = {"validation": float, "device": str, "check": int}
DEFAULT_CHECK = 10
MOST_RUNS = 10_000
EXPECTED = Expected("a TOML study", UsageError)
LARGEST_SEED = 1 << 63
DEFAULT_AXES: Mapping[str, tuple[Any, ...]] = {
    "data": (), "network": ("fc",), "recipe": ("paper",), "seed": (0,),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training and everything that is measured of it.

    Fields:
        name: its folder's: DATA-NETWORK-RECIPE-rho0.30[-KEY VALUE ...]-seed0.
        data, network, recipe, seed, validation: what makes its checkpoint.
        stages: what is measured of that, in this order.
    """

    name: str
    data: DataChoice
    network: NetworkChoice
    recipe: RecipeChoice
    seed: int
    validation: float
    stages: tuple[Stage, ...]

    @property
    def config(self) -> dict[str, Any]:
        """Everything that the checkpoint depends on, as plain values."""
        return {
            "data": self.data.to_dict(), "network": self.network.to_dict(), "recipe": self.recipe.to_dict(),
            "seed": self.seed, "validation": self.validation,
        }  # fmt: skip

    @property
    def passes(self) -> int:
        """Passes over the training samples, forward and backward: two an epoch with SAM."""
        recipe = self.recipe.recipe
        return recipe.epochs * (2 if recipe.rho else 1)


@dataclass(frozen=True)
class Study:
    """A sweep.

    Fields:
        name, description: for people; exports go to runs/NAME by default.
        device: "auto", "cpu" or "cuda".
        check: test samples of each compiled network that the reference replays in Python integers.
        runs: in the order in which they start, all of the first seed first.
    """

    name: str
    description: str
    device: str
    check: int
    runs: tuple[Run, ...]


def load_study(path: Path, *, data: str | None = None, data_root: Path | None = None) -> Study:
    """Read a study. Raises UsageError (naming the table) and ProfileError.

    data: a data set to run the whole grid on in place of the grid's own. data_root: the folder of
    recordings for data without a `root`.
    """
    values, _ = read_toml(Path(path), EXPECTED)
    study = _Parser(Table(values, str(path)), data, data_root).study()
    if data_root is not None and not any(run.data.root is data_root for run in study.runs):
        raise UsageError("--data-root names a folder that no run looks into", where=path, todo="leave it out")
    return study


class _Parser:
    def __init__(self, file: Table, data: str | None, data_root: Path | None) -> None:
        file.refuse_unknown({"study", "data", "network", "recipe", "finetune", "grid"})
        self.file, self.only_data, self.data_root = file, data, data_root
        self.head = file.table("study")
        self.head.refuse_unknown({"name", "description", *SHARED})
        self.data = self._choices("data", DATASETS, parse_data)
        self.networks = self._choices("network", NETWORKS, parse_network)
        self.recipes = self._choices("recipe", tuple(RECIPES), parse_recipe)
        self.finetunes = self._choices("finetune", ("finetuned",), parse_finetune)

    def study(self) -> Study:
        grids = self.file.values.get("grid", [])
        if not isinstance(grids, list) or not grids or not all(isinstance(each, dict) for each in grids):
            raise UsageError("no grid", where=self.file.where, expected="at least one [[grid]] table")
        found: dict[str, Run] = {}
        for number, values in enumerate(grids, start=1):
            table = Table(values, f"{self.file.where} [[grid]] {number}")
            for run in self._runs(table):
                found[run.name] = _united(found.get(run.name, run), run, table.where)
        ordered = sorted(found.values(), key=lambda run: run.seed)  # stable: the file's order within a seed
        return Study(
            plain_name(self.head, "name"),
            self.head.get("description", str, ""),
            self.head.get("device", str, "auto"),
            self._check(),
            tuple(ordered),
        )

    def _check(self) -> int:
        check: int = self.head.get("check", int, DEFAULT_CHECK)
        if not 0 <= check <= MOST_SAMPLES:
            expected = f"0 to {MOST_SAMPLES} samples"
            raise UsageError(f"check = {check}", where=self.head.where, expected=expected)
        return check

    def _choices(
        self, kind: str, builtin: tuple[str, ...], parse: Callable[[str, Table], Choice]
    ) -> dict[str, Choice]:
        tables = {name: Table({}, f"{kind} {name}") for name in builtin} | self.file.tables(kind)
        return {name: parse(name, table) for name, table in tables.items()}

    def _runs(self, table: Table) -> Iterator[Run]:
        """The runs of one [[grid]]: every combination of the values of its axes."""
        changes = {**recipe_keys(), **{key: type(value) for key, value in network_defaults().items()}}
        named = {"data": str, "network": str, "recipe": str, "seed": int}
        table.refuse_unknown({*named, *changes, *MEASURED})
        axes = {key: table.list(key, kind) or DEFAULT_AXES[key] for key, kind in named.items()}
        if self.only_data is not None:
            axes["data"] = (self.only_data,)
        if not axes["data"]:
            raise UsageError("no data", where=table.where, expected=f"data = one of {', '.join(self.data)}")
        axes |= {key: table.list(key, kind) or () for key, kind in changes.items() if key in table.values}
        stages = self._stages(table)
        runs = math.prod(len(each) for each in axes.values())
        if runs > MOST_RUNS:
            raise UsageError(f"{runs:,} runs", where=table.where, expected=f"at most {MOST_RUNS:,} in a grid")
        for values in itertools.product(*map(dict.fromkeys, axes.values())):  # a value twice is one run
            yield self._run(dict(zip(axes, values, strict=True)), stages, table)

    def _run(self, values: dict[str, Any], stages: tuple[Stage, ...], table: Table) -> Run:
        data = self._named(self.data, "data", values.pop("data"), table)
        network = self._named(self.networks, "network", values.pop("network"), table)
        recipe = self._named(self.recipes, "recipe", values.pop("recipe"), table)
        seed = values.pop("seed")
        if not 0 <= seed < LARGEST_SEED:
            raise UsageError(f"seed = {seed}", where=table.where, expected="an integer of 0 to 2^63 - 1")
        if data.root is None and data.dataset != EMBEDDED:
            data = replace(data, root=self.data_root)
        of_network = {key: value for key, value in values.items() if key in network_defaults()}
        network = replace(network, values=tuple({**dict(network.values), **of_network}.items()))
        made_of(table, network.spec, {"input_shape": (2, 34, 34), "classes": 10})
        of_recipe = {key: value for key, value in values.items() if key not in of_network}
        made = changed_recipe(recipe.recipe, of_recipe, table)
        extras = [_shown(key, value) for key, value in values.items() if key != "rho"]
        parts = [data.name, network.name, recipe.name, f"rho{_decimal(made.rho)}", *extras, f"seed{seed}"]
        validation = self.head.get("validation", float, 0.1)
        if not 0.0 < validation < 1.0:
            raise UsageError(f"validation = {validation}", where=self.head.where, expected="between 0 and 1")
        return Run("-".join(parts), data, network, RecipeChoice(recipe.name, made), seed, validation, stages)

    def _stages(self, table: Table) -> tuple[Stage, ...]:
        profiles, analyses, ablations = (
            dict.fromkeys(table.list(key, str, empty=True) or ()) for key in MEASURED
        )
        try:
            return (
                FLOAT,
                *(profile_stage(each, self.finetunes, table.where) for each in profiles),
                *(analysis_stage(each, table.where) for each in analyses),
                *(ablation_stage(each) for each in ablations),
            )
        except ProfileError as error:
            raise UsageError(f"a profile that cannot be used: {error}", where=table.where) from error

    def _named(self, known: Mapping[str, Choice], kind: str, name: str, table: Table) -> Choice:
        if name not in known:
            raise UsageError(
                f"{kind} = {shown(name)}", where=table.where,
                expected=f"{', '.join(known)} or the name of a table [{kind}.NAME]",
            )  # fmt: skip
        return known[name]


def _united(first: Run, second: Run, where: str) -> Run:
    """A run that two grids ask for, with what either measures. Raises UsageError where they differ."""
    if first.config != second.config:
        raise UsageError(f"two different runs are called {first.name}", where=where, todo="rename a table")
    return replace(
        first, stages=tuple({stage.key: stage for stage in (*first.stages, *second.stages)}.values())
    )


def _shown(key: str, value: Any) -> str:
    return f"{key}-{value}" if isinstance(value, str) else f"{key}{value:g}"


def _decimal(value: float) -> str:
    """Two decimals, or as many as it takes: 0.30, 0.125."""
    short = f"{value:.2f}"
    return short if float(short) == value else f"{value:g}"
