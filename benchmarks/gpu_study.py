"""The paper's N-MNIST trainings at full size on one GPU, by its recipe and budget, within a time limit.

    python benchmarks/gpu_study.py --mnist-dir data/mnist --work build/gpu --out build/gpu/results
    python benchmarks/gpu_study.py ... --device cpu --samples 200 --epochs 2 --seeds 1    # does it all work?

One after the other: recordings, simulated from all of MNIST, and their frames (kept in --work); how long a
step and an epoch take, with the step as a CUDA graph and started from Python, and how many steps a second
several trainings together take; then the study: the FC network, baseline and SAST, several trainings at a
time, each in a thread with a CUDA stream of its own, in --processes processes. Complete pairs of baseline and
SAST come first. No training begins that would not end in time, and what runs at the limit stops after its
step; the same command continues it.

--out holds results.json (rewritten after every training: for each its epochs, accuracies with smooth and hard
spikes on validation and test, gap, times, history) and checkpoints-<n>.tar (the chosen epochs' ckpt.pt).
adopt.py makes them runs of a sweep, which measures them as integers; `sast-deploy tables` prints them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import statistics
import sys
import tarfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sast_deploy.base.files import write_text
from sast_deploy.base.progress import Observer, observe
from sast_deploy.base.text import percent
from sast_deploy.data import FrameOptions, FrameSet, load_frames
from sast_deploy.data.camera.saccade import simulate_mnist
from sast_deploy.training.network import lif
from sast_deploy.training.network.network import network_spec
from sast_deploy.training.recipes import Recipe, recipe
from sast_deploy.training.state import TrainingInterruptedError
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer

TRAIN, TEST, VALIDATION = 60_000, 10_000, 0.1
RHOS = (0.3, 0.1, 0.2, 0.4)  # in the order in which they are paired with the baseline
TIMED = 6_400  # samples of the short epochs that are timed
TOGETHER = (1, 2, 4, 8)  # trainings at a time
TAR_BYTES = 15 << 20
MARGIN_S = 8.0  # for what is written at the end
Options = argparse.Namespace
Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training of the study."""

    rho: float
    seed: int

    @property
    def name(self) -> str:
        return f"rho{self.rho:g}-seed{self.seed}"


def jobs(seeds: int) -> list[Job]:
    """Pair by pair for the first radius, then the other radii, each for all seeds."""
    first = [Job(rho, seed) for seed in range(seeds) for rho in (0.0, RHOS[0])]
    return first + [Job(rho, seed) for rho in RHOS[1:] for seed in range(seeds)]


def plan(options: Options, rho: float) -> Recipe:
    return recipe("paper").replace(epochs=options.epochs, rho=rho)


def tell(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


class Remarks(Observer):
    """Prints what the library says, and stops a training at the time limit as Ctrl-C would."""

    def __init__(self, name: str, deadline: float) -> None:
        self.name, self.deadline = name, deadline

    def say(self, line: str) -> None:
        if not line.startswith("epoch "):  # which results.json tells
            tell(f"{self.name}: {line}")

    def advance(self, task: Any, steps: int) -> None:
        if time.time() > self.deadline:
            raise KeyboardInterrupt


# ---- data ---------------------------------------------------------------------


def frames(options: Options) -> FrameSet:
    """Simulated and framed once; taken from --work afterwards."""
    train_samples, test_samples = options.samples, -(-options.samples * TEST // TRAIN)
    root = options.work / f"simulated-{train_samples}"
    if not root.exists():
        start = time.perf_counter()
        simulate_mnist(options.mnist_dir, root, train_samples, test_samples)
        tell(f"simulated {train_samples} + {test_samples} recordings in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    data = load_frames(
        "nmnist-simulated", FrameOptions(), data_root=root, cache_dir=options.work / "cache", download=False
    )
    tell(f"{len(data.train)} + {len(data.test)} samples of frames in {time.perf_counter() - start:.1f} s")
    return data


# ---- how long a step takes ------------------------------------------------------


class Eager(Trainer):
    """Every step started from Python."""

    capturable = False


def small(data: FrameSet, samples: int) -> FrameSet:
    part = data.train.part(np.arange(min(samples, len(data.train))))
    return replace(data, train=part)


def trainer(kind: type[Trainer], options: Options, data: FrameSet, rho: float, seed: int = 0) -> Trainer:
    spec = network_spec("fc", data.sensor, len(data.info.classes))
    return kind(spec, plan(options, rho), data, seed, VALIDATION, options.device)


def finish(options: Options) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


def ignored() -> None:
    """Nobody counts the steps."""


def step_ms(kind: type[Trainer], options: Options, data: FrameSet, rho: float) -> float:
    """Milliseconds of one step, mean over some epochs after the first."""
    training = trainer(kind, options, data, rho)
    training.epoch(0, ignored)
    times = []
    for index in range(1, 4):
        finish(options)
        start = time.perf_counter()
        training.epoch(index % options.epochs, ignored)
        finish(options)
        times.append((time.perf_counter() - start) / training.steps)
    return 1e3 * min(times)


@contextmanager
def lif_in_torch(wanted: bool = True) -> Iterator[None]:
    """LIF layers as torch operations in place of Triton's kernels."""
    fused = lif._fused
    if wanted:
        lif._fused = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        lif._fused = fused


def measure(options: Options, data: FrameSet, found: Result) -> None:
    """Step, epoch and throughput, printed and put into `found`."""
    found.update({"steps": {}, "epochs": {}, "together": {}})
    part = small(data, TIMED)
    for rho in (0.0, RHOS[0]):
        times = {"step by step": step_ms(Eager, options, part, rho)}
        if options.device == "cuda":
            times["graph"] = step_ms(Trainer, options, part, rho)
            with lif_in_torch():
                times["graph, LIF in torch"] = step_ms(Trainer, options, part, rho)
        found["steps"][f"{rho:g}"] = times
        shown = ", ".join(f"{name} {value:.3f} ms" for name, value in times.items())
        tell(f"step of 128, rho {rho:g}: {shown}")
    for rho in (0.0, RHOS[0]):
        found["epochs"][f"{rho:g}"] = times = epoch_seconds(options, data, rho)
        tell(
            f"epoch of {len(data.train)} ({VALIDATION:g} of it validate), rho {rho:g}: "
            f"{times['steps']:.3f} s of steps, {times['validation']:.3f} s of validation"
        )
    for count in TOGETHER if options.device == "cuda" else ():
        found["together"][count] = rate = together(options, part, count)
        tell(f"{count} trainings at a time, rho {RHOS[0]:g}: {rate:,.0f} steps/s together")


def epoch_seconds(options: Options, data: FrameSet, rho: float) -> dict[str, float]:
    training = trainer(Trainer, options, data, rho)
    training.epoch(0, ignored)
    training.judged(0)
    finish(options)
    start = time.perf_counter()
    training.epoch(1 % options.epochs, ignored)
    finish(options)
    middle = time.perf_counter()
    training.judged(1 % options.epochs)
    finish(options)
    return {"steps": middle - start, "validation": time.perf_counter() - middle}


def together(options: Options, data: FrameSet, count: int) -> float:
    """Steps a second of `count` trainings in threads with a stream each."""
    rounds, ready, steps = 12, threading.Barrier(count + 1), list[int]()

    def work(seed: int) -> None:
        with stream(options):
            training = trainer(Trainer, options, data, RHOS[0], seed)
            training.epoch(0, ignored)
            steps.append(training.steps * rounds)
            ready.wait()
            for index in range(rounds):
                training.epoch(index % options.epochs, ignored)
            ready.wait()

    threads = [threading.Thread(target=guarded, args=(work, seed, ready)) for seed in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    ready.wait()
    seconds = time.perf_counter() - start
    for thread in threads:
        thread.join()
    return sum(steps) / seconds


def guarded(work: Callable[[int], None], seed: int, ready: threading.Barrier) -> None:
    """A thread that fails says so and keeps nobody waiting."""
    try:
        work(seed)
    except BaseException:
        ready.abort()
        raise


def stream(options: Options) -> Any:
    """A CUDA stream of this thread's own."""
    return torch.cuda.stream(torch.cuda.Stream()) if options.device == "cuda" else nullcontext()


# ---- the study ------------------------------------------------------------------


def run(job: Job, data: FrameSet, options: Options) -> Result:
    """Train, or continue; what there is to say of it, finished or not."""
    folder = options.work / "runs" / f"{options.samples}-{options.epochs}" / job.name
    spec = network_spec("fc", data.sensor, len(data.info.classes))
    begun = (folder / "ckpt.pt").exists() or (folder / "resume.pt").exists()
    with observe(Remarks(job.name, options.deadline)):
        try:
            done = train(
                spec, plan(options, job.rho), data, folder / "ckpt.pt", seed=job.seed, validation=VALIDATION,
                device=options.device, resume=begun,
            )  # fmt: skip
        except TrainingInterruptedError:
            done = None
    return summary(job, folder, done.checkpoint.metrics if done else None)


def summary(job: Job, folder: Path, metrics: dict[str, Any] | None) -> Result:
    """Validation accuracies of the chosen epoch, or of the best so far; on test of a finished one."""
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    kept = ("loss", "grad_norm", "surrogate_accuracy", "hard_accuracy", "hard_loss", "step_ms", "seconds")
    found: Result = {
        **asdict(job), "name": job.name, "finished": metrics is not None, "epochs": len(lines),
        "seconds": round(sum(line["seconds"] for line in lines), 2),
        "history": {key: [round(line[key], 6) for line in lines] for key in kept},
    }  # fmt: skip
    if lines:
        best = max(lines, key=lambda line: (line["hard_accuracy"], -line["hard_loss"], line["epoch"]))
        soft, hard = best["surrogate_accuracy"], best["hard_accuracy"]
        found["best_epoch"], found["step_ms"] = best["epoch"], statistics.median(found["history"]["step_ms"])
        found["validation"] = {"surrogate": soft, "hard": hard, "gap": soft - hard}
    if metrics is not None:
        test = metrics["test"]
        found["test"] = {**test, "gap": test["surrogate"] - test["hard"]}
        found["checkpoint"] = str(folder / "ckpt.pt")
    return found


def worker(options: Options, waiting: Any, results: Any) -> None:
    """One process of the study: some threads that take jobs until there are none left."""
    try:
        sys.setswitchinterval(1e-3)
        data, took = frames(options), dict[bool, float]()
        arguments = options, data, waiting, results, took
        threads = [threading.Thread(target=take, args=arguments) for _ in range(options.streams)]
        with lif_in_torch(options.no_triton):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    except BaseException:
        traceback.print_exc()
    finally:
        results.put(None)


def take(options: Options, data: FrameSet, waiting: Any, results: Any, took: dict[bool, float]) -> None:
    """Jobs, one after the other; took: seconds of the longest finished one, with SAM and without."""
    with stream(options):
        while (job := waiting.get()) is not None:
            left, sam = options.deadline - time.time(), job.rho > 0
            expected = took.get(sam, took.get(not sam, 0.0) * (2.0 if sam else 0.5))
            if left <= expected:
                tell(f"{job.name}: {left:.0f} s are left, it would take {expected:.0f}")
                continue
            start = time.time()
            try:
                found = run(job, data, options)
            except Exception:
                tell(f"{job.name} failed:\n{traceback.format_exc()}")
                continue
            if found["finished"]:
                took[sam] = max(took.get(sam, 0.0), time.time() - start)
            results.put(found)


def study(options: Options, measured: Result) -> list[Result]:
    """All jobs, over processes and threads; results and checkpoints are written as they come."""
    context = multiprocessing.get_context("spawn")
    waiting, results = context.Queue(), context.Queue()
    planned = jobs(options.seeds)
    for job in planned + [None] * (options.processes * options.streams):
        waiting.put(job)
    processes = [
        context.Process(target=worker, args=(options, waiting, results)) for _ in range(options.processes)
    ]
    for process in processes:
        process.start()
    found: list[Result] = []
    at_work = len(processes)
    while at_work:
        try:
            result = results.get(timeout=max(1.0, options.deadline + MARGIN_S - time.time()))
        except queue.Empty:
            tell("a process gives no answer")
            break
        if result is None:
            at_work -= 1
            continue
        found.append(result)
        tell(line_of(result))
        keep_checkpoint(options.out, result)
        write_results(options, measured, found)
    waiting.cancel_join_thread()
    for process in processes:
        process.join(1.0)
        process.kill()
    return found


def line_of(result: Result) -> str:
    if not result["finished"]:
        return f"{result['name']}: stopped after {result['epochs']} epochs"
    test = result["test"]
    return (
        f"{result['name']}: test surrogate {percent(test['surrogate'])}, hard {percent(test['hard'])}, "
        f"gap {100 * test['gap']:.2f}; epoch {result['best_epoch']} of {result['epochs']}, "
        f"{result['seconds']:.0f} s"
    )


def keep_checkpoint(out: Path, result: Result) -> None:
    """Add the chosen epoch's checkpoint to the archive at hand, none of which grows beyond TAR_BYTES."""
    if not result["finished"]:
        return
    source, number = Path(result["checkpoint"]), 0
    while True:
        archive = out / f"checkpoints-{number}.tar"
        if not archive.exists() or archive.stat().st_size + source.stat().st_size < TAR_BYTES:
            break
        number += 1
    with tarfile.open(archive, "a") as file:
        file.add(source, f"{result['name']}/ckpt.pt")


def write_results(options: Options, measured: Result, found: list[Result]) -> None:
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    settings = {key: str(value) for key, value in vars(options).items()}
    ordered = sorted(found, key=lambda result: (result["rho"], result["seed"]))
    whole = {"device": device, "torch": torch.__version__, "options": settings, "measured": measured}
    write_text(options.out / "results.json", json.dumps({**whole, "runs": ordered}) + "\n")


def print_table(found: list[Result]) -> None:
    print("test split, finished trainings, points")
    print(f"{'rho':>5} {'seeds':>5} {'surrogate':>16} {'hard':>16} {'gap':>16}")
    for rho in (0.0, *sorted(RHOS)):
        tests = [result["test"] for result in found if result["rho"] == rho and result["finished"]]
        if tests:
            columns = [[100 * test[key] for test in tests] for key in ("surrogate", "hard", "gap")]
            print(f"{rho:5g} {len(tests):5d} {' '.join(f'{spread(column):>16}' for column in columns)}")


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def parse() -> Options:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--mnist-dir", type=Path, required=True, help="MNIST's idx files, .gz or plain.")
    parser.add_argument("--work", type=Path, required=True, help="Where data and trainings stay.")
    parser.add_argument("--out", type=Path, required=True, help="Results.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--samples", type=int, default=TRAIN, help="For training, a sixth more for testing.")
    parser.add_argument("--epochs", type=int, default=recipe("paper").epochs)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--streams", type=int, default=4, help="Trainings at a time in each process.")
    parser.add_argument("--limit", type=float, default=3600.0, help="Seconds for everything together.")
    parser.add_argument("--only", choices=["data", "measure", "study"], help="One part alone.")
    parser.add_argument("--no-triton", action="store_true", help="LIF layers as torch operations.")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.deadline = time.time() + options.limit - MARGIN_S
    options.work, options.out = options.work.resolve(), options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    data, measured = frames(options), dict[str, Any]()
    if options.only in (None, "measure"):
        try:
            with lif_in_torch(options.no_triton):
                measure(options, data, measured)
        except Exception:  # the trainings may go well all the same
            tell(f"measuring failed:\n{traceback.format_exc()}")
        write_results(options, measured, [])
    if options.only in (None, "study"):
        print_table(study(options, measured))


if __name__ == "__main__":
    main()
