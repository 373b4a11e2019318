"""`sast-deploy verify`: do all engines give the same answer, and the one the file carries?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import COUNT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import DATA_OPTIONS, STALL, TIMEOUT, data_options, lava_options
from sast_deploy.engines import ENGINE_NAMES, INSTALLED

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines import EngineName
    from sast_deploy.engines.registry import LavaOptions

DEFAULT_SAMPLES = 20


@command(
    "verify", "Compare all engines, value by value, and replay the known answers.",
    "sast-deploy verify netx_exports/sast-loihi-int8.net",
    "sast-deploy verify netx_exports/sast-loihi-int8.net --known-answers-only --backend fast",
    "sast-deploy verify netx_exports/sast-loihi-int8.net --backend rtl",
)
@click.argument("net", type=NET)
@titled(
    "Comparison",
    option("--samples", type=COUNT, default=DEFAULT_SAMPLES, show_default=True,
           help="Test samples, evenly spread."),
    option("--backend", "backends", type=click.Choice(ENGINE_NAMES), multiple=True,
           help="Only this engine beside the reference; may be repeated. Left out: all but rtl, which needs "
                "a simulator of hardware."),
    option("--known-answers-only", is_flag=True, help="Replay the file's own vectors; needs no data."),
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own, not the test split."),
)  # fmt: skip
@data_options(None)
@lava_options(STALL, TIMEOUT)
def verify_command(
    net: Path,
    samples: int,
    backends: tuple[EngineName, ...],
    known_answers_only: bool,
    input_path: Path | None,
    data: DataRequest,
    lava: LavaOptions,
) -> int:
    """Run NET in all engines and compare every membrane potential and spike of every layer and step.

    First the file's known answers, then samples of its own test split, if it has one, or of --input. Exit
    code 1 at the first difference, which is printed with the inputs that led there; 3 if an engine is
    missing: leave it out with --backend.
    """
    from sast_deploy import api
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.show.verification import print_verification

    if known_answers_only:
        alone = ("samples", "input_path", *DATA_OPTIONS)
        refuse_ignored(alone, "with --known-answers-only, which needs no data")
    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    if "lava" not in (backends or INSTALLED):
        refuse_ignored(("stall", "timeout"), "is Lava's, which --backend leaves out")
    loaded, frames = api.load(net), None
    if input_path is not None:
        frames = api.inputs(loaded, load_array(input_path), samples=samples, name=str(input_path))
    found = api.verify(
        loaded, frames, data=data, samples=samples, engines=backends or INSTALLED,
        known_answers_only=known_answers_only, lava=lava,
    )  # fmt: skip
    print_verification(loaded.name, loaded.file, found, console())
    answer({"net": net, "ok": found.ok, "rows": found.rows, "unseen": found.unseen})
    return Exit.OK if found.ok else Exit.CHECK_FAILED
