"""What `compile --calibrate` takes, and the samples that it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sast_deploy.commands.options import SEED, console, option, titled

if TYPE_CHECKING:
    from sast_deploy.data import FrameSet
    from sast_deploy.data.request import DataRequest
    from sast_deploy.exchange.network import ImportedNetwork
    from sast_deploy.training.checkpoint import Checkpoint

calibration_options = titled(
    "Calibration",
    option(
        "--calibrate", metavar="DATASET",
        help="Choose the integers on training samples of this data set, normally the checkpoint's own.",
    ),
    option(
        "--calibrate-steps", metavar="STEPS",
        help="Of clipping,search,rounding,correction; default: all. Each is kept only if the loss does not "
        "grow.",
    ),
    option("--seed", type=SEED, help="Of the samples that calibration draws; default 0."),
)  # fmt: skip


def calibration_frames(path: Path, trained: Checkpoint | ImportedNetwork, wanted: DataRequest) -> FrameSet:
    """The samples to calibrate with; says what they are. Raises DataError."""
    from sast_deploy.calibration.data import own_recordings
    from sast_deploy.data.request import load_recorded

    data, frames = own_recordings(trained)
    found, out = load_recorded(path, data, frames, wanted), console()
    out.print(f"calibration data: training samples of {found.info.provenance}")
    if found.info.unlike(data):
        out.print("WARNING: not the frames it was trained on: validation samples may be training samples")
    return found
