"""`sast-deploy inspect`: what a .net file is, what is proved of it, its limits; or what was imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import INSPECTED
from sast_deploy.commands.inspecting import inspect_imported, priced, tried
from sast_deploy.commands.options import COUNT, OUTPUT, console, option, refuse_ignored, titled
from sast_deploy.commands.pricing import chip_option
from sast_deploy.commands.shared import DATA_OPTIONS, data_options, overwrite_option

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "inspect", "What a .net file is, what is proved of it, which limits it meets.",
    "sast-deploy inspect netx_exports/sast-loihi-int8.net",
    "sast-deploy inspect netx_exports/sast-loihi-int8.net --samples 100 -o facts.json",
    "sast-deploy inspect netx_exports/sast-loihi-stock.net --fail-on-limits",
    "sast-deploy inspect netx_exports/sast-loihi-int4.net --chip loihi1 --suggest",
)
@click.argument("net", type=INSPECTED)
@titled(
    "Inspection",
    option("--samples", type=COUNT,
           help="Also count saturated states on N test samples, and price an inference; --suggest tries "
           "on so many, else 1000."),
    chip_option,
    option("--suggest", is_flag=True,
           help="Try what would mend broken limits or save a core, on test samples, and say what it costs."),
    option("--fail-on-limits", is_flag=True, help="Exit code 1 where a limit of the chip is broken."),
)
@titled(
    "Output",
    option("-o", "--output", type=OUTPUT, help="Write the inspection to this JSON file, too."),
)  # fmt: skip
@overwrite_option("the JSON file")
@data_options(None)
def inspect_command(
    net: Path,
    samples: int | None,
    chip: str,
    suggest: bool,
    fail_on_limits: bool,
    output: Path | None,
    overwrite: bool,
    data: DataRequest,
) -> int:
    """Say what NET is, from the file alone: origin, proofs, memory, its cores, and the limits of the chip.

    The last line says whether the chip holds it, and how many cores it takes. A NET of somebody else's, a
    stock NetX file, is inspected too, but for --samples: it carries no data. Of a file that import wrote it
    shows layers, neurons, notes and origin.
    """
    from sast_deploy import api
    from sast_deploy.base.files import input_digest, write_text
    from sast_deploy.base.outputs import check_output, with_origin
    from sast_deploy.base.reading.files import FLOAT, identify
    from sast_deploy.netx.export import FRAMES
    from sast_deploy.netx.program_group import EXPECTED
    from sast_deploy.reports.inspection import INSPECTION, inspection_origin
    from sast_deploy.show.inspection import print_inspection

    if samples is None and not suggest:
        refuse_ignored(DATA_OPTIONS, "without --samples: no data are looked at", "add --samples N")
    if identify(net, EXPECTED) == FLOAT:  # what is wrong with the file comes first
        return inspect_imported(net)
    made = inspection_origin(input_digest(net), samples, data, chip)
    if output is None:
        refuse_ignored(["overwrite"], "without -o FILE")

    def check() -> None:
        if output is not None:
            check_output(output, INSPECTION, made, inputs=(net,), overwrite=overwrite)

    check()
    loaded, inputs = api.load(net), None
    if suggest:
        loaded.file  # noqa: B018 - a stranger's network has no data and is refused here, before any work
    if samples:
        inputs = api.inputs(loaded, data=data, samples=samples)
        made[FRAMES] = inputs.facts["frame_digest"]
        check()
    found = api.inspect(loaded, inputs, chip=chip)
    out = console()
    if output is not None:
        write_text(output, with_origin(found.to_json(), made))
        out.print(f"wrote {output}")
    print_inspection(found, out)
    cost = None if inputs is None else priced(loaded, inputs, chip, out)
    changes = tried(loaded, inputs, chip, data, samples, out) if suggest else None
    answer({**found.to_dict(), "cost": cost, "suggestions": changes})
    return Exit.CHECK_FAILED if fail_on_limits and not found.fits else Exit.OK
