"""`sast-deploy export`: a network for other tools, as NIR, C, RTL, memories of hardware or NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sast_deploy.commands.answers import answer
from sast_deploy.commands.circuits import LANES
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import OUTPUT, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import overwrite_option
from sast_deploy.exchange import ANY_READER, DEVICE_NAMES, KNOWN, MAINS, READERS, TARGET_NAMES


@command(
    "export", "A network for other tools: NIR, C99, SystemVerilog, NumPy.",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to c -o firmware",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to c --main stdin -o classifier",
    "sast-deploy export netx_exports/sast-loihi-int4.net --to rtl --lanes 24,8,10 --target ecp5-85k -o rtl",
    "sast-deploy export netx_exports/sast-loihi-stock.net --to nir --for snntorch -o snntorch",
)
@click.argument("net", type=NET)
@titled(
    "Target",
    option("--to", type=click.Choice(TARGET_NAMES), required=True,
           help="nir: a NIR graph; c: C99 without malloc or floats; rtl: SystemVerilog and a bench; mem: "
                "files for $readmemh; npz: arrays and a runner that needs NumPy alone."),
    option("--for", "reader", type=click.Choice(READERS), default=ANY_READER, show_default=True,
           help="Of nir: whose reader it is for; any: NIR's own meaning, and our import restores it."),
    option("--main", type=click.Choice(MAINS), default=KNOWN, show_default=True,
           help="Of c, what its program does: replay the known answers, or classify frames from standard "
                "input."),
    option("--lanes", type=LANES, metavar="N,N,...",
           help="Of rtl: neurons that each layer with weights computes at once; left out: 8, or its "
                "outputs."),
    option("--target", type=click.Choice(DEVICE_NAMES), default=DEVICE_NAMES[0], show_default=True,
           help="Of rtl: the device that it has to fit."),
)  # fmt: skip
@titled("Output", option("-o", "--output", type=OUTPUT, required=True, metavar="FOLDER",
                         help="A new folder, or that of the same export."))  # fmt: skip
@overwrite_option("another export")
def export_command(
    net: Path, to: str, reader: str, main: str, lanes: tuple[int, ...] | None, target: str, output: Path,
    overwrite: bool,
) -> None:  # fmt: skip
    """Write NET into a folder for other tools, with its known answers and the command that checks them.

    C, RTL, mem and npz compute what the engines here compute, value for value; so do the frameworks that
    read a NIR graph, as far as the notes say. A target that cannot express NET refuses it by name, before
    anything is written. Prints the memory that each layer takes.
    """
    from sast_deploy import api
    from sast_deploy.show.exporting import print_export

    options = {
        "main": ("c", main), "reader": ("nir", reader), "lanes": ("rtl", lanes), "target": ("rtl", target),
    }  # fmt: skip
    for name, (owner, _) in options.items():
        if to != owner:
            refuse_ignored([name], f"is for --to {owner}, not for {to}")
    own: dict[str, Any] = {name: value for name, (owner, value) in options.items() if to == owner}
    made = api.export(api.load(net), output, to=to, overwrite=overwrite, **own)
    print_export(made, console())
    answer({
        "target": made.target, "folder": made.folder, "parts": made.artefacts.parts,
        "files": {name: len(content) for name, content in made.artefacts.files.items()},
        "check": made.artefacts.check, "notes": made.artefacts.notes,
    })  # fmt: skip
