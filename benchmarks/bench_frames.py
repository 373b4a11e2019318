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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.events import EVENT, NMNIST_SENSOR, read_event_bytes, write_nmnist
from sast_deploy.data.frames import Binner
from sast_deploy.data.readers.nmnist import find_nmnist, list_split

TARGET = 5000  # samples per second on two cores
MEAN_EVENTS = 4110  # of the real recordings


def made_up(root: Path, samples: int) -> Path:
    generator = np.random.default_rng(0)
    for i in range(samples):
        events = np.zeros(MEAN_EVENTS, EVENT)
        events["x"], events["y"] = generator.integers(0, 34, (2, MEAN_EVENTS))
        events["t"] = np.sort(generator.integers(0, 300_000, MEAN_EVENTS))
        events["p"] = generator.integers(0, 2, MEAN_EVENTS)
        write_nmnist(root / "Train" / str(i % 10) / f"{i:05d}.bin", events)
    return root


def part_of(root: Path, files: list[str], place: Path) -> Path:
    """A folder of links to the given recordings."""
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(root.absolute() / name, place / name)
    return place


def forget(paths: list[Path]) -> None:
    """Ask the kernel to drop the files from its page cache."""
    os.sync()
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_of_three(work: Callable[[], object], before: Callable[[], object]) -> tuple[float, float]:
    """(elapsed, processor) seconds of the fastest of three runs, each after an untimed `before`."""
    results = []
    for _ in range(3):
        before()
        used = time.process_time()
        elapsed = seconds(work)
        results.append((elapsed, time.process_time() - used))
    return min(results)


def in_threads(work: Callable[[int], object], n: int, threads: int) -> Callable[[], object]:
    def chunk(start: int) -> None:
        for i in range(start, min(start + 64, n)):
            work(i)

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(chunk, range(0, n, 64)))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--samples", type=int, default=5000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.data_root, arguments.samples, Path(folder))


def measure(data_root: Path | None, samples: int, work: Path) -> None:
    root = find_nmnist(data_root) if data_root else made_up(work / "made-up", samples)
    if root is None:
        raise SystemExit(f"no N-MNIST recordings in {data_root}")
    names = [recording.id for recording in list_split(root, "Train")][:samples]
    part = part_of(root, names, work / "part")
    paths = [root / name for name in names]
    options, threads = FrameOptions(), os.cpu_count() or 1
    binner = Binner(NMNIST_SENSOR, options)

    def whole() -> None:
        load_frames("nmnist", options, data_root=part, holdout=0.2, cache_dir=work / "cache")

    def no_cache() -> None:
        shutil.rmtree(work / "cache", ignore_errors=True)

    def no_cache_nothing_in_memory() -> None:
        no_cache()
        forget(paths)

    warm_up = np.empty(binner.shape, np.uint8)
    binner.from_nmnist(read_event_bytes(paths[0]), warm_up, paths[0])
    rows = [("whole, files not in memory", *best_of_three(whole, no_cache_nothing_in_memory))]
    rows.append(("whole, files in memory", *best_of_three(whole, no_cache)))
    second = seconds(whole)

    contents = [read_event_bytes(path) for path in paths]
    out = np.empty((len(paths), *binner.shape), np.uint8)
    count = in_threads(lambda i: binner.from_nmnist(contents[i], out[i], paths[i]), len(paths), threads)
    read = in_threads(lambda i: read_event_bytes(paths[i]), len(paths), threads)
    count()  # touches the pages of `out` once
    rows.append(("frames from bytes in memory", *best_of_three(count, list)))
    rows.append(("limit: reading the files", *best_of_three(read, list)))
    copy = np.empty_like(out)
    rows.append(("limit: copying the frames", *best_of_three(lambda: np.copyto(copy, out), list)))
    print(f"{threads} processors, as many threads")
    report(rows, len(paths), sum(map(len, contents)), second)
    compare_with_tonic(paths[:200])


def report(rows: list[tuple[str, float, float]], n: int, n_bytes: int, second: float) -> None:
    print(f"{n} recordings, {n_bytes / n / 5:.0f} events each, {n_bytes / 1e6:.0f} MB")
    for name, elapsed, used in rows:
        verdict = f"   {n / elapsed / TARGET:.1f} x the target" if name.startswith("whole") else ""
        print(f"{name:31} {n / elapsed:9,.0f} samples/s   {elapsed:.3f} s, processor {used:.3f} s{verdict}")
    print(f"{'again, from the cache':31} {second:9.3f} s, checksums included")


def compare_with_tonic(paths: list[Path]) -> None:
    import tonic

    kind = tonic.datasets.NMNIST
    to_frame = tonic.transforms.ToFrame(sensor_size=kind.sensor_size, n_time_bins=10)

    def read() -> None:
        for path in paths:
            to_frame(tonic.io.read_mnist_file(path, dtype=kind.dtype))

    print(f"{'tonic: read_mnist_file, ToFrame':31} {len(paths) / seconds(read):9,.0f} samples/s, one thread")


if __name__ == "__main__":
    main()
