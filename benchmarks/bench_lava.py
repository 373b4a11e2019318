"""Batched Lava against stock Lava: the fully connected network on 10,000 samples x 10 steps.

    python benchmarks/bench_lava.py [--samples N] [--stock-samples N] [--repeat N]

Random INT8 weights, frames of which 8 % are nonzero. Both times, by the clock and of all processors, are with
everything that a run needs: a fresh interpreter, imports, compilation, the steps. Stock Lava runs one sample
at a time, as NetX runs them, and fewer of them, once a few and once --stock-samples more: the difference
gives its time per sample, the rest is its start.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from figures import deliver, takes_figures
from turns import Cost, Path as Timed, in_turns

from sast_deploy.base.text import percent
from sast_deploy.engines.lava import run_lava
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, frozen_ints

SHAPE, HIDDEN, CLASSES, STEPS, DENSITY, COUNT_MAX = (2, 34, 34), (168, 64), 10, 10, 0.08, 4
RULES = Arithmetic(QFormat(16, 8), 8, "saturate", "toward-zero", "half-up", ">=", "subtract")
FEW = 5


def main() -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the judge is a tool beside the package
    from tools.stocklava import run_stock

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--stock-samples", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    takes_figures(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lava-") as folder:
        net, frames = prepare(Path(folder), options.samples)
        paths = {"batched": Timed(lambda: run_lava(net, frames))}
        for count in (FEW, FEW + options.stock_samples):
            paths[str(count)] = Timed(lambda count=count: run_stock(net, frames[:count]))
        costs = in_turns(paths, options.repeat, warm_up=0)
    few, many = costs[str(FEW)], costs[str(FEW + options.stock_samples)]
    stock = extrapolated(few, many, options.stock_samples, options.samples)
    report(options, costs["batched"], stock)
    deliver(options.figures, conclude(costs["batched"], stock))


def extrapolated(few: Cost, many: Cost, more: int, samples: int) -> Cost:
    """Of `samples`, from the costs of FEW and of so many more."""
    clock, processor = (
        low + (high - low) / more * (samples - FEW)
        for low, high in ((few.clock, many.clock), (few.processor, many.processor))
    )
    return Cost(clock, processor)


def conclude(ours: Cost, stock: Cost) -> dict[str, float]:
    return {
        "lava.stock": stock.clock / ours.clock, "lava.stock@cpu": stock.processor / ours.processor,
        "lava.seconds": ours.clock, "lava.seconds@cpu": ours.processor,
    }  # fmt: skip


def report(options: argparse.Namespace, ours: Cost, stock: Cost) -> None:
    network = "-".join(map(str, (np.prod(SHAPE), *HIDDEN, CLASSES)))
    print(f"{stock.clock / ours.clock:.1f} times faster than stock Lava by the clock")
    print(f"{stock.processor / ours.processor:.1f} times by processor time")
    print(f"batched: {ours.clock:.2f} s, processors {ours.processor:.2f} s")
    print(f"stock:   {stock.clock:.1f} s, processors {stock.processor:.1f} s, extrapolated")
    print(f"{options.samples} samples x {STEPS} steps, {network}, frames {percent(DENSITY)} nonzero")


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
