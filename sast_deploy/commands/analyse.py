"""`sast-deploy analyse`: margins, robustness, contraction, thresholds; several checkpoints side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.command import Command, console, example
from sast_deploy.commands.options import COUNT, OUTPUT, PATH, SEED, option, refuse_ignored, titled
from sast_deploy.commands.shared import DEVICE, data_options, overwrite_option
from sast_deploy.studies import ANALYSES

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest

RANDOM = {"drop", "noise", "contraction"}  # the parts that draw


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
@titled(
    "Analysis",
    option("--parts", default=",".join(ANALYSES), show_default=True, metavar="NAMES",
           help="Which parts, by comma."),
    option("--samples", type=COUNT, help="Only N test samples, evenly spread."),
    option("--seed", type=SEED, default=0, show_default=True, help="Of dropped events, noise and pairs."),
    DEVICE,
)  # fmt: skip
@data_options(None)
@titled(
    "Output",
    option("-o", "--output", type=OUTPUT,
           help="JSON file; the pictures lie beside it. Default: analysis.json, or for several checkpoints "
           "comparison.json, beside the first one."),
)  # fmt: skip
@overwrite_option("an analysis and its pictures")
def analyse_command(
    checkpoints: tuple[Path, ...],
    parts: str,
    samples: int | None,
    seed: int,
    device: str,
    data: DataRequest,
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
    from sast_deploy.base.files import input_digest
    from sast_deploy.base.outputs import check_output
    from sast_deploy.data.request import load_recorded
    from sast_deploy.netx.export import FRAMES
    from sast_deploy.reports.run import WHOLE
    from sast_deploy.studies.analysis.duel import accuracies, compare
    from sast_deploy.studies.analysis.files import planned, write_analysis
    from sast_deploy.studies.analysis.study import measure
    from sast_deploy.studies.analysis.tables import print_analyses
    from sast_deploy.training.batches import pick_device
    from sast_deploy.training.checkpoint import load_checkpoint

    chosen = [name.strip() for name in parts.split(",") if name.strip()]
    if set(chosen) - set(ANALYSES) or not chosen:
        raise UsageError(f"{parts!r}", where="--parts", expected=f"some of {','.join(ANALYSES)}")
    if not RANDOM & set(chosen):
        refuse_ignored(["seed"], f"with --parts {parts}, which draw nothing")
    pick_device(device)
    path = output or checkpoints[0].parent / ("analysis.json" if not checkpoints[1:] else "comparison.json")
    made: dict[str, Any] = {
        "checkpoints": [input_digest(each) for each in checkpoints], "parts": sorted(set(chosen)),
        **data.identity(None), "samples": samples or WHOLE, "seed": seed,
    }  # fmt: skip

    def check() -> None:
        for place, kind in planned(path, chosen).items():
            check_output(place, kind, made, inputs=checkpoints, overwrite=overwrite)

    check()
    trained, out = [load_checkpoint(each) for each in checkpoints], console()
    names = _names([each.name for each in trained], checkpoints)
    framed = [
        load_recorded(place, each.data, each.frames, data)
        for place, each in zip(checkpoints, trained, strict=True)
    ]
    made[FRAMES] = [each.info.frame_digest for each in framed]
    check()
    results, predictions = {}, {}
    for name, place, checkpoint, frames in zip(names, checkpoints, trained, framed, strict=True):
        out.print(f"{name}: {place}, {frames.info.provenance}")
        unlike = frames.info.unlike(checkpoint.data)
        if unlike:
            out.print(f"WARNING: {unlike}")
        predictions[name], found = measure(
            checkpoint, frames, chosen, samples=samples, cache_dir=data.cache_dir, seed=seed, device=device
        )
        origin = {"path": str(place), "dataset": frames.info.dataset, "frames": frames.info.frame_digest}
        results[name] = {**origin, "test": accuracies(predictions[name]), **found}
    comparisons, apart = compare(predictions)
    violated = print_analyses(results, comparisons, apart, out)
    written = write_analysis(results, comparisons, path, made)
    out.print(*(f"wrote {each}" for each in written))
    return Exit.CHECK_FAILED if violated else Exit.OK


def _names(recorded: list[str], paths: tuple[Path, ...]) -> list[str]:
    """The checkpoints' own names where they tell them apart, else their paths. Raises UsageError."""
    names = recorded if len(set(recorded)) == len(recorded) else [str(path) for path in paths]
    if len(set(names)) != len(names):
        raise UsageError("the same checkpoint twice", where=str(paths[0]), expected="different ones")
    return names
