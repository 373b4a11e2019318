"""`sast-deploy import`: a network that was trained elsewhere becomes a file of ours, or integers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import profiles
from sast_deploy.commands.foreign import GraphOptions, graph_options, own_integers, read_foreign
from sast_deploy.commands.options import OUTPUT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import data_options, frame_options, overwrite_option

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions
    from sast_deploy.data.request import DataRequest


@command(
    "import", "A network trained elsewhere to a file that compile takes.",
    "sast-deploy import net.pt --describe net.toml -o imported.h5",
    "sast-deploy import net.pt --describe net.toml --dataset nmnist --steps 10 -o imported.h5",
    "sast-deploy import net.pt --describe net.toml --profile loihi-int4 -o imported.net",
    "sast-deploy import net.nir --from snntorch --reset subtract --steps 20 -o imported.h5",
)
@click.argument("file", type=PATH)
@titled(
    "Network",
    option("--describe", type=PATH, help="Description of the layers in TOML: docs/your-network.md."),
    option("--name", help="Default: the file's."),
)
@graph_options
@titled(
    "Hardware",
    option("--profile", default="loihi-int8", show_default=True, shell_complete=profiles,
           help="Of an output that ends in .net."),
)
@data_options("")
@frame_options
@titled(
    "Output",
    option("-o", "--output", type=OUTPUT, required=True,
           help="OUT.net: compiled for the profile; any other name: a network that compile, with "
           "--calibrate too, and evaluate take."),
)  # fmt: skip
@overwrite_option("a network")
def import_command(
    file: Path,
    describe: Path | None,
    name: str | None,
    graph: GraphOptions,
    profile: str,
    data: DataRequest,
    frames: FrameOptions,
    output: Path,
    overwrite: bool,
) -> None:
    """Read FILE, a NIR graph or the tensors of torch.save(net.state_dict(), FILE); nothing in it is run.

    With --dataset the recordings that it was trained on belong to it from then on, and how events became
    frames: compile --calibrate, simulate and verify find them again. Its accuracy on the test split is
    measured in floating point.
    """
    from sast_deploy import api
    from sast_deploy.base.outputs import check_output
    from sast_deploy.exchange.network import FLOAT_FILE
    from sast_deploy.netx.export import EXPORT
    from sast_deploy.show.compilation import compilation_facts, print_compilation
    from sast_deploy.show.evaluation import imported_facts, imported_line

    compiled, out = output.suffix == ".net", console()
    if not compiled:
        refuse_ignored(["profile"], "is for an output that ends in .net", "compile it with it afterwards")
    read, kind = [each for each in (file, describe) if each is not None], EXPORT if compiled else FLOAT_FILE
    check_output(output, kind, {}, inputs=read, overwrite=overwrite)  # `save` asks of which run it is
    imported = read_foreign(file, describe, name, graph, data, frames)
    out.print(*(f"{file}: {note}" for note in imported.notes))
    out.print(imported_line(imported))
    compiled_facts = None
    if not compiled:
        imported.save(output, overwrite=overwrite)
    elif (program := own_integers(file)) is not None:
        refuse_ignored(["profile"], "is for real numbers: this file holds integers of ours")
        api.Net.from_program(program).save(output, overwrite=overwrite)
    else:
        net = api.compile(imported, profile, source=file).save(output, overwrite=overwrite)
        assert net.compilation is not None
        print_compilation(net.file, net.compilation, None, out)
        compiled_facts = compilation_facts(net.file, net.compilation, None)
    out.print(f"wrote {output}")
    answer({"network": output, **imported_facts(imported), "compilation": compiled_facts})
