"""`sast-deploy train`: frames to a SAST checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.commands.answers import answer, warn
from sast_deploy.commands.command import command
from sast_deploy.commands.network import network_options
from sast_deploy.commands.options import SEED, SHARE, console, gathered, option, refuse_ignored, titled
from sast_deploy.commands.shared import DEVICE, data_options, frame_options
from sast_deploy.commands.training import CHANGES, changed, claim, training_facts, training_output, written

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions
    from sast_deploy.data.request import DataRequest
    from sast_deploy.training.recipes import Recipe

FLAT = "a triangular surrogate is flat where torch's initial weights leave neurons; --set init=lsuv mends it"
SILENT = "by {} the deeper maps of a conv network hardly ever fire; --recipe best-conv makes them"
RECOMMENDED = {"fc": "best", "conv": "best-conv"}


@command(
    "train", "Frames to a SAST checkpoint.",
    "sast-deploy train --dataset nmnist --rho 0.3 -o runs/sast/ckpt.pt",
    "sast-deploy train --hidden 256 128 --alpha 0.9 0.8 --reset-order before-leak",
)
@data_options("auto")
@frame_options
@network_options
@gathered(
    "chosen", dict, "Recipe",
    option("--recipe", "recipe_name", type=click.Choice(["paper", "best", "best-conv"]),
           help="Default, and recommended: best, for --network conv best-conv. paper: as published."),
    option("--rho", type=float, help="SAM radius; 0 is the baseline. Default: the recipe's."),
    option("--epochs", type=int, help="Default: the recipe's."),
    option("--lr", type=float, help="Adam's learning rate. Default: the recipe's."),
    option("--batch", type=int, help="Minibatch. Default: the recipe's."),
    CHANGES,
)  # fmt: skip
@titled(
    "Run",
    option("--seed", type=SEED, default=0, show_default=True, help="Of weights, order, split, augmentation."),
    option("--validation", type=SHARE, default=0.1, show_default=True, help="Share of the training split."),
    DEVICE,
)
@training_output(default=Path("runs/sast/ckpt.pt"), show_default=True)
def train_command(
    data: DataRequest, frames: FrameOptions, network: dict[str, Any], chosen: dict[str, Any], **run: Any
) -> None:
    """Train a network by SAST (SAM on the surrogate-forward loss) and write its checkpoint.

    Beside the checkpoint: metrics.jsonl, one line per epoch, and resume.pt while unfinished.
    """
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.evaluate import tail_warning
    from sast_deploy.training.network.network import network_spec
    from sast_deploy.training.recipes import recipe as named
    from sast_deploy.training.train import train

    if run["resume"]:
        refuse_ignored(["overwrite"], "with --resume", "give one of them")
    pick_device(run["device"])
    data.refuse_idle()
    kind, output = network.pop("kind"), run.pop("output")
    recipe = changed(named(chosen.pop("recipe_name") or RECOMMENDED[kind]), chosen)
    # Of any size: what is wrong with layers, alpha and k is said before data are framed.
    spec_of: Any = partial(network_spec, kind, **network)
    spec_of((2, 34, 34), 10)

    claim(output, run)
    found, out = data.load(frames), console()
    out.print(f"data: {found.info.provenance}", f"recipe: {_described(recipe)}")
    if kind == "conv" and recipe.forward == "surrogate" and recipe.init == "torch":
        warn(f"note: {SILENT.format(recipe.name)}")
    if network["surrogate"] == "triangular" and recipe.init == "torch":
        warn(f"note: {FLAT}")
    if found.info.missing_classes:
        warn(f"classes without samples: {', '.join(found.info.missing_classes)}")
    result = train(spec_of(found.sensor, len(found.info.classes)), recipe, found, output, **run)
    out.print(written(result.path, result.already_finished))
    test = result.checkpoint.metrics["test"]
    rates = (test.get(key, []) for key in ("surrogate_rates", "hard_rates"))  # older files have none
    warning = tail_warning(result.checkpoint.recipe, *rates)
    if warning:
        warn(warning)
    answer(training_facts(result))


def _described(recipe: Recipe) -> str:
    advice = ", the recommended one" if recipe.name in RECOMMENDED.values() else ""
    return f"{recipe.name}{advice}, {recipe.epochs} epochs, rho {recipe.rho:g}"
