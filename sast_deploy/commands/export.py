"""`sast-deploy export`: a network for other tools, as C, memories of hardware or NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import click

from sast_deploy.commands.command import command
from sast_deploy.commands.options import OUTPUT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import overwrite_option
from sast_deploy.exchange import KNOWN, MAINS, TARGET_NAMES


@command(
    "export", "A network for other tools: C99, hardware memories, NumPy.",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to c -o firmware",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to c --main stdin -o classifier",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to mem -o rtl",
)
@click.argument("net", type=PATH)
@titled(
    "Target",
    option("--to", type=click.Choice(TARGET_NAMES), required=True,
           help="c: C99 without malloc or floats; mem: files for $readmemh; npz: arrays and a runner that "
                "needs NumPy alone."),
    option("--main", type=click.Choice(MAINS), default=KNOWN, show_default=True,
           help="Of c, what its program does: replay the known answers, or classify frames from standard "
                "input."),
)  # fmt: skip
@titled("Output", option("-o", "--output", type=OUTPUT, required=True, metavar="FOLDER",
                         help="A new folder, or that of the same export."))  # fmt: skip
@overwrite_option("another export")
def export_command(net: Path, to: str, main: str, output: Path, overwrite: bool) -> None:
    """Write NET into a folder for other tools, with its known answers and the command that checks them.

    Every target computes what the engines here compute, value for value; one that cannot express NET refuses
    it by name, before anything is written. Prints the memory that each layer takes.
    """
    from sast_deploy import api
    from sast_deploy.show.exporting import print_export

    if to != "c":
        refuse_ignored(["main"], f"is for --to c, not for {to}")
    wanted = main if to == "c" else None
    print_export(api.export(api.load(net), output, to=to, main=wanted, overwrite=overwrite), console())
