"""A training step against the bare matrix products of its own layers, side by side in one run.

    python benchmarks/bench_train.py [--data-root DIR] [--dataset nmnist] [--network fc] [--batch N]

"step" is one optimizer step on a minibatch of 128 samples (conv: 32), T = 10, minibatch reading and
augmentation included, baseline (rho = 0) or SAST. "pass" is its forward and backward pass alone, of frames as
the network takes them: lists of events where it is fully connected, in arrays for convolutions; "products"
are the same layers' fp32 products alone: forward, weight gradients, and the input gradients that are needed.
From these: what an epoch of 60,000 samples costs, and its fp32 GEMM bound, the same number of multiplications
at the rate of a large fp32 product on this machine. The fully connected network can beat the bound because
its first layer skips the zeros of the input. Peak memory is that of a process that takes five steps and does
nothing else; beside it, what the imports alone take.

Without --data-root the input is random, 8 % dense, as dense as real N-MNIST frames. Everything takes turns
(turns.py), with all cores by the clock and with one thread by its processor time; on a shared machine only
the latter means anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from figures import deliver, takes_figures
from torch.nn import functional
from turns import Cost, Path as Timed, in_turns

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.text import percent
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.training.batches import BatchFeeder, EventFeeder
from sast_deploy.training.network.network import Network, cross_entropy, network_spec
from sast_deploy.training.network.sparse import Input
from sast_deploy.training.process_memory import kept_memory, peak_memory_mb
from sast_deploy.training.recipes import RECIPES, Recipe
from sast_deploy.training.sam import SAM

STEPS, SHAPE, CLASSES, DENSITY, CLIP = 10, (2, 34, 34), 10, 0.08, 4
BATCH, REPEAT = {"fc": 128, "conv": 32}, {"fc": 15, "conv": 2}
PLANS = {"fc": ("paper", "best"), "conv": ("best-conv",)}  # whose steps are measured; recommended: the last
CPU = torch.device("cpu")
EPOCH, GEMM = 60_000, 1024
Costs = dict[tuple[str, str], Cost]  # by what is measured, and "all" cores or "one" thread


def random_feeder() -> BatchFeeder:
    rng = np.random.default_rng(0)
    frames = np.empty((1024, STEPS, *SHAPE), np.uint8)
    for frame in frames:  # one at a time, since the peak of memory is measured
        frame[...] = rng.random(frame.shape, np.float32) < DENSITY
    return EventFeeder(EventFrames.from_dense(frames), rng.integers(0, CLASSES, 1024), CLIP, CPU)


def recorded_feeder(dataset: str, data_root: Path | None) -> BatchFeeder:
    data = load_frames(dataset, FrameOptions(), data_root=data_root)
    print(data.info.summary())
    return EventFeeder(data.train.frames, data.train.labels, data.options.clip, CPU)


def training_pass(network: Network, x: Input, y: torch.Tensor) -> Callable[[], None]:
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


def optimizer_step(
    kind: str, feeder: BatchFeeder, plan: Recipe, rho: float, batch: int | None = None
) -> Callable[[], object]:
    network = Network(network_spec(kind, SHAPE, CLASSES))  # type: ignore[arg-type]
    sam = SAM(network.parameters(), torch.optim.AdamW(network.parameters(), plan.lr, fused=True), rho)
    rng = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        indices = rng.choice(len(feeder.labels), batch or BATCH[kind], replace=False)
        x, y = feeder.inputs(indices, plan, rng) if kind == "fc" else feeder.batch(indices, plan, rng)
        return cross_entropy(network(x), y)

    return lambda: sam.step(loss, loss)


def peak_memory(kind: str, rho: float | None, batch: int) -> float:
    """MiB of a fresh process after five steps with that rho, or after the imports alone."""
    given = "none" if rho is None else str(rho)
    command = [sys.executable, __file__, "--network", kind, "--batch", str(batch), "--peak-memory", given]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(kind: str, rho: str, batch: int) -> None:
    if rho != "none":
        step = optimizer_step(kind, random_feeder(), RECIPES["paper"], float(rho), batch)
        with kept_memory(CPU):
            for _ in range(5):
                step()
    print(peak_memory_mb(CPU))


def measure(kind: str, feeder: BatchFeeder, batch: int, repeat: int) -> tuple[Costs, int, float]:
    """The cost of everything, the multiplications of `products`, and the density of the input."""
    x, y = feeder.batch(np.arange(batch))
    given = feeder.inputs(np.arange(batch))[0] if kind == "fc" else x
    network = Network(network_spec(kind, SHAPE, CLASSES))  # type: ignore[arg-type]
    square = torch.randn(GEMM, GEMM)
    runs: dict[str, Callable[[], object]] = {
        "fp32 GEMM 1024^3": lambda: square @ square,
        "products": products(network, x),
        "pass": training_pass(network, given, y),
    }
    for name in PLANS[kind]:
        for method, rho in (("baseline", 0.0), ("SAST", 0.3)):
            runs[f"step, {name}, {method}"] = optimizer_step(kind, feeder, RECIPES[name], rho, batch)
    scopes = {"all": len(os.sched_getaffinity(0)), "one": 1}
    ours = scopes | ({"all": 1} if kind == "fc" else {})  # as the trainer has it: see fitting_threads
    paths = {
        (name, scope): Timed(run, threads=(ours if name.startswith(("pass", "step")) else scopes)[scope])
        for scope in scopes for name, run in runs.items()
    }  # fmt: skip
    with kept_memory(CPU):
        costs = in_turns(paths, repeat)
    return costs, multiplications(network, x), float((x > 0).float().mean())


def conclude(kind: str, costs: Costs, macs: int, batch: int) -> dict[str, float]:
    """The figures of one network, by their names in figures.py."""
    found, plan = {}, PLANS[kind][-1]
    steps = -(-EPOCH // batch)
    for scope, mark in (("all", ""), ("one", "@cpu")):
        spent = {
            name: cost.clock if scope == "all" else cost.processor
            for (name, cores), cost in costs.items() if cores == scope
        }  # fmt: skip
        found[f"train-{kind}.pass{mark}"] = spent["pass"] / spent["products"]
        for name in PLANS[kind]:
            ratio = spent[f"step, {name}, SAST"] / spent[f"step, {name}, baseline"]
            found[f"train-{kind}.sast{'' if name == plan else '-' + name}{mark}"] = ratio
        found[f"train-{kind}.epoch{mark}"] = steps * spent[f"step, {PLANS[kind][0]}, baseline"]
        found[f"train-{kind}.bound{mark}"] = steps * macs / GEMM**3 * spent["fp32 GEMM 1024^3"]
    return found


def report(kind: str, costs: Costs, figures: dict[str, float], density: float, batch: int) -> None:
    print(f"{kind}: batch {batch}, T {STEPS}, input {percent(density)} dense")
    print(f"{'':<24}{'all cores, by the clock':>24}{'one thread, processor time':>28}")
    for (name, scope), cost in costs.items():
        if scope == "all":
            print(f"{name:<24}{cost.clock * 1e3:21.2f} ms{costs[name, 'one'].processor * 1e3:25.2f} ms")
    for name, value in figures.items():
        print(f"{name:<24}{value:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--dataset", default="nmnist")
    parser.add_argument("--network", choices=["fc", "conv"], default="fc")
    parser.add_argument("--batch", type=int, help="Default: 128, conv 32.")
    parser.add_argument("--repeat", type=int, help="Default: 15, conv 2.")
    parser.add_argument("--peak-memory", metavar="RHO", help=argparse.SUPPRESS)
    takes_figures(parser)
    options = parser.parse_args()
    kind = options.network
    batch, repeat = options.batch or BATCH[kind], options.repeat or REPEAT[kind]
    if options.peak_memory:
        measure_peak(kind, options.peak_memory, batch)
        return
    feeder = recorded_feeder(options.dataset, options.data_root) if options.data_root else random_feeder()
    costs, macs, density = measure(kind, feeder, batch, repeat)
    figures = conclude(kind, costs, macs, batch)
    for name, rho in (("imports", None), ("baseline", 0.0), ("memory", 0.3)):
        figures[f"train-{kind}.{name}"] = peak_memory(kind, rho, batch)
    report(kind, costs, figures, density, batch)
    deliver(options.figures, figures)


if __name__ == "__main__":
    main()
