"""`sast-deploy finetune`: train a checkpoint on with a profile's integers in its forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import (
    PATH,
    SEED,
    Finite,
    console,
    gathered,
    option,
    refuse_ignored,
    titled,
)
from sast_deploy.commands.shared import DEVICE, data_options
from sast_deploy.commands.training import (
    CHANGES,
    changed,
    claim,
    parse_changes,
    training_facts,
    training_output,
    written,
)

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "finetune", "Train on with a profile's integers in the forward pass.",
    "sast-deploy finetune runs/sast/ckpt.pt --profile loihi-int4 -o runs/sast-int4/ckpt.pt",
)
@click.argument("checkpoint", type=PATH)
@titled(
    "Hardware",
    option("--profile", "profile_name", default="loihi-int4", show_default=True, help="Name, or a .toml."),
)
@data_options(None)
@gathered(
    "values", dict, "Recipe",
    option("--epochs", type=int, help="Passes over the training samples; default 10."),
    option("--lr", type=float, help="Adam's learning rate; default 0.001."),
    option("--rho", type=float, help="SAM radius; default 0, without SAM."),
    option("--batch", type=int, help="Minibatch. Default: what it was trained with."),
    CHANGES,
)  # fmt: skip
@gathered(
    "integers", dict, "Integers",
    option("--k", type=Finite(0, min_open=True), help="Slope of the gradient; default 3."),
    option("--clip", type=Finite(min=0),
           help="Weights stay within so many times their clipping points of least squared error; default 1; "
           "0: anywhere."),
)  # fmt: skip
@titled(
    "Run",
    option("--seed", type=SEED, default=0, show_default=True, help="Of order and augmentation."),
    DEVICE,
)
@training_output(help="Default: runs/<name>-<profile>/ckpt.pt")
def finetune_command(
    checkpoint: Path,
    profile_name: str,
    data: DataRequest,
    values: dict[str, Any],
    integers: dict[str, Any],
    output: Path | None,
    **run: Any,
) -> None:
    """Train CHECKPOINT on so that its integers for a profile lose nothing; write a checkpoint.

    The forward pass computes what the compiled program computes. Minibatches, augmentation and loss are
    those that CHECKPOINT was trained with; --epochs, --lr, --rho, --k and --clip have defaults of their own.
    """
    from sast_deploy.base.files import file_digest
    from sast_deploy.data.request import load_recorded
    from sast_deploy.finetuning import FINETUNE, finetune
    from sast_deploy.program.profile import load_profile
    from sast_deploy.show.evaluation import finetuning_lines
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.checkpoint import load_checkpoint, to_float_network

    if run["resume"]:
        refuse_ignored(["overwrite"], "with --resume", "give one of them")
    pick_device(run["device"])
    profile, trained = load_profile(profile_name), load_checkpoint(checkpoint)
    path = output or Path("runs") / f"{trained.name}-{profile.name}" / "ckpt.pt"
    named = {key: value for key, value in integers.items() if value is not None}
    recipe = changed(replace(FINETUNE, **named).recipe(trained.recipe), values)
    if "k_start" in parse_changes(values["changes"]):
        raise UsageError("--set k_start changes nothing here", todo="the slope is --k all the time")
    claim(path, run, inputs=(checkpoint, Path(profile_name)))
    found, out = load_recorded(checkpoint, trained.data, trained.frames, data), console()
    out.print(f"{checkpoint} -> {profile.name}; data: {found.info.provenance}")
    out.print(*found.info.warning(trained.data))
    network = to_float_network(trained)
    rules = profile.obeying(network.reset_order).arithmetic
    for before, now in ((network.reset, rules.reset), (network.reset_order, rules.reset_order)):
        if before != now:
            out.print(f"note: trained with reset {before!r}; from here on with the profile's, {now!r}")
            break
    result = finetune(trained, profile, found, recipe, path, source=file_digest(checkpoint), **run)
    if not result.already_finished:
        out.print(*finetuning_lines(result.checkpoint))
    out.print(written(result.path, result.already_finished))
    answer(training_facts(result))
