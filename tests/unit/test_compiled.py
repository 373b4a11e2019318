"""Kernels run wherever the package lies, for whoever runs it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sast_deploy

PACKAGE = Path(sast_deploy.__file__).parent
SCRIPT = """
import ctypes, importlib, os, sys
if os.getuid() == 0:  # without capabilities root is bound by modes as everybody is
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
import numpy as np
import sast_deploy
assert sast_deploy.__file__.startswith(sys.argv[1]), sast_deploy.__file__
assert not os.access(os.path.dirname(sast_deploy.__file__), os.W_OK)
for name in sys.argv[2:]:
    importlib.import_module(name)
from sast_deploy.base.compiled import compiled
from sast_deploy.data import FrameOptions
from sast_deploy.data.events import EVENT
from sast_deploy.data.frames import Binner
out = np.zeros((2, 2, 34, 34), np.uint8)
events = np.zeros(3, EVENT)
Binner((34, 34), FrameOptions(steps=2)).from_events(events, out, "x")
print(int(out.sum()), compiled()(lambda x: x + 1)(2))
"""


def kernel_modules() -> list[str]:
    """Every module that compiles something."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        taken = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {alias.name for aliases in taken for alias in aliases}
        if names & {"compiled", "inlined"}:
            found.append(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    return found


@pytest.fixture
def readonly() -> Iterator[Path]:
    """A folder that everybody may read and nobody write, with a copy of the package and no machine code."""
    folder = Path(tempfile.mkdtemp(prefix="sast-readonly-"))
    copy = shutil.copytree(PACKAGE, folder / "sast_deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*copy.rglob("*"), copy, folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in (folder, copy, *copy.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_read_only_package_runs_for_a_user_without_a_home(readonly: Path) -> None:
    modules = kernel_modules()
    assert len(modules) >= 6
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": "/proc/nowhere", "PYTHONPATH": os.pathsep.join([str(readonly), *sys.path])}
    command = [sys.executable, "-c", SCRIPT, str(readonly), *modules]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["3", "3"], done.stderr
    assert not list(readonly.rglob("*.nb*"))


def test_one_place_compiles() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "base" / "compiled.py":
            assert "njit" not in path.read_text(encoding="utf-8"), f"{path}: use sast_deploy.base.compiled"
