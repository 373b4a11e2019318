"""`sast-deploy classify`: what a network says of recordings of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import PATH, console, gathered, option, titled
from sast_deploy.commands.recordings import given_of, recording_options
from sast_deploy.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from sast_deploy.engines import EngineName


def left_out_facts(path: Path, error: str) -> dict[str, Any]:
    """What --json says of a recording that --skip-bad leaves out."""
    nothing = dict.fromkeys(("label", "margin", "logits"))
    return {"recording": path, "format": "", **nothing, "windows": [], "notes": [], "error": error}


def _options(**values: Any) -> dict[str, Any]:
    return given_of(values)


@command(
    "classify", "What a network says of a recording, window by window.",
    "sast-deploy classify netx_exports/sast-loihi-int4.net data/NMNIST/Test/3/00019.bin",
    "sast-deploy classify gesture.net wave.aedat4 --window-us 500000 --stride-us 100000 --json",
)
@click.argument("net", type=NET)
@click.argument("files", metavar="RECORDING...", type=PATH, nargs=-1, required=True)
@titled(
    "Run",
    option("--backend", type=click.Choice(ENGINE_NAMES), default="fast", show_default=True,
           help="All give the same."),
)  # fmt: skip
@gathered("recordings", _options, "Your recordings", *recording_options)
def classify_command(
    net: Path, files: tuple[Path, ...], backend: EngineName, recordings: dict[str, Any]
) -> int:
    """Classify each RECORDING with NET, which says how events become frames.

    With --json one line for each recording. One of several windows is classified by the sum of their logits.
    Windows, the sensor and the rest are those of training unless an option says otherwise.
    """
    from sast_deploy import api
    from sast_deploy.base.errors import DataError
    from sast_deploy.base.text import counted
    from sast_deploy.data.cache import notice
    from sast_deploy.show.classifying import print_classification

    ready, out, left_out = api.classifier(api.load(net), recordings=recordings, engine=backend), console(), 0
    for path in files:
        try:
            found = ready.classify_file(path)
        except DataError as error:
            if not ready.recordings.skip_bad:
                raise
            notice(f"left out: {error}")
            answer(left_out_facts(path, str(error)))
            left_out += 1
            continue
        print_classification(found, out)
        answer({**found.to_dict(), "error": None})
    if left_out:
        out.print(f"left out {left_out} of {counted(len(files), 'recording')}")
    return Exit.OK
