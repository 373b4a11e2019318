"""What is installed, what is missing, and the command that mends it.

Looks without importing: versions come from the packages' metadata, torch's build from its version file, and
Lava, which has to be tried, runs in a child process. So a broken package cannot break the diagnosis.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from sast_deploy.base.children import child_environment, python_command
from sast_deploy.base.errors import Exit, SastError
from sast_deploy.base.files import default_cache_dir
from sast_deploy.base.text import printable
from sast_deploy.base.versions import (
    LAVA_INSTALL,
    LAVA_VERSIONS,
    installed_version,
    normal_name,
    pinned_versions,
    pip_command,
    runtime_requirements,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from sast_deploy.show.blocks import Out

PYTHON_RANGE = ((3, 10), (3, 13))
LAVA_SELFCHECK = "sast_deploy.engines.lava.selfcheck"
LAVA_SECONDS = 30.0
SHARED_MEMORY = Path("/dev/shm")
MEND_PACKAGES = "mend the packages above first"
MIB = 2**20
SHM_WANTED = 65 * MIB  # containers give 64 MiB unless told otherwise
DISK_WANTED = 1024 * MIB  # the frames of the whole N-MNIST at T = 10 take about 1.6 GB, of the default 40 MB


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    name: what was looked at. found, wanted: in words. ok: found is as wanted.
    remedy: the command that mends it if not. essential: False for what only costs comfort.
    """

    name: str
    found: str
    wanted: str
    ok: bool
    remedy: str = ""
    essential: bool = True

    @property
    def state(self) -> str:
        """ "ok", "warn" or "FAIL"."""
        return "ok" if self.ok else "FAIL" if self.essential else "warn"


def diagnose() -> list[Check]:
    """All checks, in a few seconds. Never raises for what it finds."""
    installed = [_python(), *_packages(), _torch_build(), *_lava()]
    return [*installed, _shared_memory(), *_cache(), *_measured(), _data(), _profiles(), _simulators()]


def healthy(checks: list[Check]) -> bool:
    """Whether everything essential is there."""
    return all(check.ok for check in checks if check.essential)


COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def print_checks(checks: list[Check], console: Out) -> None:
    """On a terminal a table with the commands below it; elsewhere a line a check, its command last."""
    if not console.is_terminal:
        for check in checks:
            console.print(_plain(check))
        return
    from sast_deploy.show.blocks import Line, Table

    rows = tuple((check.state, check.name, check.found, check.wanted) for check in checks)
    console.print(Table("", ("", "check", "found", "wanted"), rows, left=4, colours=COLOURS))
    console.print(*(Line(f"{check.name}: {check.remedy}", whole=True) for check in checks if not check.ok))


def _plain(check: Check) -> str:
    line = f"{check.state:4}  {check.name}: {check.found}"
    return line if check.ok else f"{line}; wanted {check.wanted}; {check.remedy}"


def _python() -> Check:
    (low, high), here = PYTHON_RANGE, sys.version_info[:2]
    wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}, best 3.11"
    return Check(
        "Python", f"{sys.version.split()[0]} ({sys.executable})", wanted, low <= here <= high,
        "make setup PYTHON=python3.11",
    )  # fmt: skip


def _packages() -> Iterator[Check]:
    if not _importable("packaging"):
        yield Check("packaging", "not installed", "any version", ok=False, remedy=pip_command("packaging"))
        return
    tested = pinned_versions()
    for requirement in runtime_requirements():
        yield _package(requirement, tested.get(normal_name(requirement.name)))


def _package(requirement: Requirement, tested: str | None) -> Check:
    found, allowed = installed_version(requirement.name), str(requirement.specifier) or "any version"
    wanted = f"{allowed}, tested with {tested}" if tested else allowed
    ok = found is not None and requirement.specifier.contains(found, prereleases=True)
    pin = f"{requirement.name}=={tested}" if tested else f"{requirement.name}{requirement.specifier}"
    return Check(requirement.name, found or "not installed", wanted, ok, "" if ok else pip_command(pin))


def _torch_build() -> Check:
    name, wanted = "torch build", "CPU or CUDA; the GPU only speeds training up"
    spec = util.find_spec("torch") if _importable("torch") else None
    if spec is None or spec.origin is None:
        return Check(name, "not installed", wanted, ok=False, remedy=pip_command("torch"))
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        damaged = f"damaged: no version.py in {Path(spec.origin).parent}"
        return Check(name, damaged, wanted, ok=False, remedy=f"{pip_command('torch')} --force-reinstall")
    cuda = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    driver = "with" if Path("/proc/driver/nvidia/version").exists() else "no"
    return Check(name, f"CUDA {cuda[1]}, {driver} NVIDIA driver" if cuda else "CPU", wanted, ok=True)


def _lava() -> Iterator[Check]:
    remedy = pip_command(*LAVA_INSTALL)
    found = {name: installed_version(name) for name in LAVA_VERSIONS}
    for name, version in LAVA_VERSIONS.items():
        yield Check(name, found[name] or "not installed", version, found[name] == version, remedy)
    if all(found.values()):
        yield _lava_runs(remedy)


def _lava_runs(remedy: str) -> Check:
    """Import Lava and run a small network in a child process, which may fail or hang without harm."""
    wanted = f"a small network runs within {LAVA_SECONDS:.0f} s"
    try:
        done = subprocess.run(
            python_command(LAVA_SELFCHECK), env=child_environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LAVA_SECONDS, start_new_session=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        again = shlex.join([sys.executable, "-m", LAVA_SELFCHECK])
        found = f"hangs (stopped after {LAVA_SECONDS:.0f} s)"
        return Check("Lava runs", found, wanted, ok=False, remedy=again)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no message"]
    return Check("Lava runs", lines[-1], wanted, done.returncode == 0, remedy)


def _shared_memory() -> Check:
    name, remedy = str(SHARED_MEMORY), "mount -o remount,size=1g /dev/shm  (docker run --shm-size=1g)"
    if not os.access(SHARED_MEMORY, os.W_OK):
        return Check(name, "not writable", "writable: Lava's semaphores live there", ok=False, remedy=remedy)
    size = shutil.disk_usage(SHARED_MEMORY).total
    wanted = f"{SHM_WANTED // MIB} MiB or more, or stock Lava networks hang; sast-deploy's do not use it"
    return Check(name, f"{size // MIB} MiB", wanted, size >= SHM_WANTED, remedy, essential=False)


def _cache() -> Iterator[Check]:
    name, wanted, remedy = "frame cache", "a writable folder", "export SAST_CACHE_DIR=/some/writable/folder"
    folder = default_cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        yield Check(name, f"{folder}: {error.strerror}", wanted, ok=False, remedy=remedy)
        return
    yield Check(name, str(folder), wanted, ok=True)
    free, wanted = shutil.disk_usage(folder).free, f"{DISK_WANTED // MIB} MiB"
    remedy = "export SAST_CACHE_DIR=/a/folder/on/a/larger/disk"
    yield Check("free disk", f"{free // MIB} MiB", wanted, free >= DISK_WANTED, remedy, essential=False)


def _measured() -> Iterator[Check]:
    """What was fastest here, of everything that was ever asked."""
    try:
        from sast_deploy.base.measured import VARIABLE, answers
    except ImportError as error:
        found, wanted = f"cannot look: {error}", "what was fastest here"
        yield Check("measured", found, wanted, ok=False, remedy=MEND_PACKAGES, essential=False)
        return
    kept = answers()
    asked = {answer.question.split()[0] for answer in kept}
    for word in os.environ.get(VARIABLE, "").split():
        topic, _, chosen = word.partition("=")
        if topic not in asked or not chosen:
            wanted, remedy = "TOPIC=NAME of a question below", f"unset {VARIABLE}, or mend it"
            found = f"{word!r:.60} names no question that was asked here"
            yield Check(VARIABLE, found, wanted, ok=False, remedy=remedy, essential=False)
    for answer in kept:
        times = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in answer.seconds.items())
        wanted = f"{VARIABLE}={answer.question.split()[0]}=NAME decides otherwise"
        yield Check(f"fastest: {answer.question}", f"{answer.fastest} ({times})", wanted, ok=True)


def _data() -> Check:
    name, wanted = "real N-MNIST", "optional: --dataset auto falls back to the simulated digits-saccade"
    try:
        from sast_deploy.data.readers.nmnist import find_nmnist, simulated_marker
        from sast_deploy.data.readers.sources import resolve_root
    except ImportError as error:
        return Check(name, f"cannot look: {error}", wanted, ok=False, remedy=MEND_PACKAGES)
    root = resolve_root(None)
    folder = find_nmnist(root)
    if folder is None:
        return Check(name, f"none in {root} (named by SAST_DATA_ROOT, else ./data)", wanted, ok=True)
    remedy = "export SAST_DATA_ROOT=/another/folder"
    try:
        found = f"{folder} holds simulated data" if simulated_marker(folder) else str(folder)
    except SastError as error:
        return Check(name, str(error), wanted, ok=False, remedy=remedy, essential=False)
    return Check(name, found, wanted, ok=True)


def _profiles() -> Check:
    wanted, remedy = "loihi-int8, loihi-int4 and more", "install the wheel again, or check out profiles/"
    try:
        from sast_deploy.program.profile import profile_names

        names = profile_names()
    except (ImportError, OSError) as error:
        return Check("profiles", f"cannot look: {error}", wanted, ok=False, remedy=remedy)
    ok = {"loihi-int8", "loihi-int4"} <= set(names)
    return Check("profiles", ", ".join(names) or "none", wanted, ok, remedy)


def _simulators() -> Check:
    name, wanted = "Verilog simulators", "optional: Verilator or Icarus, for --backend rtl"
    try:
        from sast_deploy.engines.rtl.simulators import INSTALL, icarus, verilator
    except ImportError as error:
        return Check(name, f"cannot look: {error}", wanted, ok=False, remedy=MEND_PACKAGES, essential=False)
    found = [simulator.version for simulator in (verilator(), icarus()) if simulator is not None]
    return Check(name, "; ".join(found) or f"none; {INSTALL}", wanted, ok=True)


def _importable(name: str) -> bool:
    try:
        return util.find_spec(name) is not None
    except ValueError:  # what find_spec raises for a module without a specification, as in a test
        return False


if __name__ == "__main__":  # works where click or rich are what is missing
    found_here = diagnose()
    print("\n".join(printable(_plain(check)) for check in found_here))
    sys.exit(0 if healthy(found_here) else Exit.ENVIRONMENT)
