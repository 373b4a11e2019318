"""Is today's package as fast as another commit's? The same work in both, in turns, in one run.

    python benchmarks/against.py REF [--new REF] [--limit 1.05] [--repeat 9] [--only fast-fc lava ...]

REF is a commit, checked out to a temporary git worktree that is removed afterwards, or the folder of a
checkout. It is compared with --new, or with this checkout as it is. Two processes, one with each one's
`sast_deploy`, take turns at every workload, with one thread. A turn is measured in processor time, that of
children included, since other work on a shared machine does not count there. Beside both medians stand the
ratio new / old, the median of the turns', that of the fastest turns, and the turns in which the new one was
slower. Where both ratios are above the limit, fresh processes take more turns, since where their memory lies
is chance, too. Exit codes: 1 where both still are after ROUNDS such rounds, or where the new one cannot do a
workload; 2 where there is no such commit. What only the old one cannot do is left out.

--data-root DIR: real N-MNIST recordings; without them the embedded, simulated ones, and made-up files.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
FC_SAMPLES, CONV_SAMPLES, LAVA_SAMPLES, COMMAND_SAMPLES, RECORDINGS = 2000, 100, 10_000, 2000, 60
ROUNDS = 3
ALONE = {"fc": 300, "conv": 30}  # calls with one sample in a turn
Act = Callable[[], object]


def main() -> None:
    options = parse()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="against-")))
        old, new = (
            stack.enter_context(checkout(name, place / side)) if name else HERE.parent
            for side, name in (("old", options.ref), ("new", options.new))
        )
        prepare(place / "inputs", options.data_root)
        print(f"{'workload':14} {'old':>11} {'new':>11}   new/old  of the best  slower turns")
        slow = [name for name in options.only if compare(name, old, new, place / "inputs", options)]
    if slow:
        print(f"slower than {options.limit:g} times {options.ref}, or failed: {', '.join(slow)}")
    sys.exit(bool(slow))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ref")
    parser.add_argument("--new", metavar="REF")
    parser.add_argument("--limit", type=float, default=1.05)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--only", nargs="*", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--data-root", type=Path)
    return parser.parse_args()


@contextmanager
def checkout(name: str, place: Path) -> Iterator[Path]:
    """The folder of a checkout, or a worktree of a commit for as long as it is needed. Raises SystemExit."""
    if (Path(name) / "sast_deploy").is_dir():
        yield Path(name).resolve()
        return
    git = ("git", "-C", str(HERE))
    added = subprocess.run(
        [*git, "worktree", "add", "--detach", str(place), name], capture_output=True, text=True, check=False
    )
    if added.returncode:
        reason = added.stderr.strip().splitlines()[-1]
        print(f"{name} is neither a commit nor a checkout: {reason}", file=sys.stderr)
        raise SystemExit(2)
    try:
        yield place
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(place)], capture_output=True, check=True)


def prepare(place: Path, data_root: Path | None) -> None:
    """What both get: frames in files, and a folder of recordings."""
    import numpy as np
    from fast_networks import COUNT_SHARES, random_frames, recordings
    from recordings import folder

    events, source = recordings(data_root, FC_SAMPLES)
    print(f"event frames: {source}")
    folder(place, data_root, COMMAND_SAMPLES, COMMAND_SAMPLES)
    np.save(place / "events.npy", np.asarray(events))
    np.save(place / "random.npy", random_frames(FC_SAMPLES, 0.04, COUNT_SHARES))


def compare(name: str, old: Path, new: Path, inputs: Path, options: argparse.Namespace) -> bool:
    """Print a workload's line; whether the new one is slower, or fails."""
    before: list[float] = []
    after: list[float] = []
    for _ in range(ROUNDS):
        times = turns(old, new, name, inputs, WORKLOADS[name].turns or options.repeat)
        if isinstance(times, Failed):
            print(f"{name:14} left out, {('old', 'new')[times.who]}: {times.reason}", flush=True)
            return bool(times.who)
        before, after = before + times[0], after + times[1]
        ratio = statistics.median(n / o for n, o in zip(after, before, strict=True))
        best = min(after) / min(before)
        slow = min(ratio, best) > options.limit
        if not slow:
            break
    medians = " ".join(f"{1000 * statistics.median(each):8.1f} ms" for each in (before, after))
    counted = f"{sum(n > o for n, o in zip(after, before, strict=True))} of {len(after)}"
    verdict = f"  more than {options.limit:g}" if slow else ""
    print(f"{name:14} {medians}   {ratio:7.3f}  {best:11.3f}  {counted}{verdict}", flush=True)
    return slow


class Failed(NamedTuple):
    """What one checkout, 0 the old or 1 the new one, cannot do."""

    who: int
    reason: str


def turns(
    old: Path, new: Path, name: str, inputs: Path, repeat: int
) -> tuple[list[float], list[float]] | Failed:
    """Processor seconds of every turn, of the old checkout and of the new one."""
    workers = [start(root, name, inputs) for root in (old, new)]
    times: tuple[list[float], list[float]] = ([], [])
    try:
        for number in range(repeat + 1):  # the first turn warms up
            for who in (0, 1) if number % 2 else (1, 0):
                seconds = ask(workers[who])
                if isinstance(seconds, str):
                    return Failed(who, seconds)
                if number:
                    times[who].append(seconds)
    finally:
        for worker in workers:
            with suppress(BrokenPipeError):
                worker.stdin.close()
            worker.stdout.close()
            worker.wait()
    return times


def ask(worker: subprocess.Popen) -> float | str:
    """One turn's seconds, or what went wrong."""
    with suppress(BrokenPipeError):
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answer = worker.stdout.readline().strip()
    try:
        return float(answer)
    except ValueError:
        return answer or "it ended"


def start(root: Path, name: str, inputs: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "against.py"), "--worker", name, str(root), str(inputs)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def serve(name: str, root: str, inputs: str) -> None:
    """Answer every line with the seconds of a turn; what the work itself prints goes elsewhere."""
    answers = sys.stdout
    sys.path.insert(0, str(Path(root) / "benchmarks"))  # networks and steps as that checkout makes them
    with tempfile.TemporaryDirectory(prefix="against-") as folder, redirect_stdout(sys.stderr):
        os.chdir(folder)  # commands look for the package here first
        try:
            import sast_deploy

            if not Path(sast_deploy.__file__).is_relative_to(root):
                raise ImportError(f"{sast_deploy.__file__} is not below {root}")
            act = WORKLOADS[name].prepare(Path(inputs), Path(folder))
            for _ in sys.stdin:
                before = processor_seconds()
                act()
                print(processor_seconds() - before, file=answers, flush=True)
        except (ImportError, AttributeError, TypeError, SystemExit) as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), file=answers, flush=True)


def processor_seconds() -> float:
    """Of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def part(*names: str) -> Any:
    """The first of these modules that the checkout has: where it stands now, where it stood before."""
    for name in names:
        with suppress(ImportError):
            return import_module(f"sast_deploy.{name}")
    raise ImportError(f"none of {names}")


# ---- the workloads: (inputs, a folder of one's own) -> what a turn does -------------------------


def engine(kind: str) -> Any:
    from fast_networks import compiled, convolutional, fully_connected

    program = compiled(fully_connected() if kind == "fc" else convolutional())
    return part("engines.fast.engine", "simulate.fast.engine").FastEngine(program, threads=1)


def fast(kind: str, frames: str, samples: int) -> Callable[[Path, Path], Act]:
    def prepare(inputs: Path, _folder: Path) -> Act:
        import numpy as np

        made, x = engine(kind), np.load(inputs / frames)[:samples]
        return lambda: made.run(x)

    return prepare


def cached(inputs: Path, folder: Path) -> Act:
    """Frames as that checkout's cache has them, which is how people run them."""
    from sast_deploy.data import FrameOptions, load_frames

    given = {"data_root": inputs / "root", "cache_dir": folder / "cache"}
    made, x = engine("fc"), load_frames("nmnist", FrameOptions(), **given).test.frames[:FC_SAMPLES]
    return lambda: made.run(x)


def alone(kind: str) -> Callable[[Path, Path], Act]:
    def prepare(inputs: Path, _folder: Path) -> Act:
        import numpy as np

        made, x = engine(kind), np.load(inputs / "events.npy")[: ALONE[kind]]
        return lambda: [made.run(x[n : n + 1]) for n in range(len(x))]

    return prepare


def lava(_inputs: Path, folder: Path) -> Act:
    from bench_lava import prepare

    run_lava = part("engines.lava", "simulate.lava").run_lava
    net, frames = prepare(folder, LAVA_SAMPLES)
    return lambda: run_lava(net, frames)


def training(kind: str, what: str) -> Callable[[Path, Path], Act]:
    def prepare(_inputs: Path, _folder: Path) -> Act:
        import numpy as np
        import torch
        from bench_train import BATCH, optimizer_step, random_feeder, training_pass

        torch.set_num_threads(1)
        torch.manual_seed(0)
        feeder, times = random_feeder(), 5 if kind == "fc" else 1
        if what == "step":
            act = optimizer_step(kind, feeder, part("training.recipes", "recipes").RECIPES["best"], 0.3)
        else:
            found = part("training.network.network", "training.network")
            network = found.Network(found.network_spec(kind, (2, 34, 34), 10))
            act = training_pass(network, *feeder.batch(np.arange(BATCH[kind])))
        return lambda: [act() for _ in range(times)]

    return prepare


def frames(inputs: Path, folder: Path) -> Act:
    import shutil

    from sast_deploy.data import FrameOptions, load_frames

    def act() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        load_frames("nmnist", FrameOptions(), data_root=inputs / "root", cache_dir=folder / "cache")

    return act


def simulate(inputs: Path, folder: Path) -> Act:
    from bench_commands import CHECK, simulations

    return simulations(folder, inputs / "root")[CHECK].act


def make(_inputs: Path, folder: Path) -> Act:
    from bench_commands import idx_files, makings

    return makings(folder, idx_files(folder / "digits"), (RECORDINGS,))[RECORDINGS].act


@dataclass(frozen=True)
class Workload:
    """prepare: as above. turns: fewer than --repeat, where a turn is long."""

    prepare: Callable[[Path, Path], Act]
    turns: int | None = None


WORKLOADS = {
    "fast-fc": Workload(cached),
    "fast-arrays": Workload(fast("fc", "events.npy", FC_SAMPLES)),
    "fast-random": Workload(fast("fc", "random.npy", FC_SAMPLES)),
    "fast-alone": Workload(alone("fc")),
    "conv": Workload(fast("conv", "events.npy", CONV_SAMPLES)),
    "conv-alone": Workload(alone("conv")),
    "lava": Workload(lava, 5),
    "train-fc": Workload(training("fc", "pass")),
    "train-fc-step": Workload(training("fc", "step")),
    "train-conv": Workload(training("conv", "pass"), 5),
    "train-conv-step": Workload(training("conv", "step"), 5),
    "frames": Workload(frames),
    "data-simulate": Workload(make, 5),
    "simulate": Workload(simulate, 5),
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve(*sys.argv[2:])
    else:
        main()
