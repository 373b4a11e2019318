"""What calibration looks at: samples of a checkpoint's own training split, or arrays of somebody's own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CheckpointError, DataError, UsageError
from sast_deploy.base.rules import shown
from sast_deploy.calibration.samples import Samples, draw
from sast_deploy.calibration.steps import CHOOSE_SAMPLES, FIT_SAMPLES, STEPS, Calibrated, calibrate
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.data import DataInfo, FrameOptions, FrameSet
from sast_deploy.data.request import DataRequest, load_recorded
from sast_deploy.data.split import stratified_split
from sast_deploy.engines.frames import as_frames
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.program.profile import Profile
from sast_deploy.reports.inputs import checked_labels
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint

Arrays = tuple[npt.ArrayLike, npt.ArrayLike]  # frames, labels
CalibrationData = DataRequest | FrameSet | Arrays


def calibrate_on(
    data: CalibrationData,
    network: FloatNetwork,
    trained: Checkpoint | ImportedNetwork | None,
    profile: Profile,
    name: str,
    *,
    steps: Collection[str] | None,
    seed: int,
) -> tuple[Calibrated, dict[str, Any]]:
    """The calibrated network, and the record of it that a .net file keeps.

    Of a checkpoint's data set: fitted to the samples that it was trained on, judged on those that its
    training held out for validation; the test split is not looked at. Of arrays, and of the training split of
    an imported network, whose training is unknown: half of each class judges.

    Raises:
        UsageError: a data set for a network without a checkpoint. CheckpointError: a checkpoint that does not
            record its validation part, an imported network without data. DataError: data that do not fit.
    """
    if isinstance(data, tuple | list):
        if len(data) != len(get_args(Arrays)):
            raise UsageError(f"calibration on {len(data)} arrays", expected="(frames, labels)")
        fit, choose, facts = _halves(network, *data, seed)
    elif trained is None:
        raise UsageError("calibration on a data set, without a checkpoint", expected="(frames, labels)")
    else:
        if isinstance(data, DataRequest):
            data = load_recorded(trained.name, *own_recordings(trained), data)
        if not isinstance(data, FrameSet):
            found = f"calibrate = {shown(data)}"
            raise UsageError(found, expected="a DataRequest, a FrameSet or (frames, labels)")
        _check_shape(network, data)
        fit, choose = calibration_samples(trained, data, seed)
        unlike = None if trained.data is None else data.info.unlike(trained.data)
        facts = {"data": data.info.to_dict(), "unlike_training": unlike}
    wanted = STEPS if steps is None else steps
    result = calibrate(network, profile, name, fit, choose, steps=wanted, seed=seed)
    return result, {**facts, **result.to_dict()}


def _halves(
    network: FloatNetwork, frames: npt.ArrayLike, labels: npt.ArrayLike, seed: int
) -> tuple[Samples, Samples, dict[str, Any]]:
    found = np.asarray(as_frames(network, frames, "calibration"))
    if found.max(initial=0) > np.iinfo(np.uint8).max:
        raise DataError(f"counts up to {found.max()}", where="calibration", expected="at most 255")
    array, truth = found.astype(np.uint8), checked_labels(labels, len(found), len(network.classes))
    first, second = stratified_split(truth, 0.5, seed)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    facts = {"data": {"requested": "arrays", "dataset": "arrays", "frame_digest": digest}}
    return *(Samples(array[part], truth[part]) for part in (first, second)), facts  # type: ignore[return-value]


def _check_shape(network: FloatNetwork, data: FrameSet) -> None:
    wanted, found = (network.steps, *network.input_shape), data.train.frames.shape[1:]
    if found != wanted:
        raise DataError(f"frames of shape {found}", where="calibration", expected=f"{wanted}")
    if data.options.clip > network.input_max:
        expected = f"at most {network.input_max}"
        raise DataError(f"frames with clip {data.options.clip}", where="calibration", expected=expected)


def own_recordings(trained: Checkpoint | ImportedNetwork) -> tuple[DataInfo, FrameOptions]:
    """The recordings that a network was trained on, and how they became frames.

    Raises CheckpointError: it was imported without.
    """
    if trained.data is None or trained.frames is None:
        raise CheckpointError(
            "was imported without recordings", where=trained.name, expected="a data set",
            todo="import it again with --dataset, or give (frames, labels)",
        )  # fmt: skip
    return trained.data, trained.frames


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


def training_parts(checkpoint: Checkpoint | ImportedNetwork, data: FrameSet) -> tuple[Indices, Indices]:
    """Indices in `data.train` of the fitted and of the held-out samples: the trainer's split, by its seed.

    Of an imported network halves of each class.

    Raises CheckpointError as `validation_share`.
    """
    if isinstance(checkpoint, ImportedNetwork):
        return stratified_split(data.train.labels, 0.5, 0)
    return stratified_split(data.train.labels, validation_share(checkpoint), checkpoint.seeds["train"])


def calibration_samples(
    checkpoint: Checkpoint | ImportedNetwork, data: FrameSet, seed: int
) -> tuple[Samples, Samples]:
    """What calibration is fitted to and what judges it: samples of those two parts, drawn by `seed`.

    Raises CheckpointError as `validation_share`.
    """
    train, (fitted, held) = data.train, training_parts(checkpoint, data)
    return (
        draw(train.frames, train.labels, fitted, FIT_SAMPLES, seed),
        draw(train.frames, train.labels, held, CHOOSE_SAMPLES, seed),
    )
