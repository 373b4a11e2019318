"""pyproject.toml, constraints.txt, the Makefile and the doctor say the same thing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from sast_deploy import __version__
from sast_deploy.doctor import LAVA_VERSIONS, PYTHON_RANGE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pins(python: str) -> dict[str, str]:
    """Name -> the version that constraints.txt pins for a Python; each name at most once."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in found, f"{pin.name} is pinned twice for Python {python}"
            assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), line
            found[pin.name] = str(pin.specifier)[2:]
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_within_its_limits(python: str) -> None:
    pinned = pins(python)
    extras = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *extras["dev"], *extras["docs"]):
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": python}):
            assert wanted.specifier.contains(pinned[wanted.name]), text
    assert pinned["torch"] == "2.13.0"


def test_the_python_range_is_one() -> None:
    (low, high) = ("{}.{}".format(*version) for version in PYTHON_RANGE)
    assert (low, high) == (PYTHONS[0], PYTHONS[-1])
    assert PROJECT["requires-python"] == ">=3.10,<3.14"
    assert [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if " :: 3" in line] == list(PYTHONS)


def test_setup_installs_the_lava_that_the_doctor_wants() -> None:
    script = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    assert f"LAVA=({' '.join(f'{name}=={version}' for name, version in LAVA_VERSIONS.items())})" in script


def test_versions_agree() -> None:
    assert PROJECT["version"] == __version__


def test_all_packages_are_shipped() -> None:
    inside = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "sast_deploy").rglob("*.py")
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == inside | {"sast_deploy.profiles"}
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == {"sast_deploy.profiles": "profiles"}
    assert list((ROOT / "profiles").glob("*.toml"))


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    (name,) = PROJECT["license-files"]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
