"""The profiles that ship with the package, by name; read by what has no time to import more."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any


def profiles_folder() -> Any:
    """The profiles folder: package data in an installation, the top-level folder in a checkout."""
    shipped = resources.files("sast_deploy") / "profiles"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / "profiles"


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that ship with the package, sorted."""
    names = (item.name for item in profiles_folder().iterdir())
    return tuple(sorted(name[:-5] for name in names if name.endswith(".toml")))
