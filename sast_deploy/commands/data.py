"""`sast-deploy data`: look at, simulate and compare recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.base.text import percent
from sast_deploy.commands.loading import refuse_idle_options
from sast_deploy.commands.options import (
    COUNT,
    OUTPUT,
    PATH,
    SEED,
    Command,
    Group,
    build_frame_options,
    console,
    data_options,
    example,
    frame_options,
    overwrite_option,
    refuse_ignored,
)


@click.group("data", cls=Group, short_help="Look at, simulate and compare recordings.")
def data_group() -> None:
    """Look at recordings, simulate N-MNIST, compare simulated with real recordings."""


@data_group.command(
    "info",
    cls=Command,
    short_help="Samples, classes, events and density of a data set.",
    epilog=example("sast-deploy data info --dataset auto"),
)
@data_options("auto")
@frame_options
def info_command(
    dataset: str,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    steps: int,
    binning: str,
    encoding: str,
    clip: int | None,
    size: tuple[int, int] | None,
    duration_us: int | None,
) -> None:
    """Show what a data set holds once it is frames: samples, classes, events, density, clipping."""
    from sast_deploy.data import describe, load_frames
    from sast_deploy.show.blocks import Table

    options = build_frame_options(steps, binning, encoding, clip, size, duration_us)
    refuse_idle_options(dataset, data_root, holdout, holdout_seed)
    data = load_frames(
        dataset,
        options,
        data_root=data_root,
        holdout=holdout,
        holdout_seed=holdout_seed or 0,
        cache_dir=cache_dir,
        progress=True,
    )
    out = console()
    out.print(data.info.provenance)
    out.print(f"frames: {data.options.steps} steps of {data.sensor}, counts 0..{data.options.clip}")
    found = describe(data, progress=True)
    rows = tuple(
        (row.split, str(row.samples), f"{row.mean_events:.1f}", percent(row.density), str(row.max_count),
         percent(row.clipped)) for row in found
    )  # fmt: skip
    columns = ("split", "samples", "events/sample", "density", "largest", "at clip")
    out.print(Table("", columns, rows, left=1), "")
    classes = tuple((row.split, *map(str, row.per_class)) for row in found)
    out.print(Table("samples of each class", ("split", *data.info.classes), classes, left=1))
    if data.info.missing_classes:
        out.print(f"classes without samples: {', '.join(data.info.missing_classes)}")


@data_group.command(
    "simulate",
    cls=Command,
    short_help="Make a simulated N-MNIST from MNIST's images.",
    epilog=example(
        "sast-deploy data simulate --mnist-dir data/mnist -o data/simulated --train 600 --test 100"
    ),
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
    root = simulate_mnist(mnist_dir, output, n_train, n_test, seed=seed, progress=True)
    out = console()
    out.print(f"wrote {n_train} + {n_test} SIMULATED recordings to {root}")
    out.print(f"load them with --dataset nmnist-simulated --data-root {root}")


@data_group.command(
    "compare",
    cls=Command,
    short_help="Compare simulated recordings with real ones.",
    epilog=example("sast-deploy data compare --real data/NMNIST --mnist-dir data/mnist -o compare.png"),
)
@click.option("--real", type=PATH, required=True, help="Folder of real N-MNIST recordings.")
@click.option("--simulated", type=PATH, help="Folder of simulated recordings; or")
@click.option("--mnist-dir", type=PATH, help="MNIST's idx files, simulated here and now.")
@click.option("--split", type=click.Choice(["Train", "Test"]), default="Train", show_default=True)
@click.option("--limit", type=COUNT, default=1000, show_default=True, help="Most recordings to compare.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the simulation.")
@click.option(
    "-o", "--output", type=OUTPUT, default=Path("runs/compare.png"), show_default=True,
    help="Picture: .png, .pdf or .svg.",
)  # fmt: skip
@overwrite_option("the picture")
def compare_command(
    real: Path,
    simulated: Path | None,
    mnist_dir: Path | None,
    split: Literal["Train", "Test"],
    limit: int,
    seed: int,
    output: Path,
    overwrite: bool,
) -> int:
    """Compare recordings of the same image numbers: a table, and a picture.

    Exit code 1 if a checked quantity is more than 10 % from the real recordings.
    """
    from sast_deploy.base.outputs import check_output, picture_kind
    from sast_deploy.data.camera.likeness import compare, recordings_digest

    if (simulated is None) == (mnist_dir is None):
        raise UsageError("--simulated and --mnist-dir", expected="exactly one of them")
    if simulated is not None:
        refuse_ignored(["seed"], "is of the simulation; --simulated is simulated already")
    folders = {"real": real, "simulated": simulated, "images": mnist_dir}
    read = {key: path and os.path.realpath(path) for key, path in folders.items()}
    made: dict[str, Any] = {**read, "split": split, "samples": limit, "seed": seed}
    check_output(output, picture_kind(output), made, overwrite=overwrite)
    made["recordings"] = recordings_digest(real, simulated, mnist_dir, split, limit)
    check_output(output, picture_kind(output), made, overwrite=overwrite)
    result = compare(
        real, simulated, mnist_dir=mnist_dir, split=split, limit=limit, seed=seed, progress=True
    )  # fmt: skip
    out = console()
    out.print(result.title, "", result.table(), "", *result.verdict())
    result.plot(output, made)
    out.print(f"wrote {output}")
    return Exit.OK if result.ok else Exit.CHECK_FAILED
