"""What `compile --calibrate` adds: the checkpoint's own training samples, and what each step gained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.text import percent
from sast_deploy.commands.loading import load_test_split

if TYPE_CHECKING:
    from sast_deploy.calibration import Calibrated, Score
    from sast_deploy.compiler.floatnet import FloatNetwork
    from sast_deploy.data import FrameSet
    from sast_deploy.program.profile import Profile
    from sast_deploy.show.blocks import Out
    from sast_deploy.training.checkpoint import Checkpoint


def load_calibration(
    path: Path, trained: Checkpoint, dataset: str, data: dict[str, Any], out: Out
) -> FrameSet:
    """The samples to calibrate with. data: data_root, holdout, holdout_seed, cache_dir. Raises DataError."""
    found = load_test_split(path, trained.data, trained.frames, dataset, **data)
    out.print(f"calibration data: training samples of {found.info.provenance}")
    if found.info.unlike(trained.data):
        out.print(
            "WARNING: not the frames it was trained on: validation samples may be training samples",
        )
    return found


def calibrate_checkpoint(
    trained: Checkpoint,
    network: FloatNetwork,
    profile: Profile,
    name: str,
    data: FrameSet,
    steps: tuple[str, ...],
    seed: int,
    out: Out,
) -> tuple[Calibrated, dict[str, Any]]:
    """The calibrated network, and the record of it that the .net file keeps.

    Fitted to the samples that the checkpoint was trained on, judged on those that its training held out for
    validation; the test split is not looked at. data: `load_calibration`.

    Raises CheckpointError: a checkpoint that does not record its validation part.
    """
    from sast_deploy.calibration import calibrate
    from sast_deploy.calibration.parts import calibration_samples

    fit, choose = calibration_samples(trained, data, seed)
    result = calibrate(network, profile, name, fit, choose, steps=steps, seed=seed)
    unlike = data.info.unlike(trained.data)
    record = {"data": data.info.to_dict(), "unlike_training": unlike, **result.to_dict()}
    return result, record


def print_steps(result: Calibrated, out: Out) -> None:
    """One row per step: accuracy and loss on the judging samples, before and with it; whether it stays."""
    from sast_deploy.show.blocks import Table

    rows = []
    for step in result.steps:
        before, after = _cells(step.before), ("refused", "") if step.after is None else _cells(step.after)
        cells = (before[0], after[0], before[1], after[1], "yes" if step.kept else "no")
        rows.append((step.name, step.description, *cells, f"{step.seconds:.1f}"))
    title = f"calibration: fitted to {result.fitted:,} samples, judged on {result.chosen:,} others"
    columns = ("step", "what it does", "accuracy", "with it", "loss", "with it", "kept", "s")
    out.print(Table(title, columns, tuple(rows)))
    out.print(
        f"the trained network with hard spikes: {percent(result.wanted)} on these samples; the loss, "
        "which decides, is how far the integers' answers are from its own"
    )
    for step in result.steps:
        if step.refused:
            out.print(f"warning: step {step.name} was refused: {step.refused}")


def _cells(score: Score) -> tuple[str, str]:
    return percent(score.accuracy), f"{score.loss:.4g}"
