"""Whole commands, as a person waits for them: `simulate` of 10,000 cached samples, `data simulate`.

    python benchmarks/bench_commands.py [--data-root DIR] [--mnist-dir DIR] [--samples N] [--recordings N]

`simulate --backend fast` runs a random fully connected INT8 network on a test split of N-MNIST recordings
whose frames are in the cache, with the default check and without one. `data simulate` makes recordings of
MNIST's images, or where no --mnist-dir is named of scikit-learn's digits in MNIST's files, a few and then
--recordings more; the difference gives the time for each, and 70,000 are extrapolated. By the clock, and of
all processors.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from fast_networks import compiled, fully_connected
from figures import deliver, takes_figures
from recordings import folder
from turns import Cost, Path as Timed, in_turns

from sast_deploy.base.children import python_command
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.profile import load_profile

MNIST, FEW = 70_000, 40
CHECK, NONE = "simulate, default check", "simulate, --check none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--mnist-dir", type=Path)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--recordings", type=int, default=800)
    parser.add_argument("--repeat", type=int, default=3)
    takes_figures(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-commands-") as place:
        root = folder(Path(place), options.data_root, 20, options.samples)
        costs = in_turns(simulations(Path(place), root), options.repeat)
        images = options.mnist_dir or idx_files(Path(place) / "digits")
        counts = (FEW, FEW + options.recordings)
        made = in_turns(makings(Path(place), images, counts), 1, warm_up=0)
    costs |= {f"data simulate, {count} recordings": cost for count, cost in made.items()}
    for name, cost in costs.items():
        print(f"{name:34} {cost.clock:7.2f} s, processors {cost.processor:7.2f} s")
    figures = conclude(costs, *(made[count] for count in counts), options.recordings)
    print(f"data simulate, {MNIST:,} recordings: {figures['data.simulate']:.0f} s, "
          f"processors {figures['data.simulate@cpu']:.0f} s, extrapolated")  # fmt: skip
    deliver(options.figures, figures)


def simulations(place: Path, root: Path) -> dict[str, Timed]:
    net, cache = place / "bench.net", place / "cache"
    made_for = load_frames("nmnist", FrameOptions(), data_root=root, cache_dir=cache)
    about = {"data": made_for.info.to_dict(), "frames": made_for.options.to_dict()}
    write_net(net, NetFile(compiled(fully_connected()), load_profile("loihi-int8").text, **about))
    given = ("simulate", net, "--backend", "fast", "--dataset", "nmnist", "--data-root", root)
    given = (*given, "--cache-dir", cache, "--report", place / "report.json", "--overwrite")
    return {CHECK: Timed(lambda: call(*given)), NONE: Timed(lambda: call(*given, "--check", "none"))}


def makings(place: Path, images: Path, counts: tuple[int, ...]) -> dict[int, Timed]:
    def make(count: int) -> None:
        out = place / "simulated"
        shutil.rmtree(out, ignore_errors=True)
        numbers = ("--train", count // 2, "--test", count - count // 2)
        call("data", "simulate", "--mnist-dir", images, "-o", out, *numbers)

    make(2)  # kernels are compiled
    return {count: Timed(lambda count=count: make(count)) for count in counts}


def call(*arguments: object) -> None:
    """Raises SystemExit with what the command said, where it fails."""
    command = python_command("sast_deploy", *map(str, arguments))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"sast-deploy {arguments[0]} failed: {done.stderr.strip()}")


def idx_files(place: Path) -> Path:
    """MNIST's four files with scikit-learn's digits in them, as often as need be."""
    from sast_deploy.data.camera.digits import digit_images

    place.mkdir()
    images, labels = digit_images()
    for split in ("train", "t10k"):
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
            content = gzip.compress(head + values.astype(np.uint8).tobytes(), 1)
            (place / f"{split}-{kind}-ubyte.gz").write_bytes(content)
    return place


def conclude(costs: dict[str, Cost], few: Cost, many: Cost, more: int) -> dict[str, float]:
    found = {}
    for name, cost in (("check", costs[CHECK]), ("none", costs[NONE])):
        found |= {f"simulate.{name}": cost.clock, f"simulate.{name}@cpu": cost.processor}
    for mark, low, high in (("", few.clock, many.clock), ("@cpu", few.processor, many.processor)):
        found[f"data.simulate{mark}"] = low + (high - low) / more * (MNIST - FEW)
    return found


if __name__ == "__main__":
    main()
