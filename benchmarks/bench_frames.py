"""Events to frames: N-MNIST samples per second, beside what reading the files and copying memory would allow.

    python benchmarks/bench_frames.py --data-root DIR [--samples N]     real (or simulated) recordings
    python benchmarks/bench_frames.py                                   made-up recordings of 4,110 events

"whole" is what a user waits for the first time: list, read, check, hash, count, write the cache and read it
back. Its processor time is shown too, because it does not depend on what else the machine is doing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from figures import deliver, takes_figures
from recordings import folder
from turns import Cost, Path as Timed, in_turns

from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.events import NMNIST_SENSOR, read_event_bytes
from sast_deploy.data.frames import Binner

TONIC_SAMPLES = 200
DISK, MEMORY, BYTES = "whole, files not in memory", "whole, files in memory", "frames from bytes in memory"
TONIC, OURS = "tonic: read_mnist_file, ToFrame; one thread", "file to frames here; one thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    takes_figures(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-frames-") as place:
        root = folder(Path(place), options.data_root, options.samples)
        costs = in_turns(paths(root, Path(place) / "cache"), options.repeat)
    print(f"{options.samples} recordings, {len(os.sched_getaffinity(0))} cores")
    for name, cost in costs.items():
        print(f"{name:44} {1 / cost.clock:9,.0f}/s   {1 / cost.processor:9,.0f} a second of processor time")
    deliver(options.figures, conclude(costs))


def paths(root: Path, cache: Path) -> dict[str, Timed]:
    files = sorted(root.glob("Train/*/*.bin"))
    count, few, options = len(files), files[:TONIC_SAMPLES], FrameOptions()
    binner = Binner(NMNIST_SENSOR, options)
    contents = [read_event_bytes(path) for path in files]
    out = np.empty((count, *binner.shape), np.uint8)
    copy = np.empty_like(out)

    def whole() -> None:
        load_frames("nmnist", options, data_root=root, holdout=0.2, cache_dir=cache)

    def no_cache() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    def nothing_in_memory() -> None:
        no_cache()
        forget(files)

    def bin_one(i: int) -> None:
        binner.from_nmnist(contents[i], out[i], files[i])

    def ours() -> None:
        for i, path in enumerate(few):
            binner.from_nmnist(read_event_bytes(path), out[i], path)

    return {
        DISK: Timed(whole, count, before=nothing_in_memory),
        MEMORY: Timed(whole, count, before=no_cache),
        "again, from the cache": Timed(whole, count),
        BYTES: Timed(in_threads(bin_one, count), count),
        "limit: reading the files": Timed(in_threads(lambda i: read_event_bytes(files[i]), count), count),
        "limit: copying the frames": Timed(lambda: np.copyto(copy, out), count),
        OURS: Timed(ours, len(few)),
        TONIC: Timed(with_tonic(few), len(few)),
    }


def with_tonic(files: list[Path]) -> Callable[[], None]:
    import tonic

    kind = tonic.datasets.NMNIST
    to_frame = tonic.transforms.ToFrame(sensor_size=kind.sensor_size, n_time_bins=10)

    def run() -> None:
        for path in files:
            to_frame(tonic.io.read_mnist_file(path, dtype=kind.dtype))

    return run


def forget(files: list[Path]) -> None:
    """Ask the kernel to drop the files from its page cache."""
    os.sync()
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def in_threads(work: Callable[[int], object], n: int) -> Callable[[], object]:
    def chunk(start: int) -> None:
        for i in range(start, min(start + 64, n)):
            work(i)

    def run() -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(chunk, range(0, n, 64)))

    return run


def conclude(costs: dict[str, Cost]) -> dict[str, float]:
    found = {"frames.tonic@cpu": costs[TONIC].processor / costs[OURS].processor}
    for name, path in (("memory", MEMORY), ("disk", DISK), ("bytes", BYTES)):
        found[f"frames.{name}"] = 1 / costs[path].clock
        found[f"frames.{name}@cpu"] = 1 / costs[path].processor
    return found


if __name__ == "__main__":
    main()
