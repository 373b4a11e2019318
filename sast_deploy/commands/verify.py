"""`sast-deploy verify`: do all engines give the same answer, and the one the file carries?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, NetFileError
from sast_deploy.commands.inspect import refuse_without_data
from sast_deploy.commands.options import (
    COUNT,
    DATA_OPTIONS,
    PATH,
    SECONDS,
    Command,
    console,
    data_options,
    example,
    refuse_ignored,
)

if TYPE_CHECKING:
    from sast_deploy.show.blocks import Table
    from sast_deploy.verification.comparison import Comparison

DEFAULT_SAMPLES = 20
NAMES = ("reference", "fast", "lava")


@click.command(
    "verify",
    cls=Command,
    short_help="Compare all engines, value by value, and replay the known answers.",
    epilog=example(
        "sast-deploy verify netx_exports/sast-loihi-int8.net",
        "sast-deploy verify netx_exports/sast-loihi-int8.net --known-answers-only --backend fast",
    ),
)
@click.argument("net", type=PATH)
@click.option(
    "--samples",
    type=COUNT,
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Test samples, evenly spread.",
)
@click.option(
    "--backend",
    "backends",
    type=click.Choice(NAMES),
    multiple=True,
    help="Only this engine beside the reference; may be repeated.",
)
@click.option("--known-answers-only", is_flag=True, help="Replay the file's own vectors; needs no data.")
@data_options(None)
@click.option("--stall", type=SECONDS, default=120.0, show_default=True, help="Seconds of silence: hung.")
@click.option("--timeout", type=SECONDS, help="Seconds that Lava may take in all; default: no limit.")
def verify_command(
    net: Path,
    samples: int,
    backends: tuple[str, ...],
    known_answers_only: bool,
    stall: float,
    timeout: float | None,
    **data: Any,
) -> int:
    """Run NET in all engines and compare every membrane potential and spike of every layer and step.

    First the file's known answers, then samples of its own test split. Exit code 1 at the first difference,
    which is printed with the inputs that led there; 3 if an engine is missing: leave it out with --backend.
    """
    from sast_deploy.base.reading.files import STOCK, identify
    from sast_deploy.commands.loading import load_spread
    from sast_deploy.netx.file import read_net
    from sast_deploy.netx.program_group import EXPECTED
    from sast_deploy.verification.comparison import blind_spots, compare, load_engines, replay_known

    if known_answers_only:
        refuse_ignored(("samples", *DATA_OPTIONS), "with --known-answers-only, which needs no data")
    if "lava" not in (backends or NAMES):
        refuse_ignored(("stall", "timeout"), "is Lava's, which --backend leaves out")
    refuse_without_data(net, identify(net, EXPECTED) == STOCK)
    content = read_net(net)
    engines = load_engines(backends or NAMES, net, content.program, stall, timeout)
    if known_answers_only and content.known is None:
        raise NetFileError("holds no known answers", where=net, todo="compile the checkpoint again")
    frames = None if known_answers_only else load_spread(content, net, samples, **data)[0]
    out = console()
    rows: list[Comparison] = []
    if content.known is None:
        out.print(f"{net}: holds no known answers")
    else:
        rows += replay_known(content.program, content.known, engines)
    if frames is not None:
        rows += compare(content.program, frames, engines, "test split")
    out.print(f"{net}: program {content.program.digest()}", _table(rows))
    if content.known is not None and not any(row.problem for row in rows):
        names = blind_spots(content.program, content.known, engines.get("fast", engines["reference"]))
        out.print(f"never in play in the known answers: {', '.join(names) or 'none'}")
    out.print(*(line for row in rows for line in row.problem))
    return Exit.CHECK_FAILED if any(row.problem for row in rows) else Exit.OK


def _table(rows: list[Comparison]) -> Table:
    from sast_deploy.show.blocks import Table

    cells = []
    for row in rows:
        right = "the file's answers" if row.data == "known answers" else "equal to the reference"
        right = "the specification" if row.engine == "reference" and row.data != "known answers" else right
        verdict = "DIFFERS" if row.problem else right
        cells.append(
            (row.engine, row.data, str(row.samples), f"{row.values:,}", f"{row.seconds:.2f}", verdict)
        )
    columns = ("engine", "data", "samples", "values compared", "seconds", "verdict")
    return Table("", columns, tuple(cells))
