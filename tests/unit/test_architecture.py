"""The tree is the explanation: imports point down, and heavy packages stay where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sast_deploy"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the checkpoint's floats on, each level imports only what stands above it in this list, or beside it.
# What is not named counts as the last level, if it has nothing to do with training.
CHAIN = (
    {"errors"},
    {"fileio", "progress"},
    {"fields", "reading"},
    {"fixedpoint"},
    {"profile"},
    {"program"},
    {"floatnet", "compiler", "netx", "simulate", "report"},
)
LEVEL = {unit: level for level, units in enumerate(CHAIN) for unit in units}
DATA_MAY_IMPORT = {"data", "errors", "fileio", "progress"}
LAVA_HOME = "sast_deploy.simulate.lava"
TORCH_IN_THE_CHAIN = {"sast_deploy.simulate.fast.dense"}
HEAVY = {"torch", "tonic", "lava", "numba", "h5py", "sklearn", "matplotlib", "scipy", "librosa"}


def module_name(path: Path) -> str:
    """`sast_deploy/data/__init__.py` -> "sast_deploy.data"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of all modules (or names in modules) that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def unit(name: str) -> str:
    """The file or folder directly below sast_deploy/: "sast_deploy.data.events.EVENT" -> "data"."""
    return name.split(".")[1]


def units(path: Path) -> set[str]:
    """The units that a file imports; `from sast_deploy import __version__` is none."""
    ours = {unit(name) for name in imports(path) if name.startswith("sast_deploy.")}
    return {name for name in ours if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()}


def packages(path: Path) -> set[str]:
    """The top-level names of everything that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


@cache
def training_units() -> frozenset[str]:
    """The units that import torch, themselves or through another."""
    found = {"torch"}
    graph = [(unit(module_name(path)), units(path) | packages(path)) for path in INSIDE]
    graph = [(own, used) for own, used in graph if own != "simulate"]
    while new := {own for own, used in graph if used & found} - found:
        found |= new
    assert {"network", "train", "checkpoint"} <= found
    return frozenset(found)


INSIDE = [path for path in MODULES if "." in module_name(path)]


@pytest.mark.parametrize("path", INSIDE, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    own = unit(module_name(path))
    if own in LEVEL:
        assert not units(path) & (training_units() | {"data"}), f"{own} knows nothing of training and data"
        above = {other for other in units(path) if LEVEL.get(other, len(CHAIN) - 1) > LEVEL[own]}
        assert not above, f"{own} stands below {sorted(above)}"
    if own == "data":
        assert units(path) <= DATA_MAY_IMPORT
    assert own in ("cli", "commands", "__main__") or not {"cli", "commands"} & units(path)


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for path in INSIDE:
        graph.setdefault(own := unit(module_name(path)), set()).update(units(path) - {own})
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_heavy_packages_stay_in_their_place(path: Path) -> None:
    name = module_name(path)
    if not name.startswith(LAVA_HOME):
        assert "lava" not in packages(path)
    if "." in name and (unit(name) in LEVEL or unit(name) == "data") and name not in TORCH_IN_THE_CHAIN:
        assert "torch" not in packages(path)


SKIN = ("cli", "__main__", "commands", "doctor", "versions")
COMMAND_LINE = [path for path in INSIDE if unit(module_name(path)) in SKIN]


@pytest.mark.parametrize("path", COMMAND_LINE, ids=module_name)
def test_command_line_imports_nothing_heavy_at_its_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in top} & (HEAVY | {"numpy"})


def test_help_loads_no_heavy_package() -> None:
    script = (
        "import runpy, sys\n"
        "sys.argv = ['sast-deploy', '--help']\n"
        "try:\n"
        "    runpy.run_module('sast_deploy', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('LOADED', *sorted({HEAVY | {'numpy'}!r} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"
