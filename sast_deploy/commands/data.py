"""`sast-deploy data`: look at, simulate and compare recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.text import percent
from sast_deploy.commands.answers import answer, warn
from sast_deploy.commands.command import Group, command
from sast_deploy.commands.data_compare import data_compare_command
from sast_deploy.commands.options import COUNT, OUTPUT, PATH, SEED, console, refuse_ignored
from sast_deploy.commands.recordings import recording_table
from sast_deploy.commands.shared import data_options, frame_options

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions
    from sast_deploy.data.request import DataRequest



NOT_OF_FILES = (
    "dataset", "data_root", "holdout", "holdout_seed", "cache_dir", "steps", "binning", "encoding", "clip",
    "size", "duration_us", "window_us", "stride_us",
)  # fmt: skip


@click.group("data", cls=Group, short_help="Look at, simulate and compare recordings.")
def data_group() -> None:
    """Look at recordings, simulate N-MNIST, compare simulated with real recordings."""


@command(
    "info", "Samples, classes, events and density of a data set; or what recordings hold.",
    "sast-deploy data info --dataset auto",
    "sast-deploy data info recording.aedat4 events.csv --columns x,y,t,p",
    of=data_group,
)
@click.argument("files", type=PATH, nargs=-1)
@data_options("auto")
@frame_options
def info_command(files: tuple[Path, ...], data: DataRequest, frames: FrameOptions) -> None:
    """Show what a data set holds once it is frames: samples, classes, events, density, clipping.

    With FILES, what each recording is: format, events, sensor, duration, polarities, and all that is odd.
    """
    from sast_deploy.data import describe
    from sast_deploy.show.blocks import Table

    if files:
        refuse_ignored(NOT_OF_FILES, "with FILES: recordings are looked at, no data set")
        recording_table(files, data.recordings, console())
        return
    data.refuse_idle()
    framed, out = data.load(frames), console()
    out.print(framed.info.provenance)
    out.print(f"frames: {framed.options.steps} steps of {framed.sensor}, counts 0..{framed.options.clip}")
    found = describe(framed)
    rows = tuple(
        (row.split, str(row.samples), f"{row.mean_events:.1f}", percent(row.density), str(row.max_count),
         percent(row.clipped)) for row in found
    )  # fmt: skip
    columns = ("split", "samples", "events/sample", "density", "largest", "at clip")
    out.print(Table("", columns, rows, left=1), "")
    classes = tuple((row.split, *map(str, row.per_class)) for row in found)
    out.print(Table("samples of each class", ("split", *framed.info.classes), classes, left=1))
    if framed.info.missing_classes:
        warn(f"classes without samples: {', '.join(framed.info.missing_classes)}")
    answer({"data": framed.info, "frames": framed.options, "sensor": framed.sensor, "splits": found})


@command(
    "simulate", "Make a simulated N-MNIST from MNIST's images.",
    "sast-deploy data simulate --mnist-dir data/mnist -o data/simulated --train 600 --test 100",
    of=data_group,
)
@click.option("--mnist-dir", type=PATH, required=True, help="Folder with MNIST's idx files, .gz or plain.")
@click.option("-o", "--output", type=OUTPUT, required=True, help="New folder: Train|Test/<label>/<id>.bin.")
@click.option(
    "--train", "n_train", type=COUNT, default=60_000, show_default=True, help="Training recordings."
)
@click.option("--test", "n_test", type=COUNT, default=10_000, show_default=True, help="Test recordings.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of pixel mismatch and noise.")
def simulate_command(mnist_dir: Path, output: Path, n_train: int, n_test: int, seed: int) -> None:
    """Carry MNIST images through N-MNIST's three saccades and write N-MNIST's own file format.

    The result is marked as simulated; load it with --dataset nmnist-simulated.
    """
    from sast_deploy.base.outputs import check_output_folder
    from sast_deploy.data.camera.saccade import refuse_used, simulate_mnist

    check_output_folder(output)
    refuse_used(output)
    root = simulate_mnist(mnist_dir, output, n_train, n_test, seed=seed)
    out = console()
    out.print(f"wrote {n_train} + {n_test} SIMULATED recordings to {root}")
    out.print(f"load them with --dataset nmnist-simulated --data-root {root}")
    answer({"folder": root, "train": n_train, "test": n_test, "seed": seed})


data_group.add_command(data_compare_command)
