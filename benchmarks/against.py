"""Is today's package as fast as another checkout's? The same work in both, in turns, in one run.

    python benchmarks/against.py OLD_CHECKOUT [--repeat 15] [--only fast-fc lava ...]

Two processes, one with each checkout's `sast_deploy`, take turns at every workload: the fast engine on the
fully connected and the convolutional network (random INT8 weights, frames 8 % dense), batched Lava with
everything that a run needs, an optimizer step of training (minibatch 128 and 32, SAST). A turn is measured in
processor time, that of children included, since other work on a shared machine does not count there. Beside
both medians their ratio, and the share of turns in which today's was the slower one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIMIT = 1.05  # today's time in units of the other's
FC_SAMPLES, CONV_SAMPLES, LAVA_SAMPLES = 2000, 100, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old", type=Path, help="made by: git worktree add OLD_CHECKOUT COMMIT")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", nargs="*", choices=list(WORKLOADS), default=list(WORKLOADS))
    options = parser.parse_args()
    print(f"{'workload':12} {'old':>9} {'new':>9}   new/old  slower turns")
    for name in options.only:
        old, new = turns(options.old, name, options.repeat)
        ratio = statistics.median(n / o for n, o in zip(new, old, strict=True))
        slower = sum(n > o for n, o in zip(new, old, strict=True))
        verdict = "" if ratio <= LIMIT else f"  more than {LIMIT:g}"
        medians = [f"{1000 * statistics.median(each):6.1f} ms" for each in (old, new)]
        counted = f"{slower} of {options.repeat}{verdict}"
        print(f"{name:12} {' '.join(medians)}   {ratio:7.3f}  {counted}", flush=True)


def turns(old: Path, name: str, repeat: int) -> tuple[list[float], list[float]]:
    """Processor seconds of every turn, of the old checkout and of this one."""
    workers = [start(root, name) for root in (old.resolve(), HERE.parent)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeat + 1):  # the first turn warms up
        for who in (0, 1) if number % 2 else (1, 0):
            workers[who].stdin.write("go\n")
            workers[who].stdin.flush()
            seconds = float(workers[who].stdout.readline())
            if number:
                times[who].append(seconds)
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    return times


def start(root: Path, name: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "against.py"), "--worker", name, str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def serve(name: str, root: str) -> None:
    sys.path.insert(0, str(Path(root) / "benchmarks"))  # networks and steps as that checkout makes them
    import sast_deploy

    assert Path(sast_deploy.__file__).is_relative_to(root), f"{sast_deploy.__file__} is not below {root}"
    with tempfile.TemporaryDirectory(prefix="against-") as folder:
        act = WORKLOADS[name](Path(folder))
        for _ in sys.stdin:
            before = processor_seconds()
            act()
            print(processor_seconds() - before, flush=True)


def part(*names: str) -> Any:
    """The first of these modules that the checkout has: where it stands now, where it stood before."""
    for name in names:
        with suppress(ImportError):
            return import_module(f"sast_deploy.{name}")
    raise ImportError(f"none of {names}")


def processor_seconds() -> float:
    """Of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def fast(kind: str) -> Callable[[Path], Callable[[], object]]:
    def prepare(_folder: Path) -> Callable[[], object]:
        from fast_networks import COUNT_SHARES, compiled, convolutional, fully_connected, random_frames

        program = compiled(fully_connected() if kind == "fc" else convolutional())
        frames = random_frames(FC_SAMPLES if kind == "fc" else CONV_SAMPLES, 0.08, COUNT_SHARES)
        engine = part("engines.fast.engine", "simulate.fast.engine").FastEngine(program, threads=1)
        return lambda: engine.run(frames)

    return prepare


def lava(folder: Path) -> Callable[[], object]:
    from bench_lava import prepare

    run_lava = part("engines.lava", "simulate.lava").run_lava
    net, frames = prepare(folder, LAVA_SAMPLES)
    return lambda: run_lava(net, frames)


def training(kind: str) -> Callable[[Path], Callable[[], object]]:
    def prepare(_folder: Path) -> Callable[[], object]:
        import torch
        from bench_train import optimizer_step, random_feeder

        torch.set_num_threads(1)
        step = optimizer_step(kind, random_feeder(), part("training.recipes", "recipes").RECIPES["best"], 0.3)
        return lambda: [step() for _ in range(5 if kind == "fc" else 1)]

    return prepare


WORKLOADS = {
    "fast-fc": fast("fc"), "fast-conv": fast("conv"), "lava": lava,
    "train-fc": training("fc"), "train-conv": training("conv"),
}  # fmt: skip

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve(*sys.argv[2:])
    else:
        main()
