"""The sweep itself: what is left to do goes to workers until nothing is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import Exit, OutputError, SastError
from sast_deploy.base.outputs import check_output
from sast_deploy.studies.sweep.choices import DataChoice
from sast_deploy.studies.sweep.display import Display
from sast_deploy.studies.sweep.folder import (
    PLAN_FILE,
    PLANNED,
    RunFolder,
    planned_runs,
    read_json,
    write_json,
)
from sast_deploy.studies.sweep.frames import load_choice, unclipped_choice
from sast_deploy.studies.sweep.jobs import BUSY, FAILED, STAGE, Job, Workers
from sast_deploy.studies.sweep.measures import Stage
from sast_deploy.studies.sweep.schema import PLAN
from sast_deploy.studies.sweep.study import Run, Study

POLL_SECONDS = 0.5
PLAN_TRIES = 5
BUSY_SECONDS = 5.0  # before another sweep's run is asked for again


class SweepInterruptedError(SastError):
    """Ctrl-C or SIGTERM: what is finished stays, the rest continues next time."""

    exit_code = Exit.INTERRUPTED


@dataclass(frozen=True)
class Outcome:
    """finished: runs that are complete now, `before` of them at the start. failures: reasons by run."""

    finished: int
    before: int
    failures: dict[str, str]


def plan(study: Study, runs: Path) -> dict[str, tuple[str, ...]]:
    """What a study still needs: stages by run, in order; none of a run that is finished.

    Raises TrainingError, OutputError as `RunFolder.refuse_another`.
    """
    missing: dict[str, tuple[str, ...]] = {}
    for run in study.runs:
        folder = RunFolder(runs, run)
        folder.refuse_another()
        missing[run.name] = () if folder.is_finished() else folder.missing() or ("results",)
    return missing


def sweep(
    study: Study, runs: Path, workers: Workers, download: bool = False,
    begins: Callable[[], object] | None = None,
) -> Outcome:  # fmt: skip
    """Do everything that is missing; one failing run stops no other.

    download: fetch recordings that are nowhere. begins: called when all data are there, before anything is
    written.

    Raises SweepInterruptedError; TrainingError, OutputError as `plan`, and for a study.json of somebody
    else's; DataError for data that cannot be loaded.
    """
    _check_plan(study, runs)
    missing = plan(study, runs)
    todo = [run for run in study.runs if missing[run.name]]
    for choice in _frames_of(todo):
        load_choice(choice, download)  # into the cache, once, before the workers all want it
    load_choice.cache_clear()
    if begins is not None:
        begins()
    _note_plan(study, runs)
    before = len(study.runs) - len(todo)
    try:
        with Display(todo, runs, before) as display:
            failures = _work(study, todo, runs, workers, display)
    except KeyboardInterrupt:
        raise SweepInterruptedError("interrupted", todo="the same command continues") from None
    finally:
        workers.close()
    return Outcome(len(study.runs) - len(failures), before, failures)


def _frames_of(todo: list[Run]) -> list[DataChoice]:
    """Every set of frames that the runs need, each once."""
    found: dict[DataChoice, None] = {}
    for run in todo:
        found[run.data] = None
        if Stage("analysis", "drop") in run.stages:
            found[unclipped_choice(run.data)] = None
    return list(found)


def _note_plan(study: Study, runs: Path) -> None:
    """Write down which runs there will be, beside those of earlier studies: tables show what is missing.

    Raises OutputError.
    """
    for left in reversed(range(PLAN_TRIES)):
        planned = _check_plan(study, runs)
        try:
            write_json(runs / PLAN_FILE, {"runs": planned})
            return
        except OutputError:  # another sweep has just added its own
            if not left:
                raise


def _check_plan(study: Study, runs: Path) -> dict[str, Any]:
    """The runs that there will be. Raises OutputError: study.json is there, and no sweep's."""
    path = runs / PLAN_FILE
    known = (read_json(path, PLAN) or {}).get("runs", {})
    planned = {**known, **{run.name: run.config for run in study.runs}}
    check_output(path, PLANNED, planned_runs(planned))
    return planned


def _work(study: Study, todo: list[Run], runs: Path, workers: Workers, display: Display) -> dict[str, str]:
    """Hand out runs and listen until all are finished; the failures."""
    waiting, failures = deque((0.0, run) for run in todo), {}
    by_name = {run.name: run for run in todo}
    at_work: set[str] = set()
    while waiting or at_work:
        while workers.free() and waiting and waiting[0][0] <= time.monotonic():
            run = waiting.popleft()[1]
            workers.start(Job(run, runs, study.check, study.device))
            at_work.add(run.name)
            display.started(run.name)
        if not at_work:
            time.sleep(POLL_SECONDS)
        for event in workers.poll(POLL_SECONDS) if at_work else ():
            display.show(event)
            if event.kind == STAGE:
                continue
            at_work.remove(event.run)
            if event.kind == BUSY:
                waiting.append((time.monotonic() + BUSY_SECONDS, by_name[event.run]))
            elif event.kind == FAILED:
                failures[event.run] = event.text
        display.refresh()
    return failures
