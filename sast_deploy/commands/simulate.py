"""`sast-deploy simulate`: run a .net file on its test split, or on frames of your own, and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import COUNT, OUTPUT, gathered, option, refuse_ignored, titled
from sast_deploy.commands.own_frames import OF_STOCK, Wanted, own_frames
from sast_deploy.commands.pricing import chip_option, table_option
from sast_deploy.commands.shared import (
    BATCH,
    DATA_OPTIONS,
    LAVA_OPTIONS,
    STALL,
    TIMEOUT,
    data_options,
    lava_options,
    overwrite_option,
)
from sast_deploy.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines.registry import LavaOptions

OF_OUR_FILES = (*DATA_OPTIONS, "samples", "check", "report", "labels_path", "chip", "table")


def _samples(_context: click.Context, _parameter: click.Parameter, text: str) -> int | None:
    if text in ("all", "none"):
        return None if text == "all" else 0
    if not text.isdecimal():
        raise UsageError(f"--check {text}", expected="a number of samples, all or none")
    return int(text)


@command(
    "simulate", "Run a .net file on its test split, or on your own frames, and report.",
    "sast-deploy simulate",
    "sast-deploy simulate netx_exports/sast-loihi-int4.net --check all",
    "sast-deploy simulate netx_exports/sast-loihi-int4.net --input frames.npy --labels labels.npy",
    "sast-deploy simulate theirs.net --input spikes.npy --steps 64 -o spikes.npz",
)
@click.argument("net", type=NET, required=False)
@titled(
    "Run",
    option("--samples", type=COUNT, help="Only N samples, evenly spread."),
    option("--check", default="100", show_default=True, metavar="N|all|none", callback=_samples,
           help="Samples, evenly spread, that the vectorised specification replays, and a few of them the "
                "reference, in Python integers."),
    option("--backend", type=click.Choice(ENGINE_NAMES),
           help="Default: lava; for other people's files fast."),
)  # fmt: skip
@data_options(None)
@own_frames
@lava_options(BATCH, STALL, TIMEOUT)
@gathered("prices", dict, "Cost", chip_option, table_option)
@titled("Output", option("--report", type=OUTPUT, help="Default: runs/<net name>/report.json; with --input "
                       "runs/<net name>/<input name>/report.json"))
@overwrite_option("a report or spikes")
def simulate_command(
    net: Path | None,
    samples: int | None,
    check: int | None,
    backend: str | None,
    data: DataRequest,
    own: dict[str, Any],
    lava: LavaOptions,
    report: Path | None,
    prices: dict[str, Any],
    overwrite: bool,
) -> int:
    """Run NET (default: the newest export) on the test split of its own data set, or on --input, and report.

    Its last lines price an inference, on up to 100 of the samples, as `sast-deploy cost` does in full.
    Exit code 1 if the reference disagrees on any spike count or logit. A NET of somebody else's, a stock
    NetX file, runs on the array --input, with the results that stock Lava gives.
    """
    from sast_deploy.base.reading.files import NET, STOCK, identify
    from sast_deploy.commands.running import simulate_ours
    from sast_deploy.commands.stock import simulate_stock
    from sast_deploy.netx.export import newest_export
    from sast_deploy.netx.foreign.reader import STOCK_FILE
    from sast_deploy.netx.program_group import EXPECTED

    path = net or newest_export()
    kind = identify(path, EXPECTED if own["input_path"] is None else STOCK_FILE)
    if kind == STOCK:
        refuse_ignored(OF_OUR_FILES, f"is for sast-deploy's own files; {path} is a stock NetX file")
    stock = kind == STOCK or (own["input_path"] is not None and kind != NET)
    engine = backend or ("fast" if stock else "lava")
    if engine != "lava":
        refuse_ignored(
            LAVA_OPTIONS, f"is Lava's, and this runs on {engine}", "leave it out, or --backend lava"
        )
    wanted = Wanted(samples, check, engine, data, lava, report, overwrite, **prices, **own)
    if stock:
        simulate_stock(path, wanted)
        return 0
    refuse_ignored(OF_STOCK, "is for stock NetX files", f"sast-deploy wrote {path}: leave the option out")
    if engine == "reference":
        refuse_ignored(["check"], "with --backend reference: the reference would check itself")
    return simulate_ours(path, wanted)
