"""`sast-deploy evaluate`: surrogate accuracy, hard-spike accuracy and the transfer gap."""

from __future__ import annotations

from pathlib import Path

import click

from sast_deploy.commands.options import PATH, Command, data_options, example


@click.command("evaluate", cls=Command, epilog=example("sast-deploy evaluate runs/sast/ckpt.pt"))
@click.argument("checkpoint", type=PATH)
@data_options(None)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate_command(
    checkpoint: Path,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    device: str,
) -> None:
    """Measure CHECKPOINT on its test split: smooth spikes, hard spikes, and what the swap costs."""
    raise NotImplementedError
