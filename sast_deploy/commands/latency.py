"""`sast-deploy latency`: how long a circuit takes for an inference, exact to the cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.circuits import LANES
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import (
    COUNT,
    OUTPUT,
    PATH,
    Finite,
    console,
    option,
    refuse_ignored,
    titled,
)
from sast_deploy.commands.shared import DATA_OPTIONS, data_options, overwrite_option
from sast_deploy.exchange import DEVICE_NAMES

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "latency", "How long a circuit takes for an inference, exact to the cycle.",
    "sast-deploy latency netx_exports/sast-loihi-int4.net",
    "sast-deploy latency netx_exports/sast-loihi-int4.net --lanes 24,8,10 --clock 100",
    "sast-deploy latency netx_exports/sast-loihi-int4.net --target ecp5-85k --plot lanes.png",
)
@click.argument("net", type=NET)
@titled(
    "Circuit",
    option("--lanes", type=LANES, metavar="N,N,...",
           help="Neurons that each layer with weights computes at once; left out: 8, or its outputs."),
    option("--clock", type=Finite(min=0, min_open=True), metavar="MHZ", help="For times beside cycles."),
)  # fmt: skip
@titled(
    "Search for lanes",
    option("--target", type=click.Choice(DEVICE_NAMES[1:]),
           help="Within this device's memories and multipliers."),
    option("--budget", type=LANES, metavar="BLOCKS,MULTIPLIERS",
           help="Within so many block memories of 18 kbit and multipliers, in place of a device's."),
)  # fmt: skip
@titled(
    "Samples and output",
    option("--samples", type=COUNT, default=100, show_default=True, help="Test samples, evenly spread."),
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own, not the test split."),
    option("--plot", type=OUTPUT, help="Picture: .svg, .pdf or .png."),
)  # fmt: skip
@overwrite_option("another picture")
@data_options(None)
def latency_command(
    net: Path, lanes: tuple[int, ...] | None, clock: float | None, target: str | None,
    budget: tuple[int, ...] | None, samples: int, input_path: Path | None, plot: Path | None, overwrite: bool,
    data: DataRequest,
) -> int:  # fmt: skip
    """Count the cycles that the circuit of `export --to rtl` takes for samples of NET's own data set.

    The closed form is exact: `verify --backend rtl` simulates the circuit itself. Cycles are those of a
    sample alone, from its first event to its result, by layer and phase; with --target or --budget also a
    search for lanes.
    """
    from sast_deploy import api
    from sast_deploy.base.outputs import check_output, picture_kind
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.show.latency import draw_latency, print_latency

    if target is not None:
        refuse_ignored(("budget",), "with --target, whose budget it is in place of")
    if budget is not None and len(budget) != 2:
        wanted = "block memories and multipliers: 100,64"
        raise UsageError(f"--budget of {len(budget)} numbers", expected=wanted)
    if plot is None:
        refuse_ignored(["overwrite"], "without --plot: nothing is written")
    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    if plot is not None:
        inputs = [each for each in (net, input_path) if each]
        check_output(plot, picture_kind(plot), inputs=inputs, overwrite=overwrite, option="--plot")
    loaded = api.load(net)
    own = None if input_path is None else load_array(input_path)
    found = api.latency(
        loaded, own, data=data, samples=samples, lanes=lanes, mhz=clock, target=target, budget=budget
    )  # fmt: skip
    print_latency(found, console())
    if plot is not None:
        draw_latency(found, plot)
        console().print(f"wrote {plot}")
    answer({**found.to_dict(), "plot": plot})
    return Exit.OK
