"""`sast-deploy data compare`: simulated recordings against real ones of the same images."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import COUNT, OUTPUT, PATH, SEED, console, refuse_ignored
from sast_deploy.commands.shared import overwrite_option


@command(
    "compare", "Compare simulated recordings with real ones.",
    "sast-deploy data compare --real data/NMNIST --mnist-dir data/mnist -o compare.png",
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
def data_compare_command(
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
    from sast_deploy.show.camera import draw, likeness_table

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
        real, simulated, mnist_dir=mnist_dir, split=split, limit=limit, seed=seed
    )  # fmt: skip
    out = console()
    out.print(result.title, "", likeness_table(result), "", *result.verdict())
    draw(result, output, made)
    out.print(f"wrote {output}")
    rows = [{**asdict(row), "ratio": row.ratio, "ok": row.ok} for row in result.rows]
    alike = ("matched_cosine", "count_correlation", "map_correlation")
    answer({
        "title": result.title, "ok": result.ok, "recordings": len(result.numbers), "rows": rows,
        **{name: getattr(result, name) for name in alike}, "picture": output,
    })  # fmt: skip
    return Exit.OK if result.ok else Exit.CHECK_FAILED
