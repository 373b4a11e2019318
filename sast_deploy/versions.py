"""Versions: what is installed, what this package needs, what it was tested with. Imports none of them."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "sast-deploy"
CHECKOUT = Path(__file__).resolve().parent.parent


def installed_version(distribution: str) -> str | None:
    """The installed version of a distribution, from its metadata; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


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


def normal_name(name: str) -> str:
    """A distribution's name as registries compare it: "importRosbag" -> "importrosbag"."""
    return re.sub(r"[-_.]+", "-", name).lower()
