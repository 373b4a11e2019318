"""The fast engine against Lava, plain torch, snnTorch, SpikingJelly and the machine's own limits, in one run.

    python benchmarks/bench_fast.py [--net FILE.net] [--data-root DIR] [--out DIR] [--repeat N] [--no-lava]

Every path gets the same weights and the same frames, warmed up; paths take turns, so that a busy machine
slows all of them, and the median of the turns counts. torch's paths get their frames as floats in memory; the
fast engine reads bytes. Stock Lava's rate leaves its start out. Writes fast.md, .json and .png to --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fast_limits import limits
from fast_networks import Workload, workloads
from fast_peers import peers

from sast_deploy.base.errors import SastError
from sast_deploy.base.text import percent
from sast_deploy.engines.fast import FastEngine
from sast_deploy.engines.fast.plan import SpikingPlan
from sast_deploy.reports.synops import count_operations

TORCH_BATCHES = (1, 128, 1024)
CALLS = 200  # single-sample calls of one turn
LAVA_SAMPLES = {"fc": (30, 10_000), "conv": (2, 64)}  # stock, batched


def main() -> None:
    options = parse()
    threads = options.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-fast-") as folder:
        for load in workloads(Path(folder), options.net, options.data_root, options.samples):
            print(f"measuring {load.name} ({load.source}) ...", flush=True)
            results.append(measure(load, threads, options))
    text = summary(results, threads)
    print("\n" + text)
    write(options.out, text, results, threads)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--net", type=Path, help="a fully connected 2x34x34 network; default: random weights")
    parser.add_argument("--data-root", type=Path, help="real N-MNIST recordings; default: $SAST_DATA_ROOT")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: the cores this process may use")
    parser.add_argument("--no-lava", action="store_true", help="leave Lava out, which takes minutes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def measure(load: Workload, threads: int, options: argparse.Namespace) -> dict:
    engine, single = FastEngine(load.program, threads=threads), FastEngine(load.program, threads=1)
    conv = load.name.startswith("conv")
    record = engine.run(load.frames[:1000])
    work = operations(load, record, engine)
    paths = {("fast", len(load.frames)): lambda: rate(lambda: engine.run(load.frames), len(load.frames))}
    paths["fast", 128] = lambda: rate(lambda: repeated(engine.run, load.frames[:128], 8), 128 * 8)
    paths["fast", 1] = lambda: 1 / latency(single, load.frames)
    agreement = {}
    for name, run in peers(load.program).items():
        logits = run(torch.from_numpy(load.frames[:128].astype(np.float32)))
        agreement[name] = float((logits.argmax(1).numpy() == record.predictions[:128]).mean())
        for batch in TORCH_BATCHES[: 2 if conv else 3]:
            paths[name, batch] = torch_path(run, load.frames[:batch], 0.02 if batch == 1 else 0.2)
    busiest = max(engine.plans, key=lambda plan: work["rows"].get(id(plan), (0, 0))[0])
    rows = work.pop("rows")[id(busiest)][1]
    machine = limits(busiest, rows, threads)
    blank = np.zeros_like(load.frames[:1000])
    machine["without events"] = lambda: rate(lambda: engine.run(blank), len(blank))
    turns: dict = {key: [] for key in (*paths, *machine)}
    for _ in range(options.repeat):
        for key, act in (*paths.items(), *machine.items()):
            turns[key].append(act())
    rates = {key: float(np.median(found)) for key, found in turns.items()}
    speeds = {key: value for key, value in rates.items() if isinstance(key, tuple)}
    if not options.no_lava:
        speeds |= lava(load, LAVA_SAMPLES["conv" if conv else "fc"])
    return {
        "name": load.name,
        "source": load.source,
        "work": work,
        "samples_per_second": [[path, batch, speed] for (path, batch), speed in speeds.items()],
        "machine": {name: rates[name] for name in machine},
        "same_predictions_as_fast": agreement,
        "fast_without_events": rates["without events"],
    }


def operations(load: Workload, record, engine: FastEngine) -> dict:
    """Operations per sample; `rows`: by plan, additions and the mean nonzero inputs of a neuron in a step."""
    counted = count_operations(load.program, load.frames[:1000], record.counts)
    weighted = [plan for plan in engine.plans if hasattr(plan, "weight")]
    rows = {}
    for plan, layer in zip(weighted, counted, strict=True):
        if isinstance(plan, SpikingPlan):
            per_neuron = layer.synops / layer.dense * np.prod(plan.layer.weight.shape[1:])
            rows[id(plan)] = layer.synops, per_neuron
    rates = [float(count.mean()) / load.program.steps for count in record.counts]
    return {
        "dense": sum(layer.dense for layer in counted),
        "effective": sum(layer.synops for layer in counted),
        "firing_rates": rates,
        "rows": rows,
    }


def lava(load: Workload, samples: tuple[int, int]) -> dict:
    """Rates of stock Lava, start left out, and of our batched Lava processes, start included."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the judge is a tool beside the package
    from sast_deploy.engines.lava import run_lava
    from tools.stocklava import run_stock

    found, (few, many) = {}, samples
    try:
        found["stock Lava", 1] = few / run_stock(load.net, load.frames[:few]).seconds
    except SastError as error:
        print(f"stock Lava left out: {error}")
    try:
        many = min(many, len(load.frames))
        found["batched Lava", many] = rate(lambda: run_lava(load.net, load.frames[:many]), many)
    except SastError as error:
        print(f"batched Lava left out: {error}")
    return found


def torch_path(run, frames: np.ndarray, at_least: float):
    x = torch.from_numpy(frames.astype(np.float32))
    began = time.perf_counter()
    run(x)
    times = max(1, round(at_least / (time.perf_counter() - began)))
    return lambda: rate(lambda: [run(x) for _ in range(times)], times * len(frames))


def latency(engine: FastEngine, frames: np.ndarray) -> float:
    """Median seconds of a call with one sample, each with another."""
    times = []
    for n in range(CALLS):
        one = frames[n % len(frames)][None]
        began = time.perf_counter()
        engine.run(one)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def repeated(act, frames: np.ndarray, times: int) -> None:
    for _ in range(times):
        act(frames)


def rate(act, samples: int) -> float:
    began = time.perf_counter()
    act()
    return samples / (time.perf_counter() - began)


def summary(results: list[dict], threads: int) -> str:
    lines = ["# The fast engine", ""]
    for result in results:
        lines += [*ratios(result), ""]
    load = os.getloadavg()[0]
    versions = f"torch {torch.__version__}, numpy {np.__version__}"
    lines += [f"{threads} threads, {platform.machine()}, load average {load:.1f}, {versions}.", ""]
    for result in results:
        lines += [*table(result), ""]
    return "\n".join(lines)


def bounds(result: dict) -> dict[str, float]:
    """Samples per second that each of the machine's rates would allow."""
    machine, work = result["machine"], result["work"]
    return {
        "int8 GEMM": machine["int8 GEMM"] / work["dense"],
        "fp32 GEMM": machine["fp32 GEMM"] / work["dense"],
        "gather-add": machine["gather-add"] / work["effective"],
    }


def ratios(result: dict) -> list[str]:
    speeds = {(path, batch): speed for path, batch, speed in result["samples_per_second"]}
    fast = max(speed for (path, _), speed in speeds.items() if path == "fast")
    lines = [f"**{result['name']}** ({result['source']}): {fast:,.0f} samples/s"]
    for peer in dict.fromkeys(path for path, _ in speeds if path != "fast"):
        best = max((speed, batch) for (path, batch), speed in speeds.items() if path == peer)
        same = result["same_predictions_as_fast"].get(peer)
        note = "" if same is None else f"; {percent(same)} of 128 predictions the same"
        lines.append(f"- {fast / best[0]:,.1f} x {peer} (its best: batch {best[1]}{note})")
    lines.append(f"- one sample alone: {1e6 / speeds['fast', 1]:.1f} us")
    limit, name = max((value, name) for name, value in bounds(result).items())
    lines.append(f"- {percent(fast / limit)} of the fastest limit, {limit:,.0f} samples/s ({name})")
    spent, adding, rest = 1e6 / fast, 1e6 / limit, 1e6 / result["fast_without_events"]
    lines.append(
        f"- why not all of it: of {spent:.1f} us per sample, {adding:.1f} are the limit's; reading inputs "
        f"and updating neurons takes {rest:.1f} even without an event; the other "
        f"{max(0.0, spent - adding - rest):.1f} go to lists of events and to memory"
    )
    return lines


def table(result: dict) -> list[str]:
    work, machine = result["work"], result["machine"]
    rates = ", ".join(f"{rate:.3f}" for rate in work["firing_rates"])
    lines = [
        f"## {result['name']}",
        "",
        f"{work['dense']:,} dense operations per sample, {work['effective']:,.0f} effective; spikes per "
        f"neuron and step: {rates}.",
        "",
        "| path | batch | samples/s | us per sample |",
        "|---|---:|---:|---:|",
    ]
    for path, batch, speed in result["samples_per_second"]:
        lines.append(f"| {path} | {batch:,} | {speed:,.0f} | {1e6 / speed:,.1f} |")
    for name, speed in bounds(result).items():
        label = f"limit: {name}, {machine[name] / 1e9:,.1f} G/s"
        lines.append(f"| {label} | | {speed:,.0f} | {1e6 / speed:,.1f} |")
    return [*lines, "", f"Memory copy: {machine['memory copy'] / 1e9:.1f} GB/s."]


def write(folder: Path, text: str, results: list[dict], threads: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fast.md").write_text(text, encoding="utf-8")
    (folder / "fast.json").write_text(json.dumps({"threads": threads, "results": results}, indent=2) + "\n")
    plot(folder / "fast.png", results)
    print(f"wrote {folder}/fast.md, fast.json and fast.png")


def plot(path: Path, results: list[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(6 * len(results), 6), squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        rows = [(f"{path}, batch {batch:,}", speed) for path, batch, speed in result["samples_per_second"]]
        colours = ["tab:orange" if name.startswith("fast") else "tab:blue" for name, _ in rows]
        axis.barh([name for name, _ in rows], [speed for _, speed in rows], color=colours)
        for (name, speed), style in zip(bounds(result).items(), ("-", "--", ":"), strict=True):
            axis.axvline(speed, color="black", linestyle=style, label=f"limit: {name}")
        axis.set(xscale="log", xlabel="samples per second", title=result["name"])
        axis.invert_yaxis()
        axis.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
