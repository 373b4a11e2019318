"""Which code made a result: the source's own digest, and the commit where the checkout knows it."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import sast_deploy
from sast_deploy import __version__

PACKAGE = Path(sast_deploy.__file__).resolve().parent


@cache
def source_digest() -> str:
    """SHA-256 over the package's Python files, each with its path, in order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@cache
def code_version() -> dict[str, Any]:
    """{"version", "source", "commit"}; commit is None outside a git checkout, and ends in "+" if changed."""
    return {"version": __version__, "source": source_digest(), "commit": _commit()}


def _commit() -> str | None:
    commit = _git("rev-parse", "HEAD")
    if commit is None or _git("ls-files", "--error-unmatch", "sast_deploy/__init__.py") is None:
        return None  # no checkout of ours: a virtual environment inside another repository, say
    changed = _git("status", "--porcelain", "--", "sast_deploy", "profiles")
    return f"{commit}+" if changed else commit


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
