"""Options that several commands share, each group of them one value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.commands.completing import datasets
from sast_deploy.commands.options import (
    COUNT,
    PATH,
    SECONDS,
    SEED,
    SHARE,
    Function,
    gathered,
    option,
    refuse_ignored,
    titled,
)
from sast_deploy.commands.recordings import RECORDING_OPTIONS, recording_options, recordings_of

if TYPE_CHECKING:
    from sast_deploy.data.options import FrameOptions
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines.registry import LavaOptions

FOLDERS = ("data_root", "holdout", "holdout_seed", "cache_dir", "download", *RECORDING_OPTIONS)
DATA_OPTIONS = ("dataset", *FOLDERS)
LAVA_OPTIONS = ("batch", "stall", "timeout")
DOWNLOAD = option("--download", is_flag=True, help="Fetch recordings that are nowhere: often gigabytes.")


def _request(**values: Any) -> DataRequest:
    from sast_deploy.data.request import DataRequest

    return DataRequest(recordings=recordings_of(values), **values)


def data_options(default: str | None) -> Callable[[Function], Function]:
    """--dataset and others as one DataRequest, `data`. default: None: what is recorded; "": there is none."""
    otherwise = "default: the one it was trained on" if default is None else f"default {default or 'none'}"
    dataset = option(
        "--dataset", default=default, metavar="NAME", shell_complete=datasets,
        help="nmnist, auto, digits-saccade, nmnist-simulated, dvsgesture, cifar10dvs, "
        f"tonic:<ClassName>, or folder:PATH for recordings of your own; {otherwise}.",
    )  # fmt: skip
    first = "the one it was trained from, else " if default is None else ""
    return gathered("data", _request, "Data", dataset, *_folders(first))


def folder_options(function: Function) -> Function:
    """As `data_options`, for a command that names the data set by an option of its own."""
    return gathered("data", _request, "Data", *_folders("the one it was trained from, else "))(function)


def _folders(first: str) -> tuple[Callable[[Any], Any], ...]:
    """first: where recordings are looked for first."""
    return (
        option("--data-root", type=PATH,
               help=f"Folder of the recordings; else {first}$SAST_DATA_ROOT, else ./data."),
        option("--holdout", type=SHARE, metavar="SHARE",
               help="Share of each class held out for testing, where there is no test split."),
        option("--holdout-seed", type=SEED, help="Seed of that split; default 0."),
        option("--cache-dir", type=PATH, help="Of frames; else $SAST_CACHE_DIR or ~/.cache/sast-deploy."),
        DOWNLOAD,
        *recording_options,
    )  # fmt: skip


def _frame_options(encoding: str, clip: int | None, **values: Any) -> FrameOptions:
    from sast_deploy.data.options import FrameOptions

    if encoding == "binary":
        refuse_ignored(["clip"], "with --encoding binary: frames hold 0 and 1 only")
    if clip is None:
        clip = 1 if encoding == "binary" else FrameOptions.clip
    return FrameOptions(encoding=encoding, clip=clip, **values)


frame_options = gathered(
    "frames", _frame_options, "Frames",
    option("--steps", type=int, default=10, show_default=True, help="Time steps T."),
    option("--binning", type=click.Choice(["time", "count"]), default="time", show_default=True,
           help="T spans of equal time, or of equally many events."),
    option("--encoding", type=click.Choice(["count", "binary"]), default="count", show_default=True,
           help="Events counted, or whether there were any."),
    option("--clip", type=int, help="Count that becomes 1.0; default 4 (binary: 1)."),
    option("--size", type=int, nargs=2, metavar="H W", help="Sum pixels down to H x W."),
    option("--duration-us", type=int, help="Fixed window in microseconds; default: all."),
)  # fmt: skip


def _lava_options(**values: Any) -> LavaOptions:
    from sast_deploy.engines.registry import LavaOptions

    return LavaOptions(**values)


STALL = option("--stall", type=SECONDS, default=120.0, show_default=True, help="Seconds of silence: hung.")
TIMEOUT = option("--timeout", type=SECONDS, help="Seconds that Lava may take in all; default: no limit.")
BATCH = option("--batch", type=COUNT, help="Samples per Lava batch; default: what fits memory.")
DEVICE = option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
    help="auto: CUDA where there is one.",
)  # fmt: skip


def lava_options(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Some of BATCH, STALL and TIMEOUT as one LavaOptions, `lava`."""
    return gathered("lava", _lava_options, "Lava", *options)


def overwrite_option(what: str) -> Callable[[Function], Function]:
    """--overwrite, of a command whose output holds `what`."""
    text = f"Replace {what} of a different run, or damaged, too; never a file of another kind."
    return titled("Output", option("--overwrite", is_flag=True, help=text))
