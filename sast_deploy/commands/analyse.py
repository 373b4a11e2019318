"""`sast-deploy analyse`: margins, robustness, contraction, thresholds; several checkpoints side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.identity import ANALYSIS, FRAMES, WHOLE, digest_of, test_run
from sast_deploy.commands.loading import load_test_split
from sast_deploy.commands.options import (
    COUNT,
    OUTPUT,
    PATH,
    SEED,
    Command,
    console,
    data_options,
    example,
    overwrite_option,
    refuse_ignored,
)
from sast_deploy.studies import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Collection

    from sast_deploy.base.outputs import Run
    from sast_deploy.data import FrameSet, FrameSplit

RANDOM = {"drop", "noise", "contraction"}  # the parts that draw
PICTURES = {"margins": ("margins",), "robustness": ("drop", "noise")}  # and the parts that each shows


@click.command(
    "analyse",
    cls=Command,
    short_help="Robustness, margins, contraction, thresholds; compare checkpoints.",
    epilog=example(
        "sast-deploy analyse runs/sast/ckpt.pt",
        "sast-deploy analyse runs/baseline/ckpt.pt runs/sast/ckpt.pt --parts drop,margins",
    ),
)
@click.argument("checkpoints", type=PATH, nargs=-1, required=True)
@click.option(
    "--parts", default=",".join(ANALYSES), show_default=True, metavar="NAMES", help="Which parts, by comma."
)
@data_options(None)
@click.option("--samples", type=COUNT, help="Only N test samples, evenly spread.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of dropped events, noise and pairs.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "-o", "--output", type=OUTPUT,
    help="JSON file; the pictures lie beside it. Default: analysis.json, or for several checkpoints "
    "comparison.json, beside the first one.",
)  # fmt: skip
@overwrite_option("an analysis and its pictures")
def analyse_command(
    checkpoints: tuple[Path, ...],
    parts: str,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    samples: int | None,
    seed: int,
    device: str,
    output: Path | None,
    overwrite: bool,
) -> int:
    """Measure CHECKPOINTS beyond accuracy, and compare them on the same test samples if there are several.

    \b
    drop         accuracy with every event lost with probability 0 to 0.4
    noise        accuracy with gaussian noise on the weights
    margins      how close membranes come to their thresholds
    contraction  gamma_hat over all visited states; state bound and Lipschitz bound, checked
    thresholds   re-tuned on the validation part, as a control

    Exit code 1 if a bound is violated.
    """
    from sast_deploy.base.outputs import check_output, picture_kind
    from sast_deploy.studies.analysis import accuracies, analyse, compare, predict
    from sast_deploy.studies.analysis.tables import tables
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.checkpoint import load_checkpoint

    chosen = [name.strip() for name in parts.split(",") if name.strip()]
    unknown = sorted(set(chosen) - set(ANALYSES))
    if unknown or not chosen:
        raise UsageError(f"{parts!r}", where="--parts", expected=f"some of {','.join(ANALYSES)}")
    if not RANDOM & set(chosen):
        refuse_ignored(["seed"], f"with --parts {parts}, which draw nothing")
    pick_device(device)
    default = "analysis.json" if len(checkpoints) == 1 else "comparison.json"
    path_of_results = output or checkpoints[0].parent / default
    made = {
        "checkpoints": [digest_of(path) for path in checkpoints], "parts": sorted(set(chosen)),
        **test_run(None, dataset, data_root, holdout, holdout_seed), "samples": samples or WHOLE,
        "seed": seed,
    }  # fmt: skip
    pictures = _pictures(path_of_results, chosen)
    outputs = {path_of_results: ANALYSIS, **{each: picture_kind(each) for each in pictures}}

    def check() -> None:
        for path, kind in outputs.items():
            check_output(path, kind, made, inputs=checkpoints, overwrite=overwrite)

    check()
    trained = [load_checkpoint(path) for path in checkpoints]
    names = _names([checkpoint.name for checkpoint in trained], checkpoints)
    out = console()
    framed = [  # where they are mapped from
        load_test_split(path, each.data, each.frames, dataset, data_root, holdout, holdout_seed, cache_dir)
        for path, each in zip(checkpoints, trained, strict=True)
    ]
    made[FRAMES] = [data.info.frame_digest for data in framed]
    check()
    results: dict[str, dict[str, Any]] = {}
    predictions = {}
    for name, path, checkpoint, data in zip(names, checkpoints, trained, framed, strict=True):
        out.print(f"{name}: {path}, {data.info.provenance}")
        unlike = data.info.unlike(checkpoint.data)
        if unlike:
            out.print(f"WARNING: {unlike}")
        taken, counts = _limited(data, samples, cache_dir, drop="drop" in chosen)
        predictions[name] = predict(checkpoint, taken, device=device, progress=True)
        origin = {"path": str(path), "dataset": data.info.dataset, "frames": data.info.frame_digest}
        found = analyse(
            checkpoint, taken, chosen,
            counts=counts, cache_dir=cache_dir, seed=seed, device=device, progress=True,
        )  # fmt: skip
        results[name] = {**origin, "test": accuracies(predictions[name]), **found}
    comparisons, apart = compare(predictions)
    for table in tables(results):
        out.print(table, "")
    for comparison in comparisons:
        out.print(*comparison.lines())
    for a, b in apart:
        reason = "not tested on the same recordings, so not compared"
        out.print(f"{a} - {b}: {reason}")
    written = _write(results, [c.to_dict() for c in comparisons], path_of_results, made)
    out.print(*(f"wrote {path}" for path in written))
    violated = [
        name for name, found in results.items() if not found.get("contraction", {}).get("holds", True)
    ]
    for name in violated:
        out.print(f"VIOLATED: a bound that must hold does not hold for {name}")
    return Exit.CHECK_FAILED if violated else Exit.OK


def _limited(
    data: FrameSet, samples: int | None, cache_dir: Path | None, *, drop: bool
) -> tuple[FrameSet, FrameSplit | None]:
    """The data with only so many test samples, and those with unclipped counts where `drop` needs them."""
    from sast_deploy.program.record import evenly_spread
    from sast_deploy.studies.analysis import unclipped

    if samples is None:
        return data, None
    spread = evenly_spread(len(data.test), samples)
    counts = unclipped(data, cache_dir, progress=True).part(spread) if drop else None
    return replace(data, test=data.test.part(spread)), counts


def _names(recorded: list[str], paths: tuple[Path, ...]) -> list[str]:
    """The checkpoints' own names where they tell them apart, else their paths. Raises UsageError."""
    names = recorded if len(set(recorded)) == len(recorded) else [str(path) for path in paths]
    if len(set(names)) != len(names):
        raise UsageError("the same checkpoint twice", where=str(paths[0]), expected="different ones")
    return names


def _pictures(path: Path, parts: Collection[str]) -> dict[Path, str]:
    """The pictures beside the JSON file that these parts have: margins and robustness."""
    named = {name: path.with_name(f"{path.stem}-{name}.png") for name in PICTURES}
    return {named[name]: name for name, shown in PICTURES.items() if set(shown) & set(parts)}


def _write(
    results: dict[str, dict[str, Any]], comparisons: list[dict[str, Any]], path: Path, made: Run
) -> list[Path]:
    """The JSON file and the pictures of the parts that have one; returns their paths."""
    from sast_deploy import __version__
    from sast_deploy.base.files import write_text
    from sast_deploy.base.outputs import RUN_KEY
    from sast_deploy.studies.analysis.plots import draw_corruption, draw_margins

    content = {
        "format": "sast-deploy-analysis", "version": 1, "package": __version__,
        "checkpoints": results, "comparisons": comparisons, RUN_KEY: made,
    }  # fmt: skip
    write_text(path, json.dumps(content, indent=1) + "\n")
    draw = {"margins": draw_margins, "robustness": draw_corruption}
    pictures = _pictures(path, {part for found in results.values() for part in found})
    for picture, name in pictures.items():
        draw[name](results, picture, made)
    return [path, *pictures]
