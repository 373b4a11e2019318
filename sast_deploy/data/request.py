"""Which data set somebody wants as frames, and the one that a checkpoint or a .net file was made for."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import DataError, NetFileError, OwnTestSplitError, UsageError, about
from sast_deploy.data import DataInfo, FrameOptions, FrameSet, load_frames
from sast_deploy.data.cache import SPLITS, notice
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.sources import EMBEDDED, FOLDER, folder_place
from sast_deploy.netx.file import NetFile


@dataclass(frozen=True)
class DataRequest:
    """Recordings and their test split. Every field may be None: what was recorded holds, or a default.

    dataset: name, as `load_frames` takes it. data_root: folder of the recordings. holdout: share of each
    class held out for testing, where there is no test split; holdout_seed: of that split. cache_dir: of
    frames. recordings: how those of a folder are read and cut.

    >>> sast.DataRequest("nmnist", holdout=0.2).identity(None)
    {'data': 'nmnist', 'folder': None, 'holdout': 0.2, 'holdout seed': 0}
    """

    dataset: str | None = None
    data_root: Path | None = None
    holdout: float | None = None
    holdout_seed: int | None = None
    cache_dir: Path | None = None
    recordings: RecordingOptions | None = None

    def __post_init__(self) -> None:
        """A folder is known by its name and its root, whichever way it was given. Raises DataError."""
        if self.dataset is not None and self.dataset.startswith(FOLDER):
            name, root = folder_place(self.dataset, self.data_root)
            object.__setattr__(self, "dataset", name)
            object.__setattr__(self, "data_root", root)

    def load(
        self, options: FrameOptions, *, download: bool = True, splits: Collection[str] = SPLITS
    ) -> FrameSet:
        """The frames, from the cache or built; `dataset` must be named. Raises DataError, OutputError."""
        return load_frames(
            self.dataset or "auto", options, data_root=self.data_root, holdout=self.holdout,
            holdout_seed=self.holdout_seed or 0, cache_dir=self.cache_dir, download=download,
            splits=splits, recordings=self.recordings,
        )  # fmt: skip

    def refuse_idle(self) -> None:
        """Refuse what the data set makes no use of. Raises UsageError."""
        if self.dataset == EMBEDDED and self.data_root is not None:
            raise UsageError(f"--data-root with {EMBEDDED}, which lies in no folder", todo="leave it out")
        if self.recordings is not None and not (self.dataset or "").startswith(FOLDER):
            what = f"{self.dataset or 'auto'} with options of one's own recordings"
            raise UsageError(what, expected=f"--dataset {FOLDER}PATH", todo="leave them out")
        if self.holdout is None and self.holdout_seed is not None:
            raise UsageError("--holdout-seed without --holdout", todo="add --holdout SHARE, or leave it out")

    def identity(self, recorded: DataInfo | None) -> dict[str, Any]:
        """What tells this test split from others, before it is loaded; recorded: what it falls back on."""
        asked = self if recorded is None else self.completed(recorded)
        folder = None if self.data_root is None else os.path.realpath(self.data_root)
        if recorded is not None and folder == os.path.realpath(recorded.root):
            folder = None
        seed = None if asked.holdout is None else asked.holdout_seed or 0
        found = {"data": asked.dataset, "folder": folder, "holdout": asked.holdout, "holdout seed": seed}
        return found if asked.recordings is None else {**found, "recordings": asked.recordings.to_dict()}

    def completed(self, recorded: DataInfo) -> DataRequest:
        """With what was recorded in place of None: the data set, and for that one its holdout and seed."""
        asked = replace(self, dataset=self.dataset or recorded.dataset)
        if (asked.dataset or "").startswith(FOLDER) and self.recordings is None:
            asked = replace(asked, recordings=recorded.recordings)  # another folder is read alike
        if asked.dataset != recorded.dataset or self.holdout is not None:
            return asked
        seed = recorded.holdout_seed if self.holdout_seed is None else self.holdout_seed
        return replace(asked, holdout=recorded.holdout, holdout_seed=seed)


def load_recorded(
    where: Path | str, recorded: DataInfo, options: FrameOptions, wanted: DataRequest,
    splits: Collection[str] = SPLITS,
) -> FrameSet:
    """Frames made with `options`, of the data set recorded in the file `where` unless another is `wanted`.

    splits: as `load_frames` takes them. The folder is the wanted one, else for the recorded data set its
    recorded one, where that is still there, else $SAST_DATA_ROOT, else ./data.

    Raises:
        UsageError: a wish that would change nothing.
        DataError: the data set is not there, or its classes are others than the recorded ones.
    """
    asked = wanted.completed(recorded)
    asked.refuse_idle()
    if wanted.data_root is None and asked.dataset == recorded.dataset:
        if Path(recorded.root).is_dir():
            asked = replace(asked, data_root=Path(recorded.root))
        elif recorded.dataset != EMBEDDED:
            notice(f"{recorded.root}, the folder it was trained from, is gone; looking elsewhere")
    # A download, and where to, is for the person at the keyboard to say: --dataset does, a file does not.
    download = wanted.dataset is not None and asked.data_root == wanted.data_root
    with about(f"the data set that {where} asks for" if wanted.dataset is None else None, DataError):
        try:
            data = asked.load(options, download=download, splits=splits)
        except OwnTestSplitError:  # which it may have by now
            if wanted.holdout is not None or wanted.holdout_seed is not None:
                raise
            notice(f"trained with holdout {asked.holdout:g}; here the data's own test split is used")
            data = replace(asked, holdout=None).load(options, download=download, splits=splits)
    if data.info.classes != recorded.classes:
        raise DataError(
            f"{len(data.info.classes)} classes ({', '.join(data.info.classes[:3])}, ...)",
            where=data.info.root,
            expected=f"the network's {len(recorded.classes)} ({', '.join(recorded.classes[:3])}, ...)",
        )
    return data


def recorded_data(net: NetFile, where: Path | str) -> tuple[DataInfo, FrameOptions]:
    """The data set that a .net file was made for, and how its frames were made.

    Raises:
        NetFileError: the file does not say, or what it says does not fit its program: frames of another
            number of steps, another largest count, another size, other classes.
    """
    todo, program = "compile the checkpoint again", net.program
    if not net.data:
        raise NetFileError(
            "no data set belongs to it", where=where, todo="give frames of your own (--input FRAMES.npy)"
        )
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


def load_own_test_split(net: NetFile, where: Path | str, wanted: DataRequest) -> tuple[FrameSet, str | None]:
    """The test split of a .net file, or the `wanted` one; and how it is unlike the one of training, if so.

    The frames of its training split, of which there may be many more, are not looked at.

    Raises DataError: frames that do not fit the program, or none; and as `load_recorded`, `recorded_data`.
    """
    recorded, options = recorded_data(net, where)
    data = load_recorded(where, recorded, options, wanted, splits=("test",))
    needed = (net.program.steps, *net.program.input_shape)
    if data.test.frames.shape[1:] != needed:
        found = f"frames of shape {data.test.frames.shape[1:]}"
        raise DataError(found, where=data.info.root, expected=f"{needed}")
    if len(data.test) == 0:
        raise DataError("no test samples", where=data.info.root, expected="at least one")
    return data, data.info.unlike(recorded)
