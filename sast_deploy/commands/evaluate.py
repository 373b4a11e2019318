"""`sast-deploy evaluate`: surrogate accuracy, hard-spike accuracy and the transfer gap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import PATH, console, titled
from sast_deploy.commands.shared import DEVICE, data_options

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "evaluate", "Surrogate accuracy, hard-spike accuracy, transfer gap.",
    "sast-deploy evaluate runs/sast/ckpt.pt",
)
@click.argument("checkpoint", type=PATH)
@data_options(None)
@titled("Run", DEVICE)
def evaluate_command(checkpoint: Path, data: DataRequest, device: str) -> None:
    """Measure CHECKPOINT on its test split: smooth spikes, hard spikes, and what the swap costs.

    A network that import wrote has hard spikes alone.
    """
    from sast_deploy.api import load_trained
    from sast_deploy.calibration.data import own_recordings
    from sast_deploy.data.request import load_recorded
    from sast_deploy.exchange.network import ImportedNetwork
    from sast_deploy.reports.accuracy import Accuracy
    from sast_deploy.reports.run import interval_of
    from sast_deploy.show.evaluation import evaluation_table, imported_table
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.evaluate import evaluate, tail_warning

    pick_device(device)
    trained = load_trained(checkpoint)
    own, frames = own_recordings(trained)
    found = load_recorded(checkpoint, own, frames, data)
    out = console()
    out.print(f"{checkpoint}: test split of {found.info.provenance}")
    out.print(*found.info.warning(own))
    if isinstance(trained, ImportedNetwork):
        hard = trained.evaluate(found.test)
        out.print(imported_table(hard))
        out.print("no smooth spikes to compare with: it was imported, and its surrogate is not known")
        answer({
            "data": found.info, "samples": hard.accuracy.samples, "hard": interval_of(hard.accuracy),
            "hard_rates": hard.rates, "surrogate": None, "surrogate_rates": None, "transfer_gap": None,
            "warning": None, "seconds": hard.seconds,
        })  # fmt: skip
        return
    result = evaluate(trained, found.test, device=device)
    out.print(evaluation_table(result))
    warning = tail_warning(trained.recipe, result.surrogate_rates, result.hard_rates)
    if warning:
        out.print(warning)
    shares = {
        name: interval_of(Accuracy(correct, result.samples))
        for name, correct in (("hard", result.hard_correct), ("surrogate", result.surrogate_correct))
    }
    answer({
        "data": found.info, "samples": result.samples, **shares, "hard_rates": result.hard_rates,
        "surrogate_rates": result.surrogate_rates, "transfer_gap": result.transfer_gap,
        "warning": warning, "seconds": result.seconds,
    })  # fmt: skip
