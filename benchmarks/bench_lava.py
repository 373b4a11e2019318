"""Batched Lava against stock Lava: the fully connected network on 10,000 samples x 10 steps.

    python benchmarks/bench_lava.py [--samples N] [--stock-samples N] [--repeat N]

Random INT8 weights, frames of which 8 % are nonzero. Both times are wall time with everything that a run
needs: a fresh interpreter, imports, compilation, the steps. Stock Lava runs fewer samples, one at a time, as
NetX runs them; its time for all of them is its start plus its time per sample times their number.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sast_deploy.base.text import percent
from sast_deploy.engines.lava import run_lava
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, frozen_ints

SHAPE, HIDDEN, CLASSES, STEPS, DENSITY, COUNT_MAX = (2, 34, 34), (168, 64), 10, 10, 0.08, 4
RULES = Arithmetic(QFormat(16, 8), 8, "saturate", "toward-zero", "half-up", ">=", "subtract")


def main() -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the judge is a tool beside the package
    from tools.stocklava import run_stock

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--stock-samples", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lava-") as folder:
        net, frames = prepare(Path(folder), options.samples)
        ours, stock = [], []
        for _ in range(options.repeat):  # alternating, so that a busy machine slows both
            ours.append(seconds(lambda: run_lava(net, frames)))
            run = run_stock(net, frames[: options.stock_samples])
            stock.append(run.start_seconds + run.seconds / options.stock_samples * options.samples)
    report(options, ours, stock)


def report(options: argparse.Namespace, ours: list[float], stock: list[float]) -> None:
    ratio = np.median(stock) / np.median(ours)
    network = "-".join(map(str, (np.prod(SHAPE), *HIDDEN, CLASSES)))
    print(f"{ratio:.1f} times faster than stock Lava")
    print(f"batched: {np.median(ours):.2f} s (runs: {listed(ours)})")
    print(
        f"stock:   {np.median(stock):.1f} s (runs: {listed(stock)}), extrapolated from "
        f"{options.stock_samples} samples"
    )
    print(f"{options.samples} samples x {STEPS} steps, {network}, frames {percent(DENSITY)} nonzero")
    print(f"{os.cpu_count()} cores ({platform.machine()}), load average {os.getloadavg()[0]:.1f}")


def listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def seconds(act) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def prepare(folder: Path, samples: int) -> tuple[Path, np.ndarray]:
    """A random network of N-MNIST's size, and frames mapped from a file as the frame cache has them."""
    rng = np.random.default_rng(0)
    sizes = (int(np.prod(SHAPE)), *HIDDEN)
    half = frozen_ints([2048])
    hidden = [
        Dense(ints(rng, 127, (outputs, inputs)), ints(rng, 50, outputs), thresholds(rng, outputs), 1, half)
        for inputs, outputs in zip(sizes, HIDDEN, strict=False)
    ]
    readout = Readout(ints(rng, 127, (CLASSES, HIDDEN[-1])), ints(rng, 9, CLASSES), 1)
    labels = tuple(map(str, range(CLASSES)))
    write_net(
        folder / "bench.net",
        NetFile(Program("bench", SHAPE, COUNT_MAX, STEPS, labels, RULES, (*hidden, readout)), ""),
    )
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (samples, STEPS, *SHAPE))
    for n in range(samples):
        busy = rng.random((STEPS, *SHAPE), dtype=np.float32) < DENSITY
        frames[n] = rng.integers(1, COUNT_MAX + 1, busy.shape, dtype=np.uint8) * busy
    frames.flush()
    return folder / "bench.net", np.load(folder / "frames.npy", mmap_mode="r")


def ints(rng: np.random.Generator, limit: int, shape) -> np.ndarray:
    return frozen_ints(rng.integers(-limit, limit + 1, shape))


def thresholds(rng: np.random.Generator, size: int) -> np.ndarray:
    return frozen_ints(rng.integers(500, 3000, size))


if __name__ == "__main__":
    main()
