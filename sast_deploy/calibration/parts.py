"""The parts of a checkpoint's training split: what it was fitted to, and what its training held out."""

from __future__ import annotations

from sast_deploy.base.errors import CheckpointError
from sast_deploy.calibration import Samples, draw
from sast_deploy.calibration.steps import CHOOSE_SAMPLES, FIT_SAMPLES
from sast_deploy.data import FrameSet
from sast_deploy.data.split import stratified_split
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint


def validation_share(checkpoint: Checkpoint) -> float:
    """The share of the training split that was held out.

    Raises CheckpointError: the checkpoint does not say which part that was.
    """
    share = checkpoint.metrics.get("setting", {}).get("validation")
    if not isinstance(share, float) or "train" not in checkpoint.seeds:
        raise CheckpointError(
            "does not record its validation part", where=checkpoint.name, expected="a trained checkpoint",
            todo="train it again with `sast-deploy train`",
        )  # fmt: skip
    return share


def training_parts(checkpoint: Checkpoint, data: FrameSet) -> tuple[Indices, Indices]:
    """Indices in `data.train` of the fitted and of the held-out samples: the trainer's split, by its seed.

    Raises CheckpointError as `validation_share`.
    """
    return stratified_split(data.train.labels, validation_share(checkpoint), checkpoint.seeds["train"])


def calibration_samples(checkpoint: Checkpoint, data: FrameSet, seed: int) -> tuple[Samples, Samples]:
    """What calibration is fitted to and what judges it: samples of those two parts, drawn by `seed`.

    Raises CheckpointError as `validation_share`.
    """
    train, (fitted, held) = data.train, training_parts(checkpoint, data)
    return (
        draw(train.frames, train.labels, fitted, FIT_SAMPLES, seed),
        draw(train.frames, train.labels, held, CHOOSE_SAMPLES, seed),
    )
