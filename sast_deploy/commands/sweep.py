"""`sast-deploy sweep`: a grid of trainings and measurements, resumable and parallel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import STUDY, datasets
from sast_deploy.commands.options import console, option, titled
from sast_deploy.commands.study_schema import SCHEMA
from sast_deploy.commands.sweeping import do_runs, sweep_options

if TYPE_CHECKING:
    from sast_deploy.commands.sweeping import Runs


@command(
    "sweep", "A grid of trainings and measurements, resumable.",
    "sast-deploy sweep examples/paper-smoke.toml --dry-run",
    "sast-deploy sweep examples/paper-nmnist.toml --data-root data --jobs 4",
    help="Run every training and measurement of the grid in STUDY that is not finished yet.\n\n"
    "Killed at any moment and started again it repeats nothing that was finished and continues a training "
    "after its last finished epoch. Exit code 4 if a run failed; the others are finished all the "
    f"same.\n{SCHEMA}",
)
@click.argument("study", type=STUDY)
@titled("Runs", option(
    "--data", metavar="NAME", shell_complete=datasets, help="The whole grid on this data set, not its own."
))  # fmt: skip
@sweep_options
def sweep_command(study: Path, data: str | None, where: Runs) -> Exit:
    """See `help` above."""
    from sast_deploy.studies.sweep.study import load_study

    wanted = load_study(study, data=data, data_root=where.data_root)
    facts, code = do_runs(wanted, where)
    if facts["finished"] and not where.dry_run:
        console().print(f"their tables: sast-deploy tables {facts['folder']}")
    answer(facts)
    return code
