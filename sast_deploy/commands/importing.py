"""`sast-deploy import`: a network that was trained elsewhere becomes a file of ours, or integers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
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
)
@click.argument("file", type=PATH)
@titled(
    "Network",
    option("--describe", type=PATH, help="Description of the layers in TOML: docs/your-network.md."),
    option("--name", help="Default: the file's."),
)
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
    profile: str,
    data: DataRequest,
    frames: FrameOptions,
    output: Path,
    overwrite: bool,
) -> None:
    """Read FILE, the tensors that torch.save(net.state_dict(), FILE) wrote; nothing in it is run.

    With --dataset the recordings that it was trained on belong to it from then on, and how events became
    frames: compile --calibrate, simulate and verify find them again. Its accuracy on the test split is
    measured in floating point.
    """
    from sast_deploy import api
    from sast_deploy.base.outputs import check_output
    from sast_deploy.exchange.network import FLOAT_FILE
    from sast_deploy.netx.export import EXPORT
    from sast_deploy.show.compilation import compilation_facts, print_compilation

    compiled, out = output.suffix == ".net", console()
    if not compiled:
        refuse_ignored(["profile"], "is for an output that ends in .net", "compile it with it afterwards")
    read = [each for each in (file, describe) if each is not None]
    kind = EXPORT if compiled else FLOAT_FILE
    check_output(output, kind, None if overwrite else {}, inputs=read, overwrite=overwrite)
    imported = _imported(file, describe, name, _recordings(data, frames))
    out.print(*(f"{file}: {note}" for note in imported.notes))
    out.print(_summary(imported))
    if not compiled:
        imported.save(output, overwrite=overwrite)
        compiled_facts = None
    else:
        net = api.compile(imported, profile, source=file).save(output, overwrite=overwrite)
        assert net.compilation is not None
        print_compilation(net.file, net.compilation, None, out)
        compiled_facts = compilation_facts(net.file, net.compilation, None)
    out.print(f"wrote {output}")
    answer({"network": output, **_facts(imported), "compilation": compiled_facts})


def _facts(imported: ImportedNetwork) -> dict[str, Any]:
    network = imported.network
    return {
        "name": imported.name, "notes": imported.notes, "shapes": network.shapes(), "steps": network.steps,
        "reset": network.reset, "reset_order": network.reset_order, "comparison": network.comparison,
        "classes": network.classes, "metrics": imported.metrics,
    }  # fmt: skip


def _recordings(data: DataRequest, frames: FrameOptions) -> FrameSet | None:
    if not data.dataset:
        alone = (*FOLDERS, *FRAMES)
        refuse_ignored(alone, "without --dataset", "add --dataset NAME")
        return None
    data.refuse_idle()
    return data.load(frames)


def _imported(file: Path, describe: Path | None, name: str | None, data: FrameSet | None) -> ImportedNetwork:
    from sast_deploy.exchange.statedict import from_state_dict

    if describe is None:
        raise UsageError(
            "--describe is missing: tensors alone do not say what network they are", where=file,
            expected="a description in TOML", todo="see docs/your-network.md",
        )  # fmt: skip
    return from_state_dict(file, describe, name=name, data=data)


def _summary(imported: ImportedNetwork) -> str:
    from sast_deploy.base.text import percent
    from sast_deploy.reports.accuracy import Accuracy

    network = imported.network
    shapes = " -> ".join("x".join(map(str, shape)) for shape in network.shapes())
    order = f" {network.reset_order}" if network.reset == "subtract" else ""
    line = f"{imported.name}: {shapes}, {network.steps} steps, reset {network.reset}{order}"
    if not (test := imported.metrics.get("test")):
        return line
    count = test["samples"]
    low, high = map(percent, Accuracy(round(test["hard"] * count), count).interval)
    return f"{line}; accuracy {percent(test['hard'])} ({low} to {high}) on {count} test samples"


