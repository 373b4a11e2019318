"""Memory and time of the fast engine against the number of samples, each number in a process of its own.

    python benchmarks/bench_memory.py [--samples 10 1000 20000 200000] [--network fc] [--data-root DIR]

The frames are lists of events mapped from files, as the frame cache has them; 200,000 samples of T = 10 take
1.1 GB in the temporary folder ($TMPDIR). "own" is the peak of what the process has allocated (RssAnon,
RssShmem), most of it imports; "resident" is the peak of all that was (VmHWM), pages of the mapped frames and
of the spike record's temporary files included, which the kernel takes back when it needs them. Time is
processor time a sample, of one thread.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from fast_networks import compiled, convolutional, fully_connected, recordings
from figures import deliver, takes_figures

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.fast import FastEngine

NETWORKS = {"fc": fully_connected, "conv": convolutional}
FIELDS = ("starts", "index", "count")  # of EventFrames
DISTINCT = 2000  # recordings in the file, again and again
STATUS = Path("/proc/self/status")
INTERVAL = 0.005  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="*", default=[10, 1_000, 20_000, 200_000])
    parser.add_argument("--network", choices=list(NETWORKS), default="fc")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    takes_figures(parser)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.network, options.worker[0], int(options.worker[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        write_frames(Path(folder), options.data_root, max(options.samples))
        in_process(options.network, folder, 1)  # kernels are compiled
        found = {n: in_process(options.network, folder, n) for n in options.samples}
    for n, each in found.items():
        print(
            f"{n:9,} samples: own {each['own']:7.1f} MiB, resident {each['resident']:7.0f} MiB, "
            f"{each['seconds'] / n * 1e6:8.2f} us a sample"
        )
    deliver(options.figures, conclude(found))


def write_frames(folder: Path, data_root: Path | None, samples: int) -> None:
    """The fields of EventFrames, each in a file: real recordings where a root is named, over and over."""
    frames, _ = recordings(data_root, min(samples, DISTINCT))
    parts = [frames[: min(len(frames), samples - start)] for start in range(0, samples, len(frames))]
    whole = EventFrames.joined(parts)
    for name in FIELDS:
        np.save(folder / f"{name}.npy", getattr(whole, name))


def in_process(network: str, folder: str, samples: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--network", network, "--worker", folder, str(samples)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measure(network: str, folder: str, samples: int) -> dict[str, float]:
    """MiB and seconds of one run of the first so many frames in the files."""
    program = compiled(NETWORKS[network]())
    engine = FastEngine(program, threads=1)
    starts, *events = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in FIELDS)
    starts = starts[: samples * program.steps + 1]
    shape = (samples, program.steps, *program.input_shape)
    frames = EventFrames(shape, starts, *(each[: starts[-1]] for each in events))
    engine.run(frames[:1])  # kernels are loaded
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            look()

    def look() -> None:
        most[0] = max(most[0], resident("RssAnon", "RssShmem"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    record = engine.run(frames)
    spent = time.process_time() - began
    done.set()
    watcher.join()
    look()
    assert len(record.logits) == samples
    return {"own": most[0], "resident": resident("VmHWM"), "seconds": spent}


def resident(*names: str) -> float:
    """MiB of these lines of the process's status together."""
    text = STATUS.read_text()
    return sum(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) for name in names) / 1024


def conclude(found: dict[int, dict[str, float]]) -> dict[str, float]:
    figures = {f"memory.own-{n}": each["own"] for n, each in found.items()}
    figures |= {f"memory.resident-{n}": each["resident"] for n, each in found.items()}
    figures |= {f"memory.us-{n}@cpu": each["seconds"] / n * 1e6 for n, each in found.items()}
    ascending = sorted(found)
    if len(ascending) >= 3:
        low, middle, high = (found[n] for n in ascending[-3:])
        growth = ascending[-1] / ascending[-2]
        figures["memory.flat"] = high["own"] / low["own"]
        figures["memory.linear@cpu"] = high["seconds"] / middle["seconds"] / growth
    return figures


if __name__ == "__main__":
    main()
