"""Options of `sast-deploy simulate` for frames of one's own, and for strangers' networks on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.commands.options import COUNT, OUTPUT, PATH, gathered, option

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines.registry import LavaOptions

OF_STOCK = ("input_shape", "steps", "reset_interval", "message_bits")


def _shape(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    sizes = [int(part) for part in text.split(",") if part.strip().isascii() and part.strip().isdecimal()]
    if len(sizes) != 3 or text.count(",") != 2 or min(sizes) < 1:
        raise click.BadParameter(f"{text!r} is not C,H,W, such as 2,34,34")
    return tuple(sizes)


own_frames = gathered(
    "own", dict, "Your own frames",
    option("--input", "input_path", type=PATH, metavar="NPY",
           help="(samples, time, C, H, W), (time, C, H, W) or (time, n)."),
    option("--labels", "labels_path", type=PATH, metavar="NPY", help="Class indices (samples,)."),
    option("--steps", type=COUNT, help="Of a stock NetX file: default time + latency."),
    option("--reset-interval", type=COUNT, help="Of a stock NetX file: clear all states every N steps."),
    option("--message-bits", type=click.IntRange(0, 32),
           help="Of a stock NetX file: bits of graded inputs; default 0, every nonzero input is a spike."),
    option("--input-shape", callback=_shape, metavar="C,H,W",
           help="Of a flat array, where a stock NetX file begins with a convolution."),
    option("--traces", is_flag=True, help="Write every layer's membrane potentials and spikes, too."),
    option("-o", "--output", type=OUTPUT, help="Default: runs/<net name>/spikes.npz, for our own files "
           "runs/<net name>/<input name>/spikes.npz"),
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; see the help of `sast-deploy simulate`."""

    samples: int | None
    check: int | None
    engine: Any
    data: DataRequest
    lava: LavaOptions
    report: Path | None
    overwrite: bool
    chip: str
    table: str | None
    input_path: Path | None
    labels_path: Path | None
    steps: int | None
    reset_interval: int | None
    message_bits: int | None
    input_shape: tuple[int, int, int] | None
    traces: bool
    output: Path | None
