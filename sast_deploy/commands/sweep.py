"""`sast-deploy sweep`: a grid of trainings and measurements, resumable and parallel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer, terminal
from sast_deploy.commands.command import command
from sast_deploy.commands.options import COUNT, OUTPUT, PATH, console, refuse_ignored
from sast_deploy.commands.study_schema import SCHEMA

if TYPE_CHECKING:
    from sast_deploy.show.blocks import Out
    from sast_deploy.studies.sweep.jobs import Workers
    from sast_deploy.studies.sweep.study import Study
    from sast_deploy.studies.sweep.sweep import Outcome


@command(
    "sweep", "A grid of trainings and measurements, resumable.",
    "sast-deploy sweep examples/paper-smoke.toml --dry-run",
    "sast-deploy sweep examples/paper-nmnist.toml --data-root data --jobs 4",
    help="Run every training and measurement of the grid in STUDY that is not finished yet.\n\n"
    "Killed at any moment and started again it repeats nothing that was finished and continues a training "
    "after its last finished epoch. Exit code 4 if a run failed; the others are finished all the "
    f"same.\n{SCHEMA}",
)
@click.argument("study", type=PATH)
@click.option("-o", "--output", type=OUTPUT, help="Folder of the runs; default: runs/<study's name>")
@click.option("--jobs", type=COUNT, help="Processes; default: one for each processor.")
@click.option("--ray", "address", metavar="auto|ADDRESS", help="On a Ray cluster; local: started here.")
@click.option("--data", metavar="NAME", help="The whole grid on this data set instead of its own.")
@click.option("--data-root", type=PATH, help="Folder of the recordings, where the study names none.")
@click.option("--dry-run", is_flag=True, help="Only say what is left to do.")
def sweep_command(
    study: Path,
    output: Path | None,
    jobs: int | None,
    address: str | None,
    data: str | None,
    data_root: Path | None,
    dry_run: bool,
) -> int:
    """See `help` above."""
    from sast_deploy.base.outputs import check_output_folder
    from sast_deploy.base.progress import observe
    from sast_deploy.studies.sweep.study import load_study
    from sast_deploy.studies.sweep.sweep import plan, sweep

    if dry_run:
        refuse_ignored(("jobs", "address"), "with --dry-run, which starts nothing")
    wanted = load_study(study, data=data, data_root=data_root)
    runs = output or Path("runs") / wanted.name
    out = console()
    if dry_run:
        missing = plan(wanted, runs)
        _print_plan(wanted, missing, runs, out)
        done = sum(not stages for stages in missing.values())
        answer({"folder": runs, "runs": len(missing), "finished": done, "missing": missing, "failures": {}})
        return 0
    check_output_folder(runs)
    workers = _workers(address, jobs)
    with observe(terminal(out)):
        outcome = sweep(wanted, runs, workers)
    answer({
        "folder": runs, "runs": len(wanted.runs), "finished": outcome.finished, "missing": {},
        "failures": outcome.failures,
    })  # fmt: skip
    return _print_outcome(outcome, wanted, runs, out)


def _workers(address: str | None, jobs: int | None) -> Workers:
    if address is None:
        from sast_deploy.studies.sweep.workers import LocalWorkers

        return LocalWorkers(jobs or len(os.sched_getaffinity(0)))
    from sast_deploy.studies.sweep.raycluster import RayWorkers

    return RayWorkers(address, jobs)


def _print_plan(study: Study, missing: dict[str, tuple[str, ...]], runs: Path, out: Out) -> None:
    for name, stages in missing.items():
        out.print(f"{name}: {', '.join(stages) if stages else 'finished'}")
    passes = sum(run.passes for run in study.runs if missing[run.name][:1] == ("train",))
    todo = sum(map(bool, missing.values()))
    out.print(f"{runs}: {todo} of {len(study.runs)} runs to do, {passes} passes over training data")


def _print_outcome(outcome: Outcome, study: Study, runs: Path, out: Out) -> int:
    for name, reason in outcome.failures.items():
        out.print(f"FAILED {name}: {reason}")
    before = f", {outcome.before} of them before" if outcome.before else ""
    out.print(f"{runs}: {outcome.finished} of {len(study.runs)} runs finished{before}")
    if outcome.finished:
        out.print(f"their tables: sast-deploy tables {runs}")
    return Exit.RUNS_FAILED if outcome.failures else Exit.OK
