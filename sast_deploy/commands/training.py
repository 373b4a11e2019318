"""What `train` and `finetune` share: values of a recipe, where the training goes, what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.options import OUTPUT, Function, option, titled

if TYPE_CHECKING:
    from sast_deploy.finetuning.recipe import FineRecipe
    from sast_deploy.training.loop import TrainResult
    from sast_deploy.training.recipes import Recipe

R = TypeVar("R", "Recipe", "FineRecipe")

# Values of a recipe that do nothing without another one.
_NEEDS = {"sharpness": "rho", "pairing": "rho", "anneal": "k_start"}
_NAMED = ("rho", "epochs", "lr", "batch")
KEYS = (
    "k_start, anneal, label_smoothing, weight_decay, weight_limit, ema, shift, rotate, scale, shear, drop, "
    "synops, prune, sharpness=sam|asam, pairing=independent|same, forward=surrogate|hard, init=torch|lsuv"
)
CHANGES = option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE",
    help=f"Any other value of the recipe, as drop=0.1 or init=lsuv; may be repeated. Keys: {KEYS}.",
)  # fmt: skip
RESUME = option("--resume", is_flag=True, help="Continue after the last finished epoch, bit for bit.")
OVERWRITE = option(
    "--overwrite", is_flag=True,
    help="Replace this output's checkpoint or unfinished training; never those of another output beside it.",
)  # fmt: skip


def training_output(**settings: Any) -> Callable[[Function], Function]:
    """--resume, --overwrite and -o, of a command that trains; settings: default and help of -o."""
    return titled("Output", RESUME, OVERWRITE, option("-o", "--output", type=OUTPUT, **settings))


def changed(recipe: R, values: dict[str, Any]) -> R:
    """A recipe with the values of --rho, --epochs, --lr, --batch and --set. Raises UsageError."""
    changes = parse_changes(values["changes"])
    found = recipe.replace(**changes, **{key: values[key] for key in _NAMED})
    for key in changes:
        other = _NEEDS.get(key)
        if other and not getattr(getattr(found, "training", found), other):
            raise UsageError(f"--set {key} with {other} = 0, where it changes nothing", todo="leave it out")
    return found


def parse_changes(changes: tuple[str, ...]) -> dict[str, float | str]:
    """--set KEY=VALUE pairs as numbers, where they are, or as text. Raises UsageError."""
    found: dict[str, float | str] = {}
    for change in changes:
        key, _, text = change.partition("=")
        if not key or not text:
            raise UsageError(f"--set {change}", expected="KEY=VALUE, as drop=0.1 or init=lsuv")
        if key in _NAMED:
            raise UsageError(f"--set {change}", expected=f"--{key} {text}")
        try:
            found[key] = float(text)
        except ValueError:
            found[key] = text  # the recipe says which values it takes
    return found


def claim(path: Path, run: Mapping[str, Any], inputs: Iterable[Path] = ()) -> None:
    """Hold the files of a training until the command ends. Raises as `RunFiles.claim`."""
    from sast_deploy.training.state import RunFiles

    held = RunFiles(path).claim(resume=run["resume"], overwrite=run["overwrite"], inputs=inputs)
    click.get_current_context().with_resource(held)


def training_facts(result: TrainResult, warning: str | None = None) -> dict[str, Any]:
    """What --json says of a training."""
    made = result.checkpoint
    return {
        "checkpoint": result.path, "already_finished": result.already_finished, "name": made.name,
        "network": made.network, "recipe": made.recipe, "frames": made.frames, "data": made.data,
        "seeds": made.seeds, "metrics": made.metrics, "warning": warning,
    }  # fmt: skip


def written(path: Path, already_finished: bool) -> str:
    """The last line."""
    return f"{path} was finished before; nothing was trained" if already_finished else f"wrote {path}"
