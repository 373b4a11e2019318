"""The test split that a checkpoint or a .net file was made for, or another one that fits it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sast_deploy.errors import DataError

if TYPE_CHECKING:
    from sast_deploy.data import DataInfo, FrameOptions, FrameSet

EMBEDDED = "digits-saccade"  # built again where it is gone


def load_test_split(
    recorded: DataInfo,
    options: FrameOptions,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
) -> FrameSet:
    """Frames made with `options`, of the recorded data set unless another one is named.

    The folder is `data_root`, else for the recorded data set its recorded one, where that is still there,
    else $SAST_DATA_ROOT, else ./data.

    Raises:
        DataError: the data set is not there, or its classes are others than the recorded ones.
    """
    from sast_deploy.data import load_frames
    from sast_deploy.data.cache import notice

    own = dataset is None or dataset == recorded.dataset
    if data_root is None and own:
        if Path(recorded.root).is_dir():
            data_root = Path(recorded.root)
        elif recorded.dataset != EMBEDDED:
            notice(f"{recorded.root}, the folder it was trained from, is gone; looking elsewhere")
    if own and holdout is None:
        holdout, holdout_seed = (
            recorded.holdout,
            recorded.holdout_seed if holdout_seed is None else holdout_seed,
        )
    data = load_frames(
        dataset or recorded.dataset,
        options,
        data_root=data_root,
        holdout=holdout,
        holdout_seed=holdout_seed or 0,
        cache_dir=cache_dir,
        progress=True,
    )
    if data.info.classes != recorded.classes:
        raise DataError(
            f"{len(data.info.classes)} classes ({', '.join(data.info.classes[:3])}, ...)",
            where=data.info.root,
            expected=f"the network's {len(recorded.classes)} ({', '.join(recorded.classes[:3])}, ...)",
        )
    return data
