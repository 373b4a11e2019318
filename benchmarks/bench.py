"""All measurements of this folder, one after the other: ratios first, then absolute figures.

    python benchmarks/bench.py [--data-root DIR] [--mnist-dir DIR] [--only PART ...] [--results DIR]

Each part runs in a process of its own; run alone, its script prints more. When every part has succeeded, the
results file of this processor is replaced, results/speed/<processor>.json, and `make docs` takes it into
README.md and docs/speed.md. On a machine whose load average at the start is more than half its cores, what
the clock says is left out where processor time is known.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from figures import CPU, RESULTS, ROWS, Result, printed, write_result

HERE = Path(__file__).resolve().parent
PARTS = {
    "gather": ("gather.py",),
    "fast": ("bench_fast.py", "--data-root"),
    "lava": ("bench_lava.py",),
    "train-fc": ("bench_train.py", "--network", "fc"),
    "train-conv": ("bench_train.py", "--network", "conv"),
    "frames": ("bench_frames.py", "--data-root"),
    "memory": ("bench_memory.py", "--data-root"),
    "commands": ("bench_commands.py", "--data-root", "--mnist-dir"),
}


def main() -> None:
    options = parse()
    processor, before, began = machine.processor(), machine.busy(), time.monotonic()
    figures, failed = {}, []
    for part in options.only:
        started = time.monotonic()
        try:
            figures |= measure(part, {"--data-root": options.data_root, "--mnist-dir": options.mnist_dir})
        except subprocess.CalledProcessError as error:
            failed.append(part)
            print(f"{part} failed:\n{error.stderr.strip()}", file=sys.stderr)
        print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    busy = before > processor["cores"] / 2
    recordings = "real N-MNIST" if options.data_root else "simulated or random"
    about = {
        "source": f"measured {datetime.date.today()} at {commit()}, recordings {recordings}"
        + (", on a busy machine" if busy else ""),
        "processor": processor,
        "versions": machine.versions(),
        "load": [before, machine.busy()],
        "seconds": round(time.monotonic() - began),
    }
    result = Result(quiet(figures) if busy else figures, about)
    print("\n".join(summary(result)))
    if failed or set(options.only) != set(PARTS):
        print(f"not written: {', '.join(failed) + ' failed' if failed else 'not every part was run'}")
        sys.exit(bool(failed))
    print(f"wrote {write_result(options.results, machine.slug(processor), result).name}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    named = os.environ.get("SAST_DATA_ROOT")
    parser.add_argument("--data-root", type=Path, default=Path(named) if named else None)
    parser.add_argument("--mnist-dir", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def measure(part: str, given: dict[str, Path | None]) -> dict[str, float]:
    """A part's figures, measured in a child process. Raises CalledProcessError."""
    script, *others = PARTS[part]
    arguments = []
    for word in others:
        if word not in given:
            arguments.append(word)
        elif given[word] is not None:
            arguments += [word, str(given[word])]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / script), *arguments, "--figures", str(file)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(file.read_text(encoding="utf-8")))


def quiet(figures: dict[str, float]) -> dict[str, float]:
    """Without what the clock says where the same is known by processor time."""
    return {name: value for name, value in figures.items() if name + CPU not in figures}


def summary(result: Result) -> list[str]:
    ratios = printed(result.figures, (row for row in ROWS if row.ratio))
    others = printed(result.figures, (row for row in ROWS if not row.ratio))
    return ["", *ratios, "", *others, "", result.description, f"{result.about['seconds']} s in all"]


def commit() -> str:
    """The checkout's commit, marked where files have changed since; "an unknown commit" without git."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+"]
    found: Any = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "an unknown commit"


if __name__ == "__main__":
    main()
