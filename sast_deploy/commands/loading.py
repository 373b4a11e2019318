"""The test split that a checkpoint or a .net file was made for, or another one that fits it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.errors import DataError, NetFileError, OwnTestSplitError, UsageError, about

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sast_deploy.data import DataInfo, FrameOptions, FrameSet
    from sast_deploy.netx.file import NetFile


def refuse_idle_options(
    dataset: str, data_root: Path | None, holdout: float | None, holdout_seed: int | None
) -> None:
    """Refuse what the data set makes no use of. Raises UsageError."""
    from sast_deploy.data.readers.sources import EMBEDDED

    if dataset == EMBEDDED and data_root is not None:
        raise UsageError(f"--data-root with {EMBEDDED}, which lies in no folder", todo="leave it out")
    if holdout is None and holdout_seed is not None:
        raise UsageError("--holdout-seed without --holdout", todo="add --holdout SHARE, or leave it out")


def load_test_split(
    where: Path,
    recorded: DataInfo,
    options: FrameOptions,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
) -> FrameSet:
    """Frames made with `options`, of the data set recorded in the file `where` unless another one is named.

    The folder is `data_root`, else for the recorded data set its recorded one, where that is still there,
    else $SAST_DATA_ROOT, else ./data.

    Raises:
        UsageError: an option that would change nothing.
        DataError: the data set is not there, or its classes are others than the recorded ones.
    """
    from sast_deploy.data import load_frames
    from sast_deploy.data.cache import notice
    from sast_deploy.data.readers.sources import EMBEDDED

    own, named_root = dataset is None or dataset == recorded.dataset, data_root
    held = recorded.holdout if own and holdout is None else holdout
    refuse_idle_options(dataset or recorded.dataset, data_root, held, holdout_seed)
    if data_root is None and own:
        if Path(recorded.root).is_dir():
            data_root = Path(recorded.root)
        elif recorded.dataset != EMBEDDED:
            notice(f"{recorded.root}, the folder it was trained from, is gone; looking elsewhere")
    # A download, and where to, is for the person at the keyboard to say: --dataset does, a file does not.
    asked = dataset is not None and data_root == named_root
    named = partial(load_frames, dataset or recorded.dataset, options, download=asked)
    load = partial(named, data_root=data_root, cache_dir=cache_dir, progress=True)
    asks = f"the data set that {where} asks for" if dataset is None else None
    with about(asks, DataError):
        if own and holdout is None and recorded.holdout is not None:
            seed = recorded.holdout_seed if holdout_seed is None else holdout_seed
            try:
                data = load(holdout=recorded.holdout, holdout_seed=seed or 0)
            except OwnTestSplitError:
                if holdout_seed is not None:
                    raise
                notice(f"trained with holdout {recorded.holdout:g}; here the data's own test split is used")
                data = load()
        else:
            data = load(holdout=holdout, holdout_seed=holdout_seed or 0)
    if data.info.classes != recorded.classes:
        raise DataError(
            f"{len(data.info.classes)} classes ({', '.join(data.info.classes[:3])}, ...)",
            where=data.info.root,
            expected=f"the network's {len(recorded.classes)} ({', '.join(recorded.classes[:3])}, ...)",
        )
    return data


def recorded_data(net: NetFile, where: Path) -> tuple[DataInfo, FrameOptions]:
    """The data set that a .net file was made for, and how its frames were made.

    Raises:
        NetFileError: the file does not say, or what it says does not fit its program: frames of another
            number of steps, another largest count, another size, other classes.
    """
    from sast_deploy.data import DataInfo, FrameOptions

    todo, program = "compile the checkpoint again", net.program
    try:
        data, frames = DataInfo.from_dict(net.data), FrameOptions.from_dict(net.frames)
    except (DataError, TypeError, ValueError, KeyError) as error:
        what = f"does not say what data it is for ({error})"
        raise NetFileError(what, where=where, todo=todo) from error
    said = (frames.steps, frames.clip, frames.size or program.input_shape[1:], data.classes)
    needed = (program.steps, program.input_max, program.input_shape[1:], program.classes)
    for name, found, wanted in zip(("steps", "clip", "size", "classes"), said, needed, strict=True):
        if found != wanted:
            raise NetFileError(
                f"its record of data has {name} {found}, its program {wanted}", where=where, todo=todo
            )
    return data, frames


def load_spread(net: NetFile, where: Path, samples: int, **data: Any) -> tuple[NDArray[np.uint8], str]:
    """Evenly spread samples of the test split that a .net file was made for, and the digest of its frames.

    The samples are uint8 (samples, T, C, H, W). data: what `load_test_split` takes from the command line.
    """
    from sast_deploy.program.record import evenly_spread, take

    recorded, options = recorded_data(net, where)
    found = load_test_split(where, recorded, options, **data)
    frames = found.test.frames
    wanted = (net.program.steps, *net.program.input_shape)
    if frames.shape[1:] != wanted or not len(frames):
        raise DataError(
            f"frames of shape {frames.shape}", where=recorded.root, expected=f"(samples, {wanted})"
        )
    return take(frames, evenly_spread(len(frames), samples)), found.info.frame_digest
