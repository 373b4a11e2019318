"""`sast-deploy analyse`: margins, robustness, contraction, thresholds; several checkpoints side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.answers import answer, warn
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import CHECKPOINT
from sast_deploy.commands.options import COUNT, OUTPUT, SEED, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import DEVICE, data_options, overwrite_option
from sast_deploy.studies import ANALYSES

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


def _parts(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[str] | None:
    if text is None:
        return None
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    if set(chosen) - set(ANALYSES) or not chosen:
        raise UsageError(f"{text!r}", where="--parts", expected=f"some of {','.join(ANALYSES)}")
    return chosen


@command(
    "analyse", "Robustness, margins, contraction, thresholds; compare checkpoints.",
    "sast-deploy analyse runs/sast/ckpt.pt",
    "sast-deploy analyse runs/baseline/ckpt.pt runs/sast/ckpt.pt --parts drop,margins",
    "sast-deploy analyse net.h5 runs/sast/ckpt.pt --parts drop,noise,margins",
)
@click.argument("checkpoints", type=CHECKPOINT, nargs=-1, required=True)
@titled(
    "Analysis",
    option("--parts", callback=_parts,
           help=f"By comma, of {','.join(ANALYSES)}; default: all that can be done."),
    option("--samples", type=COUNT, help="Only N test samples, evenly spread."),
    option("--seed", type=SEED, default=0, show_default=True, help="Of dropped events, noise and pairs."),
    DEVICE,
)  # fmt: skip
@data_options(None)
@titled(
    "Output",
    option("-o", "--output", type=OUTPUT,
           help="JSON file, pictures beside it. Default: analysis.json or comparison.json by the first."),
)  # fmt: skip
@overwrite_option("an analysis and its pictures")
def analyse_command(
    checkpoints: tuple[Path, ...],
    parts: list[str] | None,
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

    A network that import wrote has hard spikes alone, and not the last two. Exit code 1: a bound is violated.
    """
    from sast_deploy.api import load_trained
    from sast_deploy.base.outputs import check_output
    from sast_deploy.calibration.data import own_recordings
    from sast_deploy.data.request import load_recorded
    from sast_deploy.netx.export import FRAMES
    from sast_deploy.studies.analysis.duel import compare, tell_apart
    from sast_deploy.studies.analysis.files import analysis_facts, analysis_origin, planned, write_analysis
    from sast_deploy.studies.analysis.study import measure, parts_of
    from sast_deploy.studies.analysis.tables import print_analyses
    from sast_deploy.training.batches import pick_device

    if parts and not {"drop", "noise", "contraction"} & set(parts):  # the parts that draw
        refuse_ignored(["seed"], f"with --parts {','.join(parts)}, which draw nothing")
    pick_device(device)
    trained, out = [load_trained(each) for each in checkpoints], console()
    chosen = [parts_of(each, parts) for each in trained]
    names, every = tell_apart(trained, checkpoints), set().union(*chosen)
    path = output or checkpoints[0].parent / ("comparison.json" if checkpoints[1:] else "analysis.json")
    made = analysis_origin(checkpoints, every, data, samples, seed)

    def check() -> None:
        for place, kind in planned(path, every).items():
            check_output(place, kind, made, inputs=checkpoints, overwrite=overwrite)

    check()
    own = [own_recordings(each) for each in trained]
    framed = [load_recorded(place, *which, data) for place, which in zip(checkpoints, own, strict=True)]
    made[FRAMES] = [each.info.frame_digest for each in framed]
    check()
    results, predictions = {}, {}
    for index, (name, place, frames) in enumerate(zip(names, checkpoints, framed, strict=True)):
        out.print(f"{name}: {place}, {frames.info.provenance}")
        warn(*frames.info.warning(own[index][0]))
        how: dict[str, Any] = {"cache_dir": data.cache_dir, "seed": seed, "device": device}
        predictions[name], found = measure(trained[index], frames, chosen[index], samples=samples, **how)
        results[name] = {"path": str(place), **found}
    comparisons, apart = compare(predictions)
    violated = print_analyses(results, comparisons, apart, out)
    files = write_analysis(results, comparisons, path, made)
    out.print(*(f"wrote {each}" for each in files))
    answer({"files": files, "violated": violated, **analysis_facts(results, comparisons)})
    return Exit.CHECK_FAILED if violated else Exit.OK
