"""One run from its first missing stage to results.json."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from sast_deploy.base.errors import BusyError, OutputError, SastError, TrainingError
from sast_deploy.base.files import write_text
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.text import percent
from sast_deploy.base.versions import missing_package, package_versions
from sast_deploy.data import FrameSet
from sast_deploy.studies.sweep.folder import LOG_HEAD, RunFolder, write_json
from sast_deploy.studies.sweep.frames import load_choice
from sast_deploy.studies.sweep.jobs import BUSY, FAILED, FINISHED, Job
from sast_deploy.studies.sweep.measures import TRAINING
from sast_deploy.studies.sweep.provenance import code_version
from sast_deploy.studies.sweep.stages import Measuring
from sast_deploy.studies.sweep.study import Run
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint
from sast_deploy.training.train import train

LOG_BYTES = 64 << 20
Report = Callable[[str], None]


def execute(job: Job, report: Report) -> tuple[str, str]:
    """Do what is missing of a run; (FINISHED, a line of results), (BUSY, why) or (FAILED, why).

    `report` is told the name of every stage as it begins. A stage that fails does not stop the others;
    its traceback goes to error.log in the run's folder.
    """
    folder = RunFolder(job.runs, job.run)
    printed = io.StringIO()  # what the parts say would break the parent's display
    try:
        with folder.lock(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                folder.refuse_another()
            except SastError as error:  # nothing is noted in such a folder
                return FAILED, str(error)
            failures = _execute(job, folder, report)
        if failures:
            return FAILED, "; ".join(failures)
        return FINISHED, summary(folder.assemble())
    except BusyError as error:
        return BUSY, str(error)
    except Exception as error:
        return FAILED, _note(folder, error)
    finally:
        if printed.getvalue().strip():
            with contextlib.suppress(SastError):
                write_text(folder.output, LOG_HEAD + printed.getvalue())


def _execute(job: Job, folder: RunFolder, report: Report) -> list[str]:
    if folder.is_finished():
        return []
    folder.errors.unlink(missing_ok=True)
    report("data")
    data = load_choice(job.run.data)
    checkpoint = _trained(job, folder, data, report)
    _refuse_other_data(checkpoint, data, folder)
    measuring = Measuring(checkpoint, data, job, folder.path)
    failures = []
    for stage in job.run.stages:
        if folder.is_done(stage, folder.checkpoint_digest()):
            continue
        report(stage.key)
        start = time.perf_counter()
        try:
            result = measuring.measure(stage)
        except Exception as error:
            failures.append(f"{stage.key}: {_note(folder, error)}")
            continue
        folder.write_record(stage, result, time.perf_counter() - start)
    write_json(folder.results, folder.assemble())
    return failures


def _trained(job: Job, folder: RunFolder, data: FrameSet, report: Report) -> Checkpoint:
    """The checkpoint: the finished one, or trained from the last finished epoch on."""
    run, files = job.run, folder.training
    if folder.is_done(TRAINING, folder.checkpoint_digest()):
        return load_checkpoint(files.checkpoint)
    _write_manifest(run, folder, data)
    report(TRAINING.key)
    spec = run.network.spec(data.sensor, len(data.info.classes))
    begun = files.resume.exists() or files.checkpoint.exists()
    result = train(
        spec, run.recipe.recipe, data, files.checkpoint, seed=run.seed, validation=run.validation,
        device=job.device, resume=begun, overwrite=not begun,
    )  # fmt: skip
    metrics = dict(result.checkpoint.metrics)
    folder.write_record(TRAINING, training_facts(metrics), metrics["seconds"])
    return result.checkpoint


def _refuse_other_data(checkpoint: Checkpoint, data: FrameSet, folder: RunFolder) -> None:
    unlike = data.info.unlike(checkpoint.data)
    if unlike:
        raise TrainingError(
            f"the data in {data.info.root} are others than it was trained on: {unlike}", where=folder.path,
            expected=f"frames {checkpoint.data.frame_digest[:16]}...", todo="choose another -o",
        )  # fmt: skip


def training_facts(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the tables need to know of a training; figures that an older trainer did not take are absent."""
    keys = (
        "seconds", "epochs", "epoch", "step_ms", "peak_memory_mb", "device", "training_samples",
        "validation_samples", "validation_surrogate_accuracy", "validation_hard_accuracy",
    )  # fmt: skip
    return {key: metrics[key] for key in keys if key in metrics}


def _write_manifest(run: Run, folder: RunFolder, data: FrameSet) -> None:
    manifest = {
        "config": run.config, "data": data.info.to_dict(), "seeds": {"train": run.seed},
        "code": code_version(), "packages": package_versions(), "processors": os.cpu_count(),
    }  # fmt: skip
    write_json(folder.manifest, manifest)


def _note(folder: RunFolder, error: Exception) -> str:
    """The reason in one line; the traceback goes to error.log."""
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(SastError, OSError):
        before = LOG_HEAD.encode()
        if folder.errors.is_file():
            before = read_bytes(folder.errors, Expected("a log", OutputError), LOG_BYTES)
        write_text(folder.errors, before.decode(errors="replace") + text)
    if isinstance(error, ImportError):
        error = missing_package(error)
    if isinstance(error, SastError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())} (see {folder.errors})"


def summary(results: dict[str, Any]) -> str:
    """One line of a run's accuracies."""
    parts = [f"{kind} {percent(results['float'][kind])}" for kind in ("surrogate", "hard")]
    parts += [f"{name} {percent(found['accuracy'])}" for name, found in results["profiles"].items()]
    return ", ".join(parts)
