"""`sast-deploy evaluate`: surrogate accuracy, hard-spike accuracy and the transfer gap."""

from __future__ import annotations

from pathlib import Path

import click

from sast_deploy.commands.loading import load_test_split
from sast_deploy.commands.options import PATH, Command, console, data_options, example


@click.command(
    "evaluate",
    cls=Command,
    short_help="Surrogate accuracy, hard-spike accuracy, transfer gap.",
    epilog=example("sast-deploy evaluate runs/sast/ckpt.pt"),
)
@click.argument("checkpoint", type=PATH)
@data_options(None)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate_command(
    checkpoint: Path,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    device: str,
) -> None:
    """Measure CHECKPOINT on its test split: smooth spikes, hard spikes, and what the swap costs."""
    from sast_deploy.show.evaluation import evaluation_table
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.checkpoint import load_checkpoint
    from sast_deploy.training.evaluate import evaluate
    from sast_deploy.training.surrogate_tails import tail_warning

    pick_device(device)
    trained = load_checkpoint(checkpoint)
    data = load_test_split(
        checkpoint, trained.data, trained.frames, dataset, data_root, holdout, holdout_seed, cache_dir
    )
    result = evaluate(trained, data.test, device=device)
    out = console()
    out.print(f"{checkpoint}: test split of {data.info.provenance}")
    unlike = data.info.unlike(trained.data)
    if unlike:
        out.print(f"WARNING: {unlike}")
    out.print(evaluation_table(result))
    warning = tail_warning(trained.recipe, result.surrogate_rates, result.hard_rates)
    if warning:
        out.print(warning)
