"""What calibration looks at: samples of a checkpoint's own training split, or arrays of somebody's own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.calibration.parts import calibration_samples
from sast_deploy.calibration.samples import Samples
from sast_deploy.calibration.steps import STEPS, Calibrated, calibrate
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.data import FrameSet
from sast_deploy.data.request import DataRequest, load_recorded
from sast_deploy.data.split import stratified_split
from sast_deploy.program.profile import Profile
from sast_deploy.training.checkpoint import Checkpoint

Arrays = tuple[npt.ArrayLike, npt.ArrayLike]  # frames, labels
CalibrationData = DataRequest | FrameSet | Arrays


def calibrate_on(
    data: CalibrationData,
    network: FloatNetwork,
    trained: Checkpoint | None,
    profile: Profile,
    name: str,
    *,
    steps: Collection[str] | None,
    seed: int,
) -> tuple[Calibrated, dict[str, Any]]:
    """The calibrated network, and the record of it that a .net file keeps.

    Of a checkpoint's data set: fitted to the samples that it was trained on, judged on those that its
    training held out for validation; the test split is not looked at. Of arrays: half of each class judges.

    Raises:
        UsageError: a data set for a network without a checkpoint. CheckpointError: a checkpoint that does not
            record its validation part. DataError: data that do not fit.
    """
    if isinstance(data, tuple):
        fit, choose, facts = _halves(network, *data, seed)
    elif trained is None:
        raise UsageError("calibration on a data set, without a checkpoint", expected="(frames, labels)")
    else:
        if isinstance(data, DataRequest):
            data = load_recorded(trained.name, trained.data, trained.frames, data)
        fit, choose = calibration_samples(trained, data, seed)
        facts = {"data": data.info.to_dict(), "unlike_training": data.info.unlike(trained.data)}
    wanted = STEPS if steps is None else steps
    result = calibrate(network, profile, name, fit, choose, steps=wanted, seed=seed)
    return result, {**facts, **result.to_dict()}


def _halves(
    network: FloatNetwork, frames: npt.ArrayLike, labels: npt.ArrayLike, seed: int
) -> tuple[Samples, Samples, dict[str, Any]]:
    array, truth = np.asarray(frames), np.asarray(labels)
    wanted = (network.steps, *network.input_shape)
    if array.dtype != np.uint8 or array.shape[1:] != wanted or truth.shape != array.shape[:1]:
        found = f"{array.dtype} {array.shape} with labels {truth.shape}"
        raise DataError(found, where="calibration", expected=f"uint8 (samples, {wanted}), a label each")
    first, second = stratified_split(truth.astype(np.int64), 0.5, seed)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    facts = {"data": {"requested": "arrays", "dataset": "arrays", "frame_digest": digest}}
    return *(Samples(array[part], truth[part]) for part in (first, second)), facts  # type: ignore[return-value]
