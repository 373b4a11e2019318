"""Fine-tuning a checkpoint: what of it the result depends on, and its way through the loop."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from sast_deploy.base.errors import UsageError
from sast_deploy.calibration.data import validation_share
from sast_deploy.data import FrameSet
from sast_deploy.finetuning.recipe import FineRecipe
from sast_deploy.finetuning.trainer import FineTrainer
from sast_deploy.program.profile import Profile
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.loop import Loop, TrainResult
from sast_deploy.training.state import RunFiles, data_setting


def finetune(
    checkpoint: Checkpoint,
    profile: Profile,
    data: FrameSet,
    recipe: FineRecipe,
    out: Path,
    *,
    seed: int = 0,
    source: str = "",
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Train `checkpoint` on with the integers of `profile` in its forward pass; write the checkpoint `out`.

    Before the first epoch and after each, the compiled program is run on the samples that the checkpoint's
    own training set aside; the highest accuracy decides (ties: the later epoch), so that the result is
    never worse on them than the start. Compiling it for `profile` gives the program that was chosen; the
    new checkpoint's reset is the profile's, whatever it was before, as it was trained with that. Learned
    thresholds and leaks stay as they are. The test split decides nothing; start and result are measured on
    it once, at the end.

    recipe: as `FINETUNE.recipe(checkpoint.recipe)`. seed: of minibatches and augmentation. source: digest of
    the checkpoint's file, for the record. Files, `resume` and `overwrite`: as for `train`.

    Raises:
        UsageError: other frames than the network's, a negative seed, an unknown device.
        CheckpointError: a checkpoint that does not say which samples it was validated on.
        CompileError: a checkpoint that does not compile for the profile.
        TrainingError, TrainingInterruptedError: as `train`.

    >>> from sast_deploy.finetuning import FINETUNE
    >>> profile, recipe = sast.load_profile("loihi-int2"), FINETUNE.recipe(trained.recipe).replace(epochs=1)
    >>> sast.finetune(trained, profile, data, recipe, Path("tuned/ckpt.pt")).path
    PosixPath('tuned/ckpt.pt')
    """
    validation = validation_share(checkpoint)
    wanted = (checkpoint.frames.steps, *checkpoint.network.input_shape)
    if data.train.frames.shape[1:] != wanted or data.info.classes != checkpoint.data.classes:
        raise UsageError(
            f"frames of shape {data.train.frames.shape[1:]} in {len(data.info.classes)} classes",
            where="fine-tuning",
            expected=f"{wanted} in the network's {len(checkpoint.data.classes)}",
        )
    start = {"start": weights_digest(checkpoint), "start.seed": checkpoint.seeds["train"]}
    target = {"profile": profile.name, "profile.digest": profile.digest}
    own = {"backward_k": recipe.k, "clip": recipe.clip, "seed": seed, "validation": validation}
    training = {**recipe.training.to_dict(), **own}
    setting = {**checkpoint.network.to_dict(), **data_setting(data), **start, **target, **training}
    loop = Loop(RunFiles(Path(out)), setting, resume, overwrite)
    return loop.run(partial(FineTrainer, checkpoint, profile, recipe, data, seed, device, source))


def weights_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 over the names, shapes and float32 values of a checkpoint's weights."""
    sha = hashlib.sha256()
    for key, value in sorted(checkpoint.state.items()):
        sha.update(f"{key}{list(value.shape)}".encode())
        sha.update(np.ascontiguousarray(value, "<f4").tobytes())
    return sha.hexdigest()
