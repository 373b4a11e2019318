"""A training pass against the bare matrix products of its own layers, side by side in one run.

    python benchmarks/bench_train.py [--data-root DIR] [--dataset nmnist] [--threads 2] [--repeat 40]

"pass" is forward + backward of one minibatch (128 samples, T = 10, 2312-168-64-10); "products" are the same
layers' fp32 products alone: forward, weight gradients, and the input gradients that are needed. "step" is
what one optimizer step costs, minibatch reading included, at rho = 0 and at rho = 0.3. Without --data-root
the input is random, 8 % dense, as dense as real N-MNIST frames. Medians of interleaved repetitions. The pass
can beat the products because its first layer skips the zeros of the input.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sast_deploy.batches import BatchFeeder
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.network import Network, cross_entropy, network_spec
from sast_deploy.recipes import RECIPES, Recipe
from sast_deploy.sam import SAM

BATCH, STEPS, SHAPE, CLASSES, DENSITY, CLIP = 128, 10, (2, 34, 34), 10, 0.08, 4
LIMIT = 2.0


def random_feeder() -> BatchFeeder:
    rng = np.random.default_rng(0)
    frames = (rng.random((1024, STEPS, *SHAPE)) < DENSITY).astype(np.uint8)
    return BatchFeeder(frames, rng.integers(0, CLASSES, 1024), CLIP, torch.device("cpu"))


def recorded_feeder(dataset: str, data_root: Path | None) -> BatchFeeder:
    data = load_frames(dataset, FrameOptions(), data_root=data_root)
    print(data.info.summary())
    return BatchFeeder(data.train.frames, data.train.labels, data.options.clip, torch.device("cpu"))


def training_pass(network: Network, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        network.zero_grad()
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]

    return run


def products(network: Network, x: torch.Tensor) -> Callable[[], None]:
    """Each layer's products: y = x W^T, then dW = g^T x, then dx = g W (not for the first layer)."""
    operands = []
    s = x.flatten(0, 1)
    for layer in network.layers:
        g = torch.randn(len(s), layer.out_features)
        operands.append((s, layer.weight.detach(), g))
        s = g
    mean = torch.randn(BATCH, network.readout.in_features)
    operands.append((mean, network.readout.weight.detach(), torch.randn(BATCH, CLASSES)))

    def run() -> None:
        for number, (s, weight, g) in enumerate(operands):
            s @ weight.T
            g.T @ s
            if number:
                g @ weight

    return run


def optimizer_step(feeder: BatchFeeder, plan: Recipe, rho: float) -> Callable[[], None]:
    network = Network(network_spec("fc", SHAPE, CLASSES))
    sam = SAM(network.parameters(), torch.optim.Adam(network.parameters(), 1e-3), rho)
    rng = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        indices = rng.choice(len(feeder.labels), BATCH, replace=False)
        x, y = feeder.batch(indices, plan, rng)
        return cross_entropy(network(x), y)

    return lambda: sam.step(loss, loss) and None


def medians(runs: dict[str, Callable[[], None]], repeat: int) -> dict[str, float]:
    """Median seconds of each, taken in turns so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeat + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number >= 3:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--dataset", default="nmnist")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    feeder = recorded_feeder(options.dataset, options.data_root) if options.data_root else random_feeder()
    x, y = feeder.batch(np.arange(BATCH))
    network = Network(network_spec("fc", SHAPE, CLASSES))
    runs = {
        "products": products(network, x),
        "pass": training_pass(network, x, y),
        "step, baseline": optimizer_step(feeder, RECIPES["paper"], 0.0),
        "step, SAST": optimizer_step(feeder, RECIPES["paper"], 0.3),
        "step, best, baseline": optimizer_step(feeder, RECIPES["best"], 0.0),
        "step, best, SAST": optimizer_step(feeder, RECIPES["best"], 0.3),
    }
    seconds = medians(runs, options.repeat)
    density = float((x > 0).float().mean())
    print(f"{options.threads} threads, batch {BATCH}, T {STEPS}, input {density:.1%} dense")
    for name, value in seconds.items():
        print(f"{name:<22}{value * 1e3:8.2f} ms")
    ratio = seconds["pass"] / seconds["products"]
    print(f"pass / products        {ratio:8.2f}   (limit {LIMIT})")
    for kind in ("step", "step, best"):
        print(f"SAST / baseline, {kind:<11}{seconds[f'{kind}, SAST'] / seconds[f'{kind}, baseline']:.2f}")


if __name__ == "__main__":
    main()
