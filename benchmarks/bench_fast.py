"""The fast engine against Lava, plain torch, snnTorch, SpikingJelly and the machine's own limits, in one run.

    python benchmarks/bench_fast.py [--net FILE.net] [--data-root DIR] [--samples N] [--repeat N] [--no-lava]

Every path gets the same weights and the same frames and they take turns (turns.py): with all cores, by the
clock, and with one thread, by its processor time, which is what counts on a busy machine. torch's paths get
their frames as floats in memory; the fast engine reads lists of events, as the frame cache has them, or, as
"arrays", bytes. Stock Lava's rate leaves its start out. The limits are those of fast_limits.py: what one
core's weighted sums cost in the best known kernels.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import fast_limits
import numpy as np
import torch
from fast_limits import GATHER, INT8
from fast_networks import Workload, workloads
from fast_peers import Run, peers
from figures import deliver, takes_figures
from turns import Cost, Path as Timed, in_turns

from sast_deploy.base.errors import SastError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.text import percent
from sast_deploy.engines.fast import FastEngine

TORCH_BATCHES = {"fc": (1, 128, 1024), "conv": (1, 128)}
ONE_CORE = {"fc": 2000, "conv": 100}  # samples of a turn with one thread
OURS = ("fast", "arrays", "silence", "limit")
CALLS = 200  # single-sample calls of one turn
LAVA_SAMPLES = {"fc": (30, 10_000), "conv": (2, 64)}  # stock, batched
Costs = dict[tuple, Cost]  # by ("fast" or a peer, batch, "all" or "one"), or a limit's key


def main() -> None:
    options = parse()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-fast-") as folder:
        for load in workloads(Path(folder), options.net, options.data_root, options.samples):
            costs, agreement = measure(load, options.repeat)
            speeds = {} if options.no_lava else lava(load)
            found = conclude(load.key, costs, speeds)
            print("\n".join([*report(load, costs, agreement, speeds), ""]), flush=True)
            figures |= found
    squares = in_turns(fast_limits.squares(), options.repeat)
    figures |= {f"machine.{name}": 1e-9 / cost.processor for (_, name), cost in squares.items()}
    deliver(options.figures, figures)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--net", type=Path, help="a fully connected 2x34x34 network; default: random weights")
    parser.add_argument("--data-root", type=Path, help="real N-MNIST recordings; default: $SAST_DATA_ROOT")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-lava", action="store_true", help="leave Lava out")
    takes_figures(parser)
    return parser.parse_args()


def measure(load: Workload, repeat: int) -> tuple[Costs, dict[str, float]]:
    """The cost of every path, and the share of 128 predictions in which each peer agrees."""
    threads = count_cores()
    few = load.frames[: ONE_CORE[load.kind]]
    arrays, blank = np.asarray(few), EventFrames.from_dense(np.zeros(few.shape, np.uint8))
    ones = [load.frames[n : n + 1] for n in range(min(CALLS, len(load.frames)))]
    engine, single = FastEngine(load.program, threads=threads), FastEngine(load.program, threads=1)
    paths: dict[tuple, Timed] = {
        ("fast", len(load.frames), "all"): Timed(lambda: engine.run(load.frames), len(load.frames)),
        ("fast", 128, "all"): Timed(lambda: repeated(engine, load.frames[:128], 8), 128 * 8),
        ("fast", len(few), "one"): Timed(lambda: single.run(few), len(few)),
        ("arrays", len(few), "one"): Timed(lambda: single.run(arrays), len(few)),
        ("silence", len(few), "one"): Timed(lambda: single.run(blank), len(few)),
        ("fast", 1, "all"): one_by_one(single, ones),
        ("arrays", 1, "all"): one_by_one(single, [np.asarray(one) for one in ones]),
    }
    predictions, agreement = single.run(load.frames[:128]).predictions, {}
    for name, run in peers(load.program).items():
        logits = run(floats(load.frames[:128]))
        agreement[name] = float((logits.argmax(1).numpy() == predictions).mean())
        for batch in TORCH_BATCHES[load.kind]:
            paths[name, batch, "all"] = torch_path(run, load.frames[:batch], threads)
            if batch > 1:
                paths[name, batch, "one"] = torch_path(run, load.frames[:batch], 1)
    some = np.asarray(load.frames[: fast_limits.SAMPLES[load.kind]])
    return in_turns({**paths, **fast_limits.limits(load.program, some)}, repeat), agreement


def count_cores() -> int:
    return len(os.sched_getaffinity(0))


def floats(frames: EventFrames) -> torch.Tensor:
    return torch.from_numpy(np.asarray(frames, np.float32))


def torch_path(run: Run, frames: EventFrames, threads: int) -> Timed:
    x = floats(frames)
    times = 20 if len(frames) == 1 else 1
    return Timed(lambda: [run(x) for _ in range(times)], times * len(frames), threads)


def repeated(engine: FastEngine, frames: EventFrames, times: int) -> None:
    for _ in range(times):
        engine.run(frames)


def one_by_one(engine: FastEngine, ones: list) -> Timed:
    """A call for each sample alone."""
    return Timed(lambda: [engine.run(one) for one in ones], len(ones))


def lava(load: Workload) -> dict[str, float]:
    """Samples a second of stock Lava, start left out, and of our batched processes, start included."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the judge is a tool beside the package
    from sast_deploy.engines.lava import run_lava
    from tools.stocklava import run_stock

    few, many = LAVA_SAMPLES[load.kind]
    many = min(many, len(load.frames))
    try:
        stock = few / run_stock(load.net, np.asarray(load.frames[:few])).seconds
        began = time.perf_counter()
        run_lava(load.net, load.frames[:many])
        return {"stock Lava": stock, "batched Lava": many / (time.perf_counter() - began)}
    except SastError as error:
        print(f"Lava left out: {error}")
        return {}


# ---- what follows ---------------------------------------------------------------


def fastest(costs: Costs, path: str, scope: str) -> float:
    """Seconds a sample at the best batch: by the clock with all cores, processor time with one."""
    found = [cost for (name, *_, cores), cost in costs.items() if name == path and cores == scope]
    return min(cost.clock if scope == "all" else cost.processor for cost in found)


def conclude(key: str, costs: Costs, speeds: dict[str, float]) -> dict[str, float]:
    """The figures of one workload, by their names in figures.py."""
    fast, core, cores = fastest(costs, "fast", "all"), fastest(costs, "fast", "one"), count_cores()
    found = {f"{key}.rate": 1 / fast, f"{key}.rate@cpu": cores / core}
    found[f"{key}.arrays@cpu"] = cores / fastest(costs, "arrays", "one")
    for name, path in (("single", "fast"), ("single-array", "arrays")):
        one = costs[path, 1, "all"]
        found |= {f"{key}.{name}": one.clock * 1e6, f"{key}.{name}@cpu": one.processor * 1e6}
    for peer in dict.fromkeys(name for name, *_ in costs if name not in OURS):
        name = f"{key}.{peer.split()[0].lower()}"
        found[name] = fastest(costs, peer, "all") / fast
        found[f"{name}@cpu"] = fastest(costs, peer, "one") / core
    if "stock Lava" in speeds:
        found[f"{key}.stock-lava"] = 1 / fast / speeds["stock Lava"]
    layers = fast_limits.by_layer({name: cost for name, cost in costs.items() if name[0] == "limit"})
    alone = fast_limits.totals(layers)
    best = alone.pop("best of each layer")
    found[f"{key}.limit@cpu"] = best / core
    found[f"{key}.kernel@cpu"] = min(alone.values()) / core
    found[f"{key}.limit-rate@cpu"] = cores / best
    found |= {f"{key}.us {kernel}@cpu": 1e6 * seconds for kernel, seconds in alone.items()}
    found[f"{key}.us without events@cpu"] = 1e6 * fastest(costs, "silence", "one")
    return found


def report(
    load: Workload, costs: Costs, agreement: dict[str, float], speeds: dict[str, float]
) -> list[str]:
    found = conclude(load.key, costs, speeds)
    fast, best = (count_cores() / found[f"{load.key}.{name}@cpu"] for name in ("rate", "limit-rate"))
    lines = [f"{load.name} ({load.source})"]
    for (name, batch, scope), cost in ((key, cost) for key, cost in costs.items() if key[0] != "limit"):
        seconds, cores = (cost.clock, "all cores") if scope == "all" else (cost.processor, "one core")
        speed = f"{1 / seconds:12,.0f}/s {seconds * 1e6:10.1f} us"
        lines.append(f"  {name:13} batch {batch:<6,} {cores:9} {speed}")
    lines += [f"  {name:32} {speed:12,.0f}/s" for name, speed in speeds.items()]
    lines += [f"  {name}: {percent(share)} of 128 predictions the same" for name, share in agreement.items()]
    for kernel in (GATHER, INT8):
        most = 1e6 / found[f"{load.key}.us {kernel}@cpu"]
        lines.append(f"  {kernel:32} {most:12,.0f}/s on one core at most")
    silence = found[f"{load.key}.us without events@cpu"]
    rest = 1e6 * (fast - best) - silence
    lines.append(
        f"  {percent(best / fast)} of the limit: of {1e6 * fast:.1f} us on one core, {1e6 * best:.1f} are "
        f"the limit's, {silence:.1f} go by without any event, {max(0.0, rest):.1f} to lists and memory"
    )
    return lines


if __name__ == "__main__":
    main()
