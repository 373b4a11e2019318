"""The tree is the explanation: imports point down, and heavy packages stay where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import nodes, tree

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sast_deploy"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Every file or folder directly below sast_deploy/, each of which imports only what stands above it. A new one
# fails the tests until it has its place here: as far up as its imports allow.
ORDER = (
    "base", "program", "proofs", "rtl", "netx", "compiler", "data", "engines", "reports", "exchange",
    "training", "verification", "calibration", "finetuning", "show", "api", "studies", "doctor", "commands",
    "cli", "__main__",
)  # fmt: skip
BEFORE_TRAINING = ORDER[: ORDER.index("training")]
LAVA_HOME = "sast_deploy.engines.lava"
TORCH_BEFORE_TRAINING = {"sast_deploy.engines.fast.product"}
HEAVY = {"torch", "tonic", "lava", "numba", "h5py", "sklearn", "matplotlib", "scipy", "librosa"}


def module_name(path: Path) -> str:
    """`sast_deploy/data/__init__.py` -> "sast_deploy.data"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path, annotations: bool = True) -> frozenset[str]:
    """Full names of all modules (or names in modules) that a file imports, anywhere in it.

    annotations: with those below `if TYPE_CHECKING:`.
    """
    found = set()
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not annotations:
            continue
        waiting += ast.iter_child_nodes(node)
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


INSIDE = [path for path in MODULES if "." in module_name(path)]
NAMES = {module_name(path) for path in MODULES}


def file_of(name: str) -> str:
    """The module that holds a name: "sast_deploy.data.events.EVENT" -> "sast_deploy.data.events"."""
    while name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def test_every_unit_has_its_place() -> None:
    there = {unit(module_name(path)) for path in INSIDE}
    assert sorted(ORDER) == sorted(there), "place it in ORDER"


@pytest.mark.parametrize("path", INSIDE, ids=module_name)
def test_imports_point_up_in_the_order(path: Path) -> None:
    """Imports inside functions and for annotations count as all others do."""
    own = unit(module_name(path))
    allowed = {*ORDER[: ORDER.index(own) + 1]}
    assert not units(path) - allowed, f"{own} must not import {sorted(units(path) - allowed)}"


@pytest.mark.slow
def test_no_two_files_import_each_other() -> None:
    """Not in a circle of many and not inside functions either: each can be read after what it imports.

    Names for annotations are left out: a picture may say what it draws, and what is drawn has it drawn.
    """
    graph = {}
    for path in MODULES:
        used = {file_of(name) for name in imports(path, annotations=False) if name.startswith("sast_deploy.")}
        graph[module_name(path)] = used - {"sast_deploy", module_name(path)}
    assert sum(map(len, graph.values())) > len(MODULES)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_heavy_packages_stay_in_their_place(path: Path) -> None:
    name = module_name(path)
    if not name.startswith(LAVA_HOME):
        assert "lava" not in packages(path)
    if "." in name and unit(name) in BEFORE_TRAINING and name not in TORCH_BEFORE_TRAINING:
        assert "torch" not in packages(path)


def test_nothing_heavy_is_imported_at_the_start() -> None:
    """Neither the command line nor the package, nor what they import before anything is asked of them."""
    waiting, seen = [PACKAGE / name for name in ("__init__.py", "__main__.py", "cli.py")], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        body = tree(path).body
        top = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        for node in body:
            if isinstance(node, ast.ImportFrom):
                top |= {f"{node.module}.{alias.name}" for alias in node.names}
        assert not {name.split(".")[0] for name in top} & (HEAVY | {"numpy", "rich"}), path
        ours = {file_of(name) for name in top if name.startswith("sast_deploy.")}
        waiting += {each for each in MODULES if module_name(each) in ours} - seen
    assert len(seen) > 20


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


PRINTERS = ("show", "doctor", "commands", "cli", "__main__")
LIBRARY = [path for path in INSIDE if unit(module_name(path)) not in PRINTERS]


@pytest.mark.parametrize("path", LIBRARY, ids=module_name)
def test_the_library_prints_nothing(path: Path) -> None:
    """What it has to say goes to `base.progress`; only `show/` and the command line know a terminal."""
    called = {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
    body = tree(path).body
    program = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in body)
    assert program or not called & {"print", "click.echo", "sys.stdout.write", "sys.stderr.write"}
    assert not packages(path) & {"rich", "click"}


def test_the_house_stays_small() -> None:
    """What a newcomer meets: few modules at the top, short commands, short lists of parameters."""
    top = [path for path in PACKAGE.iterdir() if path.suffix == ".py"]
    assert len(top) <= 8
    long = {path.name: n for path in (PACKAGE / "commands").glob("*.py") if (n := lines_of(path)) > 120}
    assert long == {}
    wide = {
        f"{module_name(path)}.{node.name}": count
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and (count := parameters_of(node)) > 10
    }
    assert wide == {}


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def parameters_of(node: ast.FunctionDef) -> int:
    """Without self and cls."""
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))
