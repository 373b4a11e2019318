"""`sast-deploy trace`: one sample step by step, as arrays and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import INDEX, OUTPUT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.recordings import RECORDING_OPTIONS
from sast_deploy.commands.shared import DATA_OPTIONS, data_options, overwrite_option
from sast_deploy.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from sast_deploy.api import Net
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines import EngineName

NO_RECORDING = [each for each in DATA_OPTIONS if each not in RECORDING_OPTIONS]


@command(
    "trace", "One sample step by step: spikes, membranes, logits.",
    "sast-deploy trace netx_exports/sast-loihi-int4.net --sample 7 --plot trace.svg",
    "sast-deploy trace netx_exports/sast-loihi-int4.net data/NMNIST/Test/3/00019.bin -o trace.npz",
)
@click.argument("net", type=PATH)
@click.argument("recording", type=PATH, required=False)
@titled(
    "Run",
    option("--sample", type=INDEX, default=0, show_default=True,
           help="Its number in the test split, in --input, or among the windows of RECORDING."),
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own."),
    option("--backend", type=click.Choice(ENGINE_NAMES), default="fast", show_default=True,
           help="All give the same."),
)  # fmt: skip
@data_options(None)
@titled(
    "Output",
    option("-o", "--output", type=OUTPUT, metavar="NPZ", help="Arrays: frames, spikes, membranes, logits."),
    option("--plot", type=OUTPUT, help="Picture: .svg, .pdf or .png."),
)  # fmt: skip
@overwrite_option("arrays or a picture")
def trace_command(
    net: Path,
    recording: Path | None,
    sample: int,
    input_path: Path | None,
    backend: EngineName,
    data: DataRequest,
    output: Path | None,
    plot: Path | None,
    overwrite: bool,
) -> int:
    """Run a sample of NET's test split, of --input, or a RECORDING, and show what every layer did with it.

    The picture has the events, the spikes of every layer as a raster, the membrane potentials of some
    neurons, those that fired in about half of the steps, with their threshold, and the logits over time.
    """
    from functools import partial

    from sast_deploy import api
    from sast_deploy.base.outputs import NPZ, ORIGIN_MEMBER, check_output, json_array, picture_kind
    from sast_deploy.engines.stockrun import write_npz
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.show.trace import draw_trace, print_trace

    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    if recording is not None:
        refuse_ignored(["input_path", *NO_RECORDING], "with RECORDING, which is run")
    if output is None and plot is None:
        refuse_ignored(["overwrite"], "without -o or --plot: nothing is written")
    loaded = api.load(net)
    own = input_path or recording
    made = _origin(loaded, sample, own, backend, data)
    guard = partial(
        check_output, origin=made, inputs=[each for each in (net, own) if each], overwrite=overwrite
    )
    if output is not None:
        guard(output, NPZ)
    if plot is not None:
        guard(plot, picture_kind(plot), option="--plot")
    frames = None if input_path is None else load_array(input_path)
    if recording is not None:
        frames = api.classifier(loaded, recordings=data.recordings).frames_of(recording, sample)[None]
    which: dict[str, Any] = {"sample": 0 if recording else sample, "data": None if own else data}
    name = f"{recording}, window {sample}" if recording else str(input_path or "frames")
    found, out = api.trace(loaded, frames, engine=backend, name=name, **which), console()
    print_trace(found, out)
    if output is not None:
        write_npz(output, {**found.arrays(), ORIGIN_MEMBER: json_array(made)})
    if plot is not None:
        draw_trace(found, plot, made)
    out.print(*(f"wrote {each}" for each in (output, plot) if each is not None))
    answer({"net": net, **found.to_dict(), "output": output, "plot": plot})
    return Exit.OK


def _origin(
    net: Net, sample: int, own: Path | None, engine: str, data: DataRequest
) -> dict[str, Any]:
    """What the arrays and the picture depend on."""
    from sast_deploy.base.files import input_digest
    from sast_deploy.data.request import recorded_data

    if own is None:
        test = data.identity(recorded_data(net.file, net.name)[0])
    else:
        test = {"data": None, "folder": None, "holdout": None, "input": input_digest(own)}
        if data.recordings is not None:
            test["recordings"] = data.recordings.to_dict()
    return {"program": net.program.digest(), **test, "sample": sample, "engine": engine}
