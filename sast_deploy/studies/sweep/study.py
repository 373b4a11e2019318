"""sweep.toml -> Study: the grid of runs, multiplied out, every key checked before anything starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sast_deploy.base.errors import ProfileError, UsageError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_toml
from sast_deploy.base.rules import SEED, Choice as OneOf, Number, Rule, Table, Text, Whole, refuse, shown
from sast_deploy.data.readers.sources import EMBEDDED
from sast_deploy.studies import ANALYSES
from sast_deploy.studies.sweep.choices import (
    CHANGES,
    DATA,
    DATASETS,
    NETWORK,
    NETWORKS,
    RECIPE,
    SHARED,
    TUNING,
    DataChoice,
    NetworkChoice,
    RecipeChoice,
    made_of,
    parse_data,
    parse_finetune,
    parse_network,
    parse_recipe,
)
from sast_deploy.studies.sweep.keys import Listed, OneOrMore, PlainName, Section, Sections, read_table
from sast_deploy.studies.sweep.measures import FLOAT, Stage, ablation_stage, profile_stage
from sast_deploy.training.recipes import RECIPES

Choice = TypeVar("Choice")
MOST_SAMPLES = 1 << 31
MEASURED = ("profiles", "circuits", "analyses", "ablations")
MOST_RUNS = 10_000
EXPECTED = Expected("a TOML study", UsageError)
DEFAULT_AXES: Mapping[str, tuple[Any, ...]] = {
    "data": (), "network": ("fc",), "recipe": ("paper",), "seed": (0,),
}  # fmt: skip
USUAL = {"device": "auto", "validation": 0.1, "check": 10}
HEAD = Table({
    "name": PlainName(), "description": Text(), "device": Text(),
    "validation": Number(0, 1, above=True, below=True), "check": Whole(0, MOST_SAMPLES),
}, ("description", *USUAL))  # fmt: skip
_AXES: dict[str, Rule] = {
    **dict.fromkeys(("data", "network", "recipe"), Text()), "seed": SEED, **CHANGES, **SHARED,
}  # fmt: skip
_MEASURED = dict(zip(MEASURED, (Text(), Text(), OneOf(ANALYSES), Text()), strict=True))
_GRID: dict[str, Rule] = {
    **{key: OneOrMore(rule) for key, rule in _AXES.items()},
    **{key: OneOrMore(rule, empty=True) for key, rule in _MEASURED.items()},
}
GRID = Table(_GRID, _GRID)
FILE = Table({
    "study": Section("study", HEAD), "grid": Listed("grid", GRID), "recipe": Sections("recipe", RECIPE),
    "data": Sections("data", DATA, own="dataset"), "network": Sections("network", NETWORK, own="kind"),
    "finetune": Sections("finetune", TUNING),
}, ("data", "network", "recipe", "finetune"))  # fmt: skip


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
        name: for people; exports go to runs/NAME by default.
        device: "auto", "cpu" or "cuda".
        check: test samples of each compiled network that are replayed, as `simulate` does.
        runs: in the order in which they start, all of the first seed first.
    """

    name: str
    device: str
    check: int
    runs: tuple[Run, ...]


def load_study(path: Path, *, data: str | None = None, data_root: Path | None = None) -> Study:
    """Read a study. Raises UsageError (naming the table) and ProfileError.

    data: a data set to run the whole grid on in place of the grid's own. data_root: the folder of
    recordings for data without a `root`.
    """
    values, _ = read_toml(Path(path), EXPECTED)
    return parse_study(values, path, data=data, data_root=data_root)


def parse_study(
    values: dict[str, Any], where: Path, *, data: str | None = None, data_root: Path | None = None
) -> Study:
    """`load_study` of a file's tables; where: for messages."""
    refuse(FILE.problems(values, ""), where, UsageError)
    study = _Parser(values, str(where), data, data_root).study()
    if data_root is not None and not any(run.data.root is data_root for run in study.runs):
        what = "--data-root names a folder that no run looks into"
        raise UsageError(what, where=where, todo="leave it out")
    return study


class _Parser:
    """Of a file whose every value is one that may be."""

    def __init__(
        self, file: Mapping[str, Any], where: str, only_data: str | None, data_root: Path | None
    ) -> None:
        self.file, self.where, self.only_data, self.data_root = file, where, only_data, data_root
        self.head = {**USUAL, **read_table(HEAD, file["study"])}
        self.choices: dict[str, dict[str, Any]] = {
            "data": self._choices("data", DATA, DATASETS, parse_data),
            "network": self._choices("network", NETWORK, NETWORKS, parse_network),
            "recipe": self._choices("recipe", RECIPE, tuple(RECIPES), parse_recipe),
        }
        self.finetunes = self._choices("finetune", TUNING, ("finetuned",), parse_finetune)

    def study(self) -> Study:
        found: dict[str, Run] = {}
        for number, values in enumerate(self.file["grid"], start=1):
            where = f"{self.where} [[grid]] {number}"
            for run in self._runs(read_table(GRID, values), where):
                found[run.name] = _united(found.get(run.name, run), run, where)
        ordered = sorted(found.values(), key=lambda run: run.seed)  # stable: the file's order within a seed
        return Study(self.head["name"], self.head["device"], self.head["check"], tuple(ordered))

    def _choices(
        self, kind: str, table: Table, builtin: tuple[str, ...],
        parse: Callable[[str, dict[str, Any], str], Choice],
    ) -> dict[str, Choice]:  # fmt: skip
        tables = {name: {} for name in builtin} | self.file.get(kind, {})
        return {
            name: parse(name, read_table(table, values), f"{self.where} [{kind}.{name}]")
            for name, values in tables.items()
        }

    def _runs(self, grid: dict[str, Any], where: str) -> Iterator[Run]:
        """The runs of one [[grid]]: every combination of the values of its axes."""
        stages = self._stages([dict.fromkeys(grid.pop(key, ())) for key in MEASURED], where)
        axes = {**DEFAULT_AXES, **grid}
        if self.only_data is not None:
            axes["data"] = (self.only_data,)
        if not axes["data"]:
            known = ", ".join(self.choices["data"])
            raise UsageError("no data", where=where, expected=f"data = one of {known}")
        runs = math.prod(len(each) for each in axes.values())
        if runs > MOST_RUNS:
            raise UsageError(f"{runs:,} runs", where=where, expected=f"at most {MOST_RUNS:,} in a grid")
        for values in itertools.product(*map(dict.fromkeys, axes.values())):  # a value twice is one run
            yield self._run(dict(zip(axes, values, strict=True)), stages, where)

    def _run(self, values: dict[str, Any], stages: tuple[Stage, ...], where: str) -> Run:
        data, network, recipe = (self._named(kind, values.pop(kind), where) for kind in self.choices)
        seed = values.pop("seed")
        if data.root is None and data.dataset != EMBEDDED:
            data = replace(data, root=self.data_root)
        of_network = {key: value for key, value in values.items() if key in SHARED}
        network = made_of(where, network.changed, {"values": of_network})
        of_recipe = {key: value for key, value in values.items() if key not in of_network}
        made = made_of(where, recipe.recipe.replace, of_recipe)
        extras = [_shown(key, value) for key, value in values.items() if key != "rho"]
        parts = [data.name, network.name, recipe.name, f"rho{_decimal(made.rho)}", *extras, f"seed{seed}"]
        chosen = RecipeChoice(recipe.name, made)
        return Run("-".join(parts), data, network, chosen, seed, self.head["validation"], stages)

    def _stages(self, measured: Iterable[Iterable[str]], where: str) -> tuple[Stage, ...]:
        profiles, circuits, analyses, ablations = measured
        try:
            return (
                FLOAT,
                *(profile_stage(each, self.finetunes, where) for each in profiles),
                *(profile_stage(each, self.finetunes, where, "circuit") for each in circuits),
                *(Stage("analysis", each) for each in analyses),
                *(ablation_stage(each) for each in ablations),
            )
        except ProfileError as error:
            raise UsageError(f"a profile that cannot be used: {error}", where=where) from error

    def _named(self, kind: str, name: str, where: str) -> Any:
        if name not in self.choices[kind]:
            expected = f"{', '.join(self.choices[kind])} or the name of a table [{kind}.NAME]"
            raise UsageError(f"{kind} = {shown(name)}", where=where, expected=expected)
        return self.choices[kind][name]


def _united(first: Run, second: Run, where: str) -> Run:
    """A run that two grids ask for, with what either measures. Raises UsageError where they differ."""
    if first.config != second.config:
        raise UsageError(f"two different runs are called {first.name}", where=where, todo="rename a table")
    return replace(
        first, stages=tuple({stage.key: stage for stage in (*first.stages, *second.stages)}.values())
    )


def _shown(key: str, value: Any) -> str:
    if isinstance(value, str):
        return f"{key}-{value}"
    return key + "+".join(f"{each:g}" for each in (value if isinstance(value, tuple) else (value,)))


def _decimal(value: float) -> str:
    """Two decimals, or as many as it takes: 0.30, 0.125."""
    short = f"{value:.2f}"
    return short if float(short) == value else f"{value:g}"
