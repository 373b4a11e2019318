"""A .net file on unmodified stock NetX and stock Lava processes: the tests' judge, the benchmarks' yardstick.

One sample at a time, one Lava time step after the other, as NetX users run their networks. Stock neurons
reset to zero, so the spikes of a program that resets by subtraction differ, without a warning.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import LavaError
from sast_deploy.engines.lava.supervisor import Limits, Watch, raise_failure


@dataclass(frozen=True)
class StockOptions:
    """What a user of stock NetX chooses: the arguments of `hdf5.Network`.

    message_bits: 0 makes every nonzero input count as 1. reset_interval: 0 for never, None for every sample.
    reset_offset: 1 where a sample's first frame reaches the first neurons one step late, as it does through
    a synapse; 0 for a file whose input layer has neurons. input_shape: (C, H, W) where the file has none.
    """

    message_bits: int = 8
    reset_interval: int | None = None
    reset_offset: int = 1
    input_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class StockRun:
    """What stock Lava did.

    weights: per layer with synapses, int64, what stock Lava computes with, (out, in) or (O, I, kH, kW).
    spikes: per layer, int64 (neurons in C, H, W order, Lava time steps), or empty; a stock synapse sends
    one step late, so layer l lags l + 1 steps behind the input (l where the input layer has neurons).
    membranes: likewise, after the reset: 0 where the neuron has spiked.
    seconds: from the first to the last time step. start_seconds: to build and compile the network.
    """

    weights: tuple[npt.NDArray[np.int64], ...]
    spikes: tuple[npt.NDArray[np.int64], ...]
    membranes: tuple[npt.NDArray[np.int64], ...]
    seconds: float
    start_seconds: float


class Starter(Protocol):
    """Runs the job of a folder in another way than in a fresh process; see server.py."""

    def run(self, run_dir: Path, timeout: float) -> int:
        """The exit code, or -signal."""


def run_stock(
    net_path: Path,
    frames: npt.NDArray[Any],
    *,
    record: bool = False,
    options: StockOptions | None = None,
    timeout: float = 600.0,
    starter: Starter | None = None,
) -> StockRun:
    """Load a .net file in stock `lava.lib.dl.netx.hdf5.Network` and run it.

    frames: numbers (samples, time, C, H, W), which stock Lava makes integers; where the input layer has
    neurons, integers: their biases.
    record: fetch every membrane and spike, 20 microseconds each. timeout: seconds in all; stock Lava gives
    no sign of life while it runs. starter: instead of a fresh process, which imports Lava first.

    Raises:
        LavaError: Lava is missing, hung, or stock NetX refused the file; the message has its reason.
    """
    with tempfile.TemporaryDirectory(prefix="sast-stock-", ignore_cleanup_errors=True) as folder:
        run_dir = Path(folder)
        np.save(run_dir / "frames.npy", frames)
        job = {"net": str(Path(net_path).resolve()), "record": record, **asdict(options or StockOptions())}
        (run_dir / "job.json").write_text(json.dumps(job), encoding="utf-8")
        if starter is not None:
            raise_failure(run_dir, starter.run(run_dir, timeout))
        else:
            for _ in Watch("tools.stocklava.child", run_dir, len(frames), Limits(timeout, timeout)):
                pass
        try:
            with np.load(run_dir / "stock.npz") as found:
                arrays = {
                    kind: tuple(found[f"{kind}{n}"] for n in range(len(found.files)) if f"{kind}{n}" in found)
                    for kind in ("weights", "spikes", "membranes")
                }
                return StockRun(
                    **arrays, seconds=float(found["seconds"]), start_seconds=float(found["start_seconds"])
                )
        except OSError as error:
            raise LavaError(f"stock Lava left no result: {error}") from error
