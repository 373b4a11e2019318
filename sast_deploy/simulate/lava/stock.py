"""The same .net file on unmodified stock NetX and stock Lava processes: a witness and a yardstick.

One sample at a time, one Lava time step after the other, as NetX users run their networks. Stock neurons
reset to zero, so the spikes of a program that resets by subtraction differ, without a warning.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sast_deploy.errors import LavaError
from sast_deploy.simulate.lava.shared import share_frames
from sast_deploy.simulate.lava.supervisor import Limits, supervise


@dataclass(frozen=True, eq=False)
class StockRun:
    """What stock Lava did.

    weights: per layer, int64, what stock Lava computes with, (out, in) or (O, I, kH, kW).
    spikes: per layer but the readout, int64 (neurons, Lava time steps), or empty; stock layer l lags
    l + 1 steps behind the input.
    seconds: from the first to the last time step. start_seconds: to build and compile the network.
    """

    weights: tuple[npt.NDArray[np.int64], ...]
    spikes: tuple[npt.NDArray[np.int64], ...]
    seconds: float
    start_seconds: float


def run_stock(
    net_path: Path,
    frames: npt.NDArray[np.uint8],
    *,
    record: bool = False,
    timeout: float = 600.0,
) -> StockRun:
    """Load a .net file in stock `lava.lib.dl.netx.hdf5.Network` and run it.

    frames: uint8 (samples, time, C, H, W). record: fetch every spike, 20 microseconds each.
    timeout: seconds in all; stock Lava gives no sign of life while it runs.

    Raises:
        LavaError: Lava is missing, hung, or stock NetX refused the file; the message has its reason.
    """
    with tempfile.TemporaryDirectory(prefix="sast-stock-", ignore_cleanup_errors=True) as folder:
        run_dir = Path(folder)
        shared = share_frames(run_dir, frames)
        job = {"net": str(Path(net_path).resolve()), "frames": shared, "record": record}
        (run_dir / "job.json").write_text(json.dumps(job), encoding="utf-8")
        for _ in supervise("stock_child", run_dir, len(frames), Limits(timeout, timeout)):
            pass
        try:
            with np.load(run_dir / "stock.npz") as found:
                layers = range(int(found["layers"]))
                weights = tuple(found[f"weight{n}"] for n in layers)
                spikes = tuple(found[f"spikes{n}"] for n in layers if f"spikes{n}" in found)
                return StockRun(weights, spikes, float(found["seconds"]), float(found["start_seconds"]))
        except OSError as error:
            raise LavaError(f"stock Lava left no result: {error}") from error
