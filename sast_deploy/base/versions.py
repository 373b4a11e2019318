"""Versions: what is installed, what this package needs, what it was tested with. Imports none of them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import sys
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy import __version__
from sast_deploy.base.errors import InstallationError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "sast-deploy"
LAVA_VERSIONS = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}
LAVA_INSTALL = (
    "--no-deps", "--ignore-requires-python", *(f"{name}=={found}" for name, found in LAVA_VERSIONS.items()),
)  # fmt: skip
# Distributions that are called otherwise than what they let one import.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml"}
# Lines of /proc/cpuinfo that tell a processor, on x86 and on ARM.
_PROCESSOR = ("vendor_id", "cpu family", "model", "stepping", "cache size", "flags", "CPU ", "Features")
CHECKOUT = Path(__file__).resolve().parents[2]


def installed_version(distribution: str) -> str | None:
    """The installed version of a distribution, from its metadata; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def package_versions() -> dict[str, str]:
    """Versions of what shapes a checkpoint's or a program's numbers."""
    found = {name: installed_version(name) or "missing" for name in ("torch", "numpy")}
    return {"sast-deploy": __version__, **found, "python": platform.python_version()}


@cache
def machine_digest() -> str:
    """Digest of what speed depends on: processor, how many there are for us, versions."""
    lines: set[str] = set()
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        lines = {line for line in text.splitlines() if line.startswith(_PROCESSOR)}
    versions = [installed_version(name) for name in ("numpy", "numba", "llvmlite", "torch")]
    about = [platform.machine(), sorted(lines), len(os.sched_getaffinity(0)), versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def pinned_versions() -> dict[str, str]:
    """Name -> version for this Python from constraints.txt, which only a checkout has; else empty."""
    path = CHECKOUT / "constraints.txt"
    if not path.is_file():
        return {}
    pins: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = _requirement(line)
            if pin.marker is None or pin.marker.evaluate():
                pins[normal_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return pins


def runtime_requirements() -> list[Requirement]:
    """The runtime dependencies on this Python, from the metadata or the checkout's pyproject.toml."""
    try:
        texts = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        texts = _declared(CHECKOUT / "pyproject.toml")
    found = [_requirement(text) for text in texts]
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def _declared(pyproject: Path) -> list[str]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    table: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    return list(table["project"]["dependencies"])


def _requirement(text: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(text)


def pip_command(*arguments: str) -> str:
    """The shell command with which this Python installs something."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def missing_package(error: ImportError) -> InstallationError:
    """What an import that failed means for the person at the keyboard, with the line that mends it.

    A package that is there, but broken or too old, is to be installed again.
    """
    name = (error.name or "").partition(".")[0]
    reason = " ".join(str(error).split())
    if not name or name in sys.stdlib_module_names:
        todo = "run `sast-deploy doctor`, or install Python or the package again"
        return InstallationError(f"cannot be loaded: {reason}", where=name or "a package", todo=todo)
    gone = isinstance(error, ModuleNotFoundError) and error.name == name
    what = "is not installed" if gone else f"cannot be loaded: {reason}"
    return InstallationError(f"the Python package {name} {what}", todo=install_line(name))


def install_line(module: str) -> str:
    """The command that installs what `import module` needs, in the version that is tested."""
    if module == "lava":
        return pip_command(*LAVA_INSTALL)
    distribution = DISTRIBUTIONS.get(module, module)
    try:
        wanted = {normal_name(each.name): f"{each.name}{each.specifier}" for each in runtime_requirements()}
        pins = pinned_versions()
    except ImportError:  # packaging itself is missing
        return pip_command(distribution)
    pin = pins.get(normal_name(distribution))
    if pin:
        return pip_command(f"{distribution}=={pin}")
    return pip_command(wanted.get(normal_name(distribution), distribution))


def normal_name(name: str) -> str:
    """A distribution's name as registries compare it: "importRosbag" -> "importrosbag"."""
    return re.sub(r"[-_.]+", "-", name).lower()
