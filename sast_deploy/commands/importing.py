"""`sast-deploy import`: a network that was trained elsewhere becomes a file of ours, or integers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.command import command
from sast_deploy.commands.nir import GraphOptions, graph_options, import_graph, refuse_graph_options
from sast_deploy.commands.options import OUTPUT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import FOLDERS, data_options, frame_options, overwrite_option

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions, FrameSet
    from sast_deploy.data.request import DataRequest
    from sast_deploy.exchange.network import ImportedNetwork

FRAMES = ("steps", "binning", "encoding", "clip", "size", "duration_us")


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
    option("--profile", default="loihi-int8", show_default=True, help="Of an output that ends in .net."),
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
    from sast_deploy.base.reading.files import NIR, identify
    from sast_deploy.exchange.network import FLOAT_FILE
    from sast_deploy.netx.export import EXPORT
    from sast_deploy.show.compilation import print_compilation
    from sast_deploy.show.evaluation import imported_line

    compiled, out = output.suffix == ".net", console()
    if not compiled:
        refuse_ignored(["profile"], "is for an output that ends in .net", "compile it with it afterwards")
    read = [each for each in (file, describe) if each is not None]
    kind = EXPORT if compiled else FLOAT_FILE
    check_output(output, kind, {}, inputs=read, overwrite=overwrite)  # `save` asks of which run it is
    is_graph = identify(file) == NIR
    recordings = _recordings(data, frames, ("steps", "clip") if is_graph else ())
    if is_graph:
        refuse_ignored(["describe"], "is for tensors: a NIR graph says what network it is")
        imported = import_graph(file, graph, frames, name, recordings)
    else:
        refuse_graph_options()
        imported = _tensors(file, describe, name, recordings)
    out.print(*(f"{file}: {note}" for note in imported.notes))
    out.print(imported_line(imported))
    if not compiled:
        imported.save(output, overwrite=overwrite)
    else:
        net = api.compile(imported, profile, source=file).save(output, overwrite=overwrite)
        assert net.compilation is not None
        print_compilation(net.file, net.compilation, None, out)
    out.print(f"wrote {output}")


def _recordings(data: DataRequest, frames: FrameOptions, own: tuple[str, ...]) -> FrameSet | None:
    """own: options of frames that mean something without any."""
    if not data.dataset:
        alone = [name for name in (*FOLDERS, *FRAMES) if name not in own]
        refuse_ignored(alone, "without --dataset", "add --dataset NAME")
        return None
    data.refuse_idle()
    return data.load(frames)


def _tensors(file: Path, describe: Path | None, name: str | None, data: FrameSet | None) -> ImportedNetwork:
    from sast_deploy.exchange.statedict import from_state_dict

    if describe is None:
        what = "--describe is missing: tensors alone do not say what network they are"
        raise UsageError(what, where=file, expected="a description in TOML", todo="see docs/your-network.md")
    return from_state_dict(file, describe, name=name, data=data)
