"""`sast-deploy train`: frames to a SAST checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.loading import refuse_idle_options
from sast_deploy.commands.options import (
    OUTPUT,
    SEED,
    SHARE,
    Command,
    Finite,
    build_frame_options,
    console,
    data_options,
    example,
    frame_options,
    refuse_ignored,
    training_overwrite_option,
)

if TYPE_CHECKING:
    from sast_deploy.training.recipes import Recipe

# Values of a recipe that do nothing without another one.
_NEEDS = {"sharpness": "rho", "pairing": "rho", "anneal": "k_start"}
SILENT = "by {} the deeper maps of a conv network hardly ever fire; --recipe best-conv makes them"


@click.command(
    "train",
    cls=Command,
    short_help="Frames to a SAST checkpoint.",
    epilog=example("sast-deploy train --dataset nmnist --rho 0.3 -o runs/sast/ckpt.pt"),
)
@data_options("auto")
@frame_options
@click.option("--network", "kind", type=click.Choice(["fc", "conv"]), default="fc", show_default=True)
@click.option("--recipe", "recipe_name", default="paper", show_default=True, help="paper, best or best-conv.")
@click.option("--rho", type=float, help="SAM radius; 0 is the baseline. Default: the recipe's.")
@click.option("--epochs", type=int, help="Default: the recipe's.")
@click.option("--lr", type=float, help="Adam's learning rate. Default: the recipe's.")
@click.option("--batch", type=int, help="Minibatch. Default: the recipe's.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other value of the recipe, as drop=0.1 or init=lsuv.",
)
@click.option(
    "--alpha", type=Finite(0, 1, max_open=True), default=0.5, show_default=True, help="Leak factor per step."
)
@click.option(
    "--k", type=Finite(0, min_open=True), default=25.0, show_default=True, help="Slope of the surrogate."
)
@click.option(
    "--reset", type=click.Choice(["subtract", "zero"]), default="subtract", show_default=True,
    help="What a spike does to its membrane a step later.",
)  # fmt: skip
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of weights, order, split, augmentation."
)
@click.option("--validation", type=SHARE, default=0.1, show_default=True, help="Share of the training split.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Continue after the last finished epoch, bit for bit.")
@training_overwrite_option
@click.option("-o", "--output", type=OUTPUT, default=Path("runs/sast/ckpt.pt"), show_default=True)
def train_command(
    dataset: str,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    steps: int,
    binning: str,
    encoding: str,
    clip: int | None,
    size: tuple[int, int] | None,
    duration_us: int | None,
    kind: Any,
    recipe_name: str,
    rho: float | None,
    epochs: int | None,
    lr: float | None,
    batch: int | None,
    changes: tuple[str, ...],
    alpha: float,
    k: float,
    reset: Any,
    seed: int,
    validation: float,
    device: str,
    resume: bool,
    overwrite: bool,
    output: Path,
) -> None:
    """Train a network by SAST (SAM on the surrogate-forward loss) and write its checkpoint.

    Beside the checkpoint: metrics.jsonl, one line per epoch, and resume.pt while unfinished.
    """
    options = build_frame_options(steps, binning, encoding, clip, size, duration_us)
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.recipes import recipe

    named = {"rho": rho, "epochs": epochs, "lr": lr, "batch": batch}
    wanted = recipe(recipe_name).replace(**parse_changes(changes), **named)
    refuse_idle_changes(changes, wanted)
    if resume:
        refuse_ignored(["overwrite"], "with --resume", "give one of them")
    pick_device(device)
    refuse_idle_options(dataset, data_root, holdout, holdout_seed)
    from sast_deploy.data import load_frames
    from sast_deploy.training.network.network import network_spec
    from sast_deploy.training.state import RunFiles

    # Of any size: what is wrong with alpha and k is said before data are framed.
    spec_of = partial(network_spec, kind, alpha=alpha, k=k, reset=reset)
    spec_of((2, 34, 34), 10)

    # Held until the command ends.
    click.get_current_context().with_resource(RunFiles(output).claim(resume=resume, overwrite=overwrite))
    data = load_frames(
        dataset,
        options,
        data_root=data_root,
        holdout=holdout,
        holdout_seed=holdout_seed or 0,
        cache_dir=cache_dir,
    )
    out = console()
    out.print(f"data: {data.info.provenance}")
    if kind == "conv" and wanted.forward == "surrogate" and wanted.init == "torch":
        out.print(f"note: {SILENT.format(recipe_name)}")
    if data.info.missing_classes:
        out.print(f"classes without samples: {', '.join(data.info.missing_classes)}")
    from sast_deploy.training.surrogate_tails import tail_warning
    from sast_deploy.training.train import train

    result = train(
        spec_of(data.sensor, len(data.info.classes)), wanted, data, output,
        seed=seed, validation=validation, device=device, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    if result.already_finished:
        out.print(f"{result.path} was finished before; nothing was trained")
    else:
        out.print(f"wrote {result.path}")
    test = result.checkpoint.metrics["test"]
    rates = (test.get(key, []) for key in ("surrogate_rates", "hard_rates"))  # older files have none
    warning = tail_warning(result.checkpoint.recipe, *rates)
    if warning:
        out.print(warning)


def parse_changes(changes: tuple[str, ...]) -> dict[str, float | str]:
    """--set KEY=VALUE pairs as numbers, where they are, or as text. Raises UsageError."""
    found: dict[str, float | str] = {}
    for change in changes:
        key, _, text = change.partition("=")
        if not key or not text:
            raise UsageError(f"--set {change}", expected="KEY=VALUE, as drop=0.1 or init=lsuv")
        if key in ("rho", "epochs", "lr", "batch"):
            raise UsageError(f"--set {change}", expected=f"--{key} {text}")
        try:
            found[key] = float(text)
        except ValueError:
            found[key] = text  # the recipe says which values it takes
    return found


def refuse_idle_changes(changes: tuple[str, ...], recipe: Recipe) -> None:
    """Refuse --set of a value that changes nothing in this recipe. Raises UsageError."""
    for key in parse_changes(changes):
        other = _NEEDS.get(key)
        if other and not getattr(recipe, other):
            raise UsageError(f"--set {key} with {other} = 0, where it changes nothing", todo="leave it out")
