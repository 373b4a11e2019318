"""What `sweep` and `characterize` share: where runs are done and kept, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.errors import Exit
from sast_deploy.commands.options import COUNT, OUTPUT, PATH, console, gathered, option, refuse_ignored
from sast_deploy.commands.shared import DOWNLOAD

if TYPE_CHECKING:
    from sast_deploy.studies.sweep.jobs import Workers
    from sast_deploy.studies.sweep.study import Study
    from sast_deploy.studies.sweep.sweep import Outcome


@dataclass(frozen=True)
class Runs:
    """output: folder of the runs, None for runs/NAME. jobs, address: where they are done."""

    output: Path | None
    jobs: int | None
    address: str | None
    data_root: Path | None
    download: bool
    dry_run: bool

    def __post_init__(self) -> None:
        """Refuse what a dry run ignores. Raises UsageError."""
        if self.dry_run:
            refuse_ignored(("jobs", "address", "download"), "with --dry-run, which starts nothing")

    def folder(self, study: Study) -> Path:
        """Where the study's runs are."""
        return self.output or Path("runs") / study.name


sweep_options = gathered(
    "where", Runs, "Runs",
    option("-o", "--output", type=OUTPUT, help="Folder of the runs; default: runs/<study's name>"),
    option("--jobs", type=COUNT, help="Processes; default: one for each processor."),
    option("--ray", "address", metavar="auto|ADDRESS", help="On a Ray cluster; local: started here."),
    option("--data-root", type=PATH, help="Folder of the recordings, where the study names none."),
    DOWNLOAD,
    option("--dry-run", is_flag=True, help="Only say what is left to do."),
)  # fmt: skip


def do_runs(
    study: Study, where: Runs, begins: Callable[[], object] | None = None
) -> tuple[dict[str, Any], Exit]:
    """Do what is missing, or only say what that is; the facts for --json, and the exit code.

    begins: see `sweep`.
    """
    from sast_deploy.base.outputs import check_output_folder
    from sast_deploy.studies.sweep.sweep import plan, sweep

    runs, failures = where.folder(study), {}
    if where.dry_run:
        missing = plan(study, runs)
        _print_plan(study, missing, runs)
        done = sum(not stages for stages in missing.values())
    else:
        check_output_folder(runs)
        outcome = sweep(study, runs, _workers(where), where.download, begins)
        _print_outcome(outcome, study, runs)
        missing, done, failures = {}, outcome.finished, outcome.failures
    facts = {
        "folder": runs, "runs": len(study.runs), "finished": done, "missing": missing, "failures": failures,
    }  # fmt: skip
    return facts, Exit.RUNS_FAILED if failures else Exit.OK


def _workers(where: Runs) -> Workers:
    if where.address is None:
        from sast_deploy.studies.sweep.workers import LocalWorkers

        return LocalWorkers(where.jobs or len(os.sched_getaffinity(0)))
    from sast_deploy.studies.sweep.raycluster import RayWorkers

    return RayWorkers(where.address, where.jobs)


def _print_plan(study: Study, missing: dict[str, tuple[str, ...]], runs: Path) -> None:
    out = console()
    for name, stages in missing.items():
        out.print(f"{name}: {', '.join(stages) if stages else 'finished'}")
    passes = sum(run.passes for run in study.runs if missing[run.name][:1] == ("train",))
    todo = sum(map(bool, missing.values()))
    out.print(f"{runs}: {todo} of {len(study.runs)} runs to do, {passes} passes over training data")


def _print_outcome(outcome: Outcome, study: Study, runs: Path) -> None:
    out = console()
    for name, reason in outcome.failures.items():
        out.print(f"FAILED {name}: {reason}")
    before = f", {outcome.before} of them before" if outcome.before else ""
    out.print(f"{runs}: {outcome.finished} of {len(study.runs)} runs finished{before}")
