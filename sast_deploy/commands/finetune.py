"""`sast-deploy finetune`: train a checkpoint on with a profile's integers in its forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.loading import load_test_split
from sast_deploy.commands.options import (
    OUTPUT,
    PATH,
    SEED,
    Command,
    Finite,
    console,
    data_options,
    example,
    refuse_ignored,
    training_overwrite_option,
)
from sast_deploy.commands.train import parse_changes, refuse_idle_changes

if TYPE_CHECKING:
    from sast_deploy.training.checkpoint import Checkpoint


@click.command(
    "finetune",
    cls=Command,
    short_help="Train on with a profile's integers in the forward pass.",
    epilog=example("sast-deploy finetune runs/sast/ckpt.pt --profile loihi-int4 -o runs/sast-int4/ckpt.pt"),
)
@click.argument("checkpoint", type=PATH)
@click.option("--profile", "profile_name", default="loihi-int4", show_default=True, help="Name, or a .toml.")
@data_options(None)
@click.option("--epochs", type=int, help="Passes over the training samples; default 10.")
@click.option("--lr", type=float, help="Adam's learning rate; default 0.001.")
@click.option("--rho", type=float, help="SAM radius; default 0, without SAM.")
@click.option("--batch", type=int, help="Minibatch. Default: what it was trained with.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Any other value of the recipe, as drop=0.1."
)
@click.option("--k", type=Finite(0, min_open=True), help="Slope of the gradient; default 3.")
@click.option(
    "--clip",
    type=Finite(min=0),
    help="Weights stay within so many times their clipping points of least squared error; default 1; "
    "0: anywhere.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of order and augmentation.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Continue after the last finished epoch, bit for bit.")
@training_overwrite_option
@click.option("-o", "--output", type=OUTPUT, help="Default: runs/<name>-<profile>/ckpt.pt")
def finetune_command(
    checkpoint: Path,
    profile_name: str,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    epochs: int | None,
    lr: float | None,
    rho: float | None,
    batch: int | None,
    changes: tuple[str, ...],
    k: float | None,
    clip: float | None,
    seed: int,
    device: str,
    resume: bool,
    overwrite: bool,
    output: Path | None,
) -> None:
    """Train CHECKPOINT on so that its integers for a profile lose nothing; write a checkpoint.

    The forward pass computes what the compiled program computes. Minibatches, augmentation and loss are
    those that CHECKPOINT was trained with; --epochs, --lr, --rho, --k and --clip have defaults of their own.
    """
    from sast_deploy.base.files import file_digest
    from sast_deploy.program.profile import load_profile
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.checkpoint import load_checkpoint

    if resume:
        refuse_ignored(["overwrite"], "with --resume", "give one of them")
    pick_device(device)
    profile, trained = load_profile(profile_name), load_checkpoint(checkpoint)
    path = output or Path("runs") / f"{trained.name}-{profile.name}" / "ckpt.pt"
    from sast_deploy.finetuning import FINETUNE, finetune
    from sast_deploy.training.state import RunFiles

    named = {"epochs": epochs, "lr": lr, "rho": rho, "batch": batch}
    tuning = replace(FINETUNE, k=FINETUNE.k if k is None else k, clip=FINETUNE.clip if clip is None else clip)
    recipe = tuning.recipe(trained.recipe).replace(**parse_changes(changes), **named)
    refuse_idle_changes(changes, recipe.training)
    if "k_start" in parse_changes(changes):
        raise UsageError("--set k_start changes nothing here", todo="the slope is --k all the time")
    claim = RunFiles(path).claim(resume=resume, overwrite=overwrite, inputs=(checkpoint, Path(profile_name)))
    click.get_current_context().with_resource(claim)  # held until the command ends
    data = load_test_split(
        checkpoint, trained.data, trained.frames, dataset, data_root, holdout, holdout_seed, cache_dir
    )
    out = console()
    out.print(f"{checkpoint} -> {profile.name}; data: {data.info.provenance}")
    unlike = data.info.unlike(trained.data)
    if unlike:
        out.print(f"WARNING: {unlike}")
    resets = trained.network.reset, profile.arithmetic.reset
    if resets[0] != resets[1]:
        out.print("note: trained with reset {!r}; from here on with the profile's, {!r}".format(*resets))
    result = finetune(
        trained, profile, data, recipe, path,
        seed=seed, source=file_digest(checkpoint), device=device, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    if result.already_finished:
        out.print(f"{result.path} was finished before; nothing was trained")
        return
    out.print(*_summary(result.checkpoint))
    out.print(f"wrote {result.path}")


def _summary(found: Checkpoint) -> list[str]:
    """The integer accuracies before and after, on validation and test samples."""
    from sast_deploy.base.text import percent

    metrics, test = found.metrics, found.metrics["test"]
    start = metrics["finetuned"]["validation_integer_accuracy"]
    rows = [
        f"integer accuracy on {metrics['validation_samples']} validation samples: "
        f"{percent(start)} -> {percent(metrics['validation_integer_accuracy'])} "
        f"(epoch {metrics['epoch']} of {metrics['epochs']})",
        f"integer accuracy on {test['samples']} test samples: "
        f"{percent(test['integer_start'])} -> {percent(test['integer'])}",
    ]
    if metrics["epoch"] == 0:
        rows.append("no epoch was better: the weights are those it started from")
    return rows
