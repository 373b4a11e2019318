"""Training a network: what of it the result depends on, and its way through the loop."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sast_deploy.base.errors import UsageError
from sast_deploy.data import FrameSet
from sast_deploy.training.loop import Loop, TrainResult
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import Recipe
from sast_deploy.training.state import RunFiles, data_setting
from sast_deploy.training.trainer import Trainer


def train(
    spec: NetworkSpec,
    recipe: Recipe,
    data: FrameSet,
    out: Path,
    *,
    seed: int = 0,
    validation: float = 0.1,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Train a network on `data.train` and write the checkpoint `out`.

    A share `validation` of the training samples, stratified and fixed by `seed`, is set aside; after each
    epoch the hard-spike accuracy on it decides whether the weights are the best so far (ties: the lower
    hard-spike loss, then the later epoch). The test split decides nothing; the chosen
    weights are measured on it once, at the end. With `prune`, only epochs count in which the last neuron is
    gone.

    Beside `out`: metrics.jsonl, one line per epoch, and resume.pt while unfinished. Nothing that exists is
    replaced unless `overwrite`, and then the old checkpoint stays until the new one is complete. `resume`
    continues after the last finished epoch, bit-identically on the same machine; if the training is finished
    already it returns that.

    Raises:
        UsageError: a validation share outside (0, 1), a negative seed, an unknown device, frames of another
            shape than the network's.
        TrainingError: existing output, a resume that does not fit, a loss that is not finite.
        TrainingInterruptedError: Ctrl-C; says how to resume.

    >>> spec, recipe = sast.NetworkSpec("fc", data.sensor, (8, 6), 3), sast.recipe("paper").replace(epochs=1)
    >>> sast.train(spec, recipe, data, Path("new/ckpt.pt")).path
    PosixPath('new/ckpt.pt')
    """
    if data.train.frames.shape[2:] != spec.input_shape or len(data.info.classes) != spec.classes:
        raise UsageError(
            f"network for {spec.classes} classes of {spec.input_shape} frames",
            expected=f"{len(data.info.classes)} classes of {data.train.frames.shape[2:]} frames",
        )
    chosen = {"seed": seed, "validation": validation}
    setting = {**spec.to_dict(), **recipe.to_dict(), **data_setting(data), **chosen}
    loop = Loop(RunFiles(Path(out)), setting, resume, overwrite)
    return loop.run(partial(Trainer, spec, recipe, data, seed, validation, device))
