"""`sast-deploy report`: one page that decides, of one network or several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import REPORTED, profiles
from sast_deploy.commands.options import (
    COUNT,
    INDEX,
    OUTPUT,
    PATH,
    SEED,
    console,
    gathered,
    option,
    refuse_ignored,
    titled,
)
from sast_deploy.commands.pricing import chip_option, table_option
from sast_deploy.commands.shared import DATA_OPTIONS, data_options, overwrite_option

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "report", "One page that decides: verdict, costs, proofs; several networks side by side.",
    "sast-deploy report netx_exports/sast-loihi-int4.net -o report.html",
    "sast-deploy report runs/sast/ckpt.pt --profile loihi-int8 -o report.html",
    "sast-deploy report int8.net int4.net int2.net -o compared.html",
)
@click.argument("networks", type=REPORTED, nargs=-1, required=True, metavar="NET|CKPT|RUN...")
@gathered(
    "asked", dict, "Report",
    option("--samples", type=COUNT, help="Only N samples, evenly spread."),
    option("--sample", "traced", type=INDEX, multiple=True, metavar="K",
           help="Whose spikes and membranes are drawn, by its number; may be repeated. Default: some right "
                "and some wrong ones."),
    option("--profile", default="loihi-int4", show_default=True, shell_complete=profiles,
           help="That trained networks are compiled for."),
    chip_option,
    table_option,
    option("--seed", type=SEED, default=0, show_default=True, help="Of dropped events and noise."),
)  # fmt: skip
@titled(
    "Data",
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own, not the test split."),
    option("--labels", "labels_path", type=PATH, metavar="NPY", help="Class indices (samples,) of --input."),
)
@data_options(None)
@titled("Output", option("-o", "--output", type=OUTPUT, required=True, metavar="HTML", help="The page."))
@overwrite_option("a page")
def report_command(
    networks: tuple[Path, ...],
    asked: dict[str, Any],
    input_path: Path | None,
    labels_path: Path | None,
    data: DataRequest,
    output: Path,
    overwrite: bool,
) -> int:
    """Measure a .net file, a checkpoint, what import wrote, a run's folder or a simulation's report.json.

    The page needs no network, no server and no other file. It has the verdict first, then the way from
    training to the chip, every layer, samples step by step, margins, confusions, robustness, costs, proofs
    and what it takes to get the same again. Of several networks it says which to take for which budget.

    Exit code 1: an engine disagrees with the reference.
    """
    from functools import partial

    from sast_deploy.base.files import input_digest
    from sast_deploy.base.outputs import PAGE, check_output
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.show.dossier import print_dossier
    from sast_deploy.studies.dossier.gather import Wanted
    from sast_deploy.studies.dossier.report import make, origin, prepared

    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    else:
        refuse_ignored(["labels_path"], "without --input", "add --input FRAMES.npy")
    if networks[1:]:
        refuse_ignored(["traced", "seed"], "with several networks, of which no sample and no curve is drawn")
    wanted = partial(Wanted, **asked)
    sources = prepared(networks, data, wanted())
    if all(each.compiled for each in sources):
        refuse_ignored(["profile"], "with networks that are compiled already")
    read = [path for each in sources for path in each.files]
    own = [each for each in (input_path, labels_path) if each is not None]
    made = origin(sources, wanted(), "".join(input_digest(each) or "" for each in own) or None)
    check_output(output, PAGE, made, inputs=[*read, *own], overwrite=overwrite)
    frames, labels = (None if path is None else load_array(path) for path in (input_path, labels_path))
    page = make(sources, wanted(frames=frames, labels=labels, name=str(input_path or "frames")), made)
    page.save(output, overwrite=overwrite)
    out = console()
    print_dossier(page.dossier, out)
    out.print(f"wrote {output}, {len(page.html.encode()):,} bytes")
    answer({**page.to_dict(), "page": output})
    exact = all(each.bit_accurate for each in page.dossier.networks)
    return Exit.OK if exact else Exit.CHECK_FAILED
