"""`sast-deploy inspect`: what a .net file is, what is proved of it, which limits it meets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.identity import FRAMES, INSPECTION, digest_of, inspect_run
from sast_deploy.commands.options import (
    COUNT,
    DATA_OPTIONS,
    OUTPUT,
    PATH,
    Command,
    console,
    data_options,
    example,
    overwrite_option,
    refuse_ignored,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sast_deploy.netx.file import NetFile
    from sast_deploy.reports.inspection import Saturation


@click.command(
    "inspect",
    cls=Command,
    short_help="What a .net file is, what is proved of it, which limits it meets.",
    epilog=example(
        "sast-deploy inspect netx_exports/sast-loihi-int8.net",
        "sast-deploy inspect netx_exports/sast-loihi-int8.net --samples 100 --json facts.json",
        "sast-deploy inspect netx_exports/sast-loihi-stock.net --fail-on-limits",
    ),
)
@click.argument("net", type=PATH)
@click.option("--samples", type=COUNT, help="Also count saturated states on N test samples.")
@click.option(
    "--json", "json_path", type=OUTPUT,
    help="Write everything as JSON too; -: to stdout, instead of the text.",
)  # fmt: skip
@click.option("--fail-on-limits", is_flag=True, help="Exit code 1 where a limit of a Loihi 1 core is broken.")
@overwrite_option("the JSON file")
@data_options(None)
def inspect_command(
    net: Path, samples: int | None, json_path: Path | None, fail_on_limits: bool, overwrite: bool, **data: Any
) -> int:
    """Say what NET is, from the file alone: origin, proofs, memory, and the limits of a Loihi 1 core.

    The last line says whether such cores hold it, and how many it takes. A NET of somebody else's, a stock
    NetX file, is inspected too, but for --samples: it carries no data.
    """
    from sast_deploy.base.files import write_text
    from sast_deploy.base.outputs import STDOUT, check_output, with_run
    from sast_deploy.base.reading.files import STOCK, identify
    from sast_deploy.commands.loading import load_spread
    from sast_deploy.netx.file import read_net
    from sast_deploy.netx.program_group import EXPECTED
    from sast_deploy.proofs.limits import broken_limits
    from sast_deploy.reports.inspection import inspect_net, inspect_stock, print_inspection

    if samples is None:
        refuse_ignored(DATA_OPTIONS, "without --samples: no data are looked at", "add --samples N")
    kind = identify(net, EXPECTED)
    made = inspect_run(digest_of(net), samples, data)
    if json_path in (None, STDOUT):
        refuse_ignored(["overwrite"], "without --json FILE")

    def check() -> None:
        if json_path not in (None, STDOUT):
            check_output(json_path, INSPECTION, made, inputs=(net,), overwrite=overwrite, option="--json")

    check()
    if kind == STOCK:
        refuse_without_data(net, samples is not None)
        found = inspect_stock(net)
    else:
        content, saturation = read_net(net), None
        if samples:
            frames, made[FRAMES] = load_spread(content, net, samples, **data)
            check()
            saturation = _saturation(content, frames)
        found = inspect_net(content, net, saturation)
    text = with_run(found.to_json(), made)
    failed = fail_on_limits and bool(broken_limits(found.limits))
    out = console()
    if json_path == STDOUT:
        click.echo(text, nl=False)
        return Exit.CHECK_FAILED if failed else Exit.OK
    if json_path is not None:
        write_text(json_path, text)
        out.print(f"wrote {json_path}")
    print_inspection(found, out)
    return Exit.CHECK_FAILED if failed else Exit.OK


def refuse_without_data(net: Path, wanted: bool) -> None:
    """Raise UsageError where data are `wanted` of a stranger's file, which carries none."""
    if wanted:
        raise UsageError(
            "a stock NetX file that sast-deploy did not write: no data and no known answers belong to it",
            where=net,
            todo=f"run it on your own input, `sast-deploy simulate {net} --input ARRAY.npy`",
        )


def _saturation(net: NetFile, frames: NDArray[np.uint8]) -> Saturation:
    """Run frames in the fast engine and count the membrane potentials at the ends of their range."""
    from sast_deploy.engines.fast import run_fast
    from sast_deploy.proofs.bounds import states_at_the_ends
    from sast_deploy.reports.inspection import Saturation

    traces = run_fast(net.program, frames, trace=True).traces or ()
    membranes = [trace.membrane for trace in traces]
    states = [membrane.size for membrane in membranes]
    return Saturation(
        len(frames), tuple(zip(states_at_the_ends(net.program, membranes), states, strict=True))
    )
