"""A training step against the bare matrix products of its own layers, side by side in one run.

    python benchmarks/bench_train.py [--data-root DIR] [--dataset nmnist] [--network fc] [--threads 2]

"step" is one optimizer step on a minibatch of 128 samples (conv: 32), T = 10, minibatch reading and
augmentation included, of the recipe `paper` or `best`, baseline (rho = 0) or SAST. "pass" is its forward and
backward pass alone; "products" are the same layers' fp32 products alone: forward, weight gradients, and the
input gradients that are needed. From these: what an epoch of 60,000 samples costs, and its fp32 GEMM bound,
the same number of multiplications at the rate of a large fp32 product on this machine. The fully connected
network can beat the bound because its first layer skips the zeros of the input. Peak memory is that of a
process that takes five steps and does nothing else; beside it, what the imports alone take.

Without --data-root the input is random, 8 % dense, as dense as real N-MNIST frames. Medians of interleaved
repetitions, in wall time and in processor time. On a shared machine only the latter means anything, so the
ratios are made of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sast_deploy.base.text import percent
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.training.batches import BatchFeeder, EventFeeder
from sast_deploy.training.network.network import Network, cross_entropy, network_spec
from sast_deploy.training.process_memory import kept_memory, peak_memory_mb
from sast_deploy.training.recipes import RECIPES, Recipe
from sast_deploy.training.sam import SAM

STEPS, SHAPE, CLASSES, DENSITY, CLIP = 10, (2, 34, 34), 10, 0.08, 4
BATCH, REPEAT = {"fc": 128, "conv": 32}, {"fc": 40, "conv": 5}
CPU = torch.device("cpu")
EPOCH, GEMM, WARM_UP = 60_000, 1024, 2
PASS_LIMIT, SAST_LIMIT, EPOCH_LIMIT = 2.0, 2.1, 20.0
Runs = dict[str, Callable[[], object]]
Cost = tuple[float, float]  # seconds of wall time, seconds of processor time


def random_feeder() -> BatchFeeder:
    rng = np.random.default_rng(0)
    frames = (rng.random((1024, STEPS, *SHAPE)) < DENSITY).astype(np.uint8)
    return EventFeeder(frames, rng.integers(0, CLASSES, 1024), CLIP, CPU)


def recorded_feeder(dataset: str, data_root: Path | None) -> BatchFeeder:
    data = load_frames(dataset, FrameOptions(), data_root=data_root)
    print(data.info.summary())
    return EventFeeder(data.train.frames, data.train.labels, data.options.clip, CPU)


def training_pass(network: Network, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        network.zero_grad()
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]

    return run


def weighted_inputs(network: Network, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.nn.Module]]:
    """Every weighted layer with an input of the right shape: frames, then random spikes."""
    found, s = [], network.shaped(x).flatten(0, 1)
    with torch.no_grad():
        for layer in network.layers:
            found.append((s, layer))
            s = torch.rand_like(layer(s))
    features = network.readout.in_features
    return [*found, (torch.rand(x.shape[1], features), network.readout)]


def products(network: Network, x: torch.Tensor) -> Callable[[], None]:
    """Each layer's products: y = W x, then dW = g x, then dx = W g (not for the first layer)."""
    operands = []
    for number, (s, layer) in enumerate(weighted_inputs(network, x)):
        convolution = isinstance(layer, torch.nn.Conv2d)
        product = functional.conv2d if convolution else functional.linear
        geometry = (None, layer.stride, layer.padding) if convolution else ()
        weight = layer.weight.detach().requires_grad_()
        operands.append((product, s.requires_grad_(number > 0), weight, geometry))

    def run() -> None:
        for product, s, weight, geometry in operands:
            y = product(s, weight, *geometry)
            torch.autograd.grad(y, (s, weight) if s.requires_grad else (weight,), y.detach())

    return run


def multiplications(network: Network, x: torch.Tensor) -> int:
    """Multiply-accumulates of `products`: three a weight and use, two in the first layer."""
    total = 0
    for number, (s, layer) in enumerate(weighted_inputs(network, x)):
        with torch.no_grad():
            outputs = layer(s).numel()
        total += outputs * layer.weight[0].numel() * (3 if number else 2)
    return total


def optimizer_step(kind: str, feeder: BatchFeeder, plan: Recipe, rho: float) -> Callable[[], object]:
    network = Network(network_spec(kind, SHAPE, CLASSES))  # type: ignore[arg-type]
    sam = SAM(network.parameters(), torch.optim.AdamW(network.parameters(), plan.lr, fused=True), rho)
    rng = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        indices = rng.choice(len(feeder.labels), BATCH[kind], replace=False)
        x, y = feeder.inputs(indices, plan, rng) if kind == "fc" else feeder.batch(indices, plan, rng)
        return cross_entropy(network(x), y)

    return lambda: sam.step(loss, loss)


def medians(runs: Runs, repeat: int) -> dict[str, Cost]:
    """Median cost of each, taken in turns so that a busy machine slows all alike."""
    times: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(repeat + WARM_UP):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    kept = {name: zip(*values[WARM_UP:], strict=True) for name, values in times.items()}
    return {name: (statistics.median(wall), statistics.median(cpu)) for name, (wall, cpu) in kept.items()}


def peak_memory(kind: str, rho: float | None) -> float:
    """MiB of a fresh process after five steps with that rho, or after the imports alone."""
    command = [
        sys.executable,
        __file__,
        "--network",
        kind,
        "--peak-memory",
        "none" if rho is None else str(rho),
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(kind: str, rho: str) -> None:
    if rho != "none":
        step = optimizer_step(kind, random_feeder(), RECIPES["paper"], float(rho))
        with kept_memory(CPU):
            for _ in range(5):
                step()
    print(peak_memory_mb(CPU))


def report(kind: str, feeder: BatchFeeder, repeat: int) -> None:
    x, y = feeder.batch(np.arange(BATCH[kind]))
    network = Network(network_spec(kind, SHAPE, CLASSES))  # type: ignore[arg-type]
    square = torch.randn(GEMM, GEMM)
    runs: Runs = {
        "fp32 GEMM 1024^3": lambda: square @ square,
        "products": products(network, x),
        "pass": training_pass(network, x, y),
    }
    for name, plan in RECIPES.items():
        for method, rho in (("baseline", 0.0), ("SAST", 0.3)):
            runs[f"step, {name}, {method}"] = optimizer_step(kind, feeder, plan, rho)
    with kept_memory(CPU):
        costs = medians(runs, repeat)
    density = float((x > 0).float().mean())
    size = f"batch {BATCH[kind]}, T {STEPS}, input {percent(density)} dense"
    print(f"\n{kind}: {torch.get_num_threads()} threads, {size}\n{'':<24}{'wall ms':>9}{'CPU ms':>9}")
    for name, (wall, cpu) in costs.items():
        print(f"{name:<24}{wall * 1e3:9.2f}{cpu * 1e3:9.2f}")
    conclude(kind, costs, multiplications(network, x))


def conclude(kind: str, costs: dict[str, Cost], macs: int) -> None:
    """Print the ratios and the epoch; limits are those of the fully connected network."""
    cpu = {name: cost[1] for name, cost in costs.items()}
    limit = "   (limit {:g})".format if kind == "fc" else lambda _: ""
    print(f"pass / products         {cpu['pass'] / cpu['products']:9.2f}{limit(PASS_LIMIT)}")
    for name in RECIPES:
        ratio = cpu[f"step, {name}, SAST"] / cpu[f"step, {name}, baseline"]
        print(f"SAST / baseline, {name:<6} {ratio:9.2f}{limit(SAST_LIMIT)}")
    steps = -(-EPOCH // BATCH[kind])
    epoch = [steps * seconds for seconds in costs["step, paper, baseline"]]
    bound = [steps * macs / GEMM**3 * seconds for seconds in costs["fp32 GEMM 1024^3"]]
    print(f"epoch of {EPOCH:,}         {epoch[0]:9.1f} s wall, {epoch[1]:.1f} s CPU{limit(EPOCH_LIMIT)}")
    print(
        f"its fp32 GEMM bound     {bound[0]:9.1f} s wall, {bound[1]:.1f} s CPU ({macs / 1e9:.2f} GMAC a step)"
    )
    alone, *peaks = (peak_memory(kind, rho) for rho in (None, 0.0, 0.3))
    shown = "{:9.0f} MiB baseline, {:.0f} MiB SAST".format(*peaks)
    print(f"peak memory             {shown} ({alone:.0f} MiB after the imports)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--dataset", default="nmnist")
    parser.add_argument("--network", choices=["fc", "conv"], default="fc")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, help="Default: 40, conv 5.")
    parser.add_argument("--peak-memory", metavar="RHO", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak_memory:
        measure_peak(options.network, options.peak_memory)
        return
    feeder = recorded_feeder(options.dataset, options.data_root) if options.data_root else random_feeder()
    report(options.network, feeder, options.repeat or REPEAT[options.network])


if __name__ == "__main__":
    main()
