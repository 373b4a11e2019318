"""`sast-deploy cost`: what an inference costs on a chip, term by term."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import COUNT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.pricing import chip_option, table_option
from sast_deploy.commands.shared import DATA_OPTIONS, data_options

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "cost", "What an inference costs on a chip: SynOps, cores, energy, latency.",
    "sast-deploy cost netx_exports/sast-loihi-int4.net",
    "sast-deploy cost netx_exports/sast-loihi-int4.net --table horowitz-45nm --samples 1000",
    "sast-deploy cost netx_exports/sast-loihi-int4.net --chip loihi2 --json",
)
@click.argument("net", type=NET)
@titled(
    "Cost",
    chip_option,
    table_option,
    option("--samples", type=COUNT, default=100, show_default=True, help="Test samples, evenly spread."),
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own, not the test split."),
)  # fmt: skip
@data_options(None)
def cost_command(
    net: Path, chip: str, table: str | None, samples: int, input_path: Path | None, data: DataRequest
) -> int:
    """Count what NET does on samples of its own data set, or on --input, and price it.

    Layers are laid out on cores; SynOps, NeuroBench's metrics, messages and spikes are counted from the
    integer program's spikes. Every energy is a count times a price whose source stands beside it; what has no
    price is named. Latency is that of the busiest core in every step.
    """
    from sast_deploy import api
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.reports.costs.cost import chosen_table
    from sast_deploy.show.costs import print_cost

    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    chosen_table(table, chip)
    loaded = api.load(net)
    own = None if input_path is None else load_array(input_path)
    given = api.inputs(loaded, own, data=data, samples=samples, name=str(input_path or "frames"))
    found = api.cost(loaded, given, samples=None, chip=chip, table=table)
    print_cost(found, console())
    answer(found.to_dict())
    return Exit.OK
