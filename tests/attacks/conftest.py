"""Valid files of every kind, a folder to damage them in, and what a refusal must be."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pkgutil
import resource
import sys
import tempfile
import time
from pathlib import Path

import pytest

import sast_deploy
from sast_deploy.cli import run
from tools.fuzzing.seeds import Seeds, make_seeds

MEMORY, SECONDS = 6 << 30, 5.0  # of a child: address space, torch's own among it; processor time
MODULES = [
    module.name
    for module in pkgutil.walk_packages(sast_deploy.__path__, "sast_deploy.")
    if not {"__main__", "lava", "raycluster", "worker"} & set(module.name.split("."))
]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> tuple[Path, Seeds]:
    base = tmp_path_factory.mktemp("attacks")
    return base, make_seeds(base)


@pytest.fixture
def seeds(made) -> Seeds:
    return made[1]


@pytest.fixture
def work(made, monkeypatch) -> Path:
    """An empty folder, from which the seeds' data are where the seeds say."""
    base, _ = made
    folder = base / f"work-{next(_numbers)}" / "cwd"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SAST_CACHE_DIR", str(base / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """What a command must leave as it is."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in found}


@pytest.fixture
def refuses(work, capfd):
    """A function that runs a command which must refuse a file: exit code 2, one line that names it."""

    def check(arguments: list[str], name: str, *, child: bool = False) -> str:
        before, start = state(work), time.process_time()
        if child:
            code, shown = in_child(arguments)
        else:
            code = run(arguments)
            shown = capfd.readouterr().err
            assert time.process_time() - start < SECONDS
        lines = [line for line in shown.splitlines() if not line.startswith("sast-deploy: ")]
        assert code == 2, shown
        assert len(lines) == 1, shown
        assert lines[0].startswith("error: ")
        assert name in lines[0]
        assert "internal error" not in lines[0]
        assert len(lines[0]) < 2000
        assert state(work) == before
        return lines[0]

    return check


def in_child(arguments: list[str]) -> tuple[int, str]:
    """(exit code or -signal, stderr) of a command in a process of limited memory and time.

    Forked from one that has imported what commands import, which takes most of a command's time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    with tempfile.NamedTemporaryFile("r") as said:
        child = context.Process(target=_limited, args=(arguments, os.getcwd(), dict(os.environ), said.name))
        child.start()
        child.join(120)
        if child.exitcode is None:
            child.kill()
            raise AssertionError("the command still runs after 120 s")
        return child.exitcode, said.read()


def _limited(arguments: list[str], folder: str, environment: dict[str, str], said: str) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(said, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    sys.exit(run(arguments))


def pytest_collection_modifyitems(items):
    """All attacks together take minutes: none is quick."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
