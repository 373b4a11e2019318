"""Valid files of every kind, a folder to damage them in, and what a refusal must be."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sast_deploy.cli import run
from tools.fuzzing.seeds import Seeds, make_seeds

CHECKOUT = Path(__file__).parents[2]
MEMORY, SECONDS = 6 << 30, 5.0  # of a child: address space, torch's own among it; processor time
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
    """(exit code, stderr) of a command with limited memory and time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (30, 30))

    done = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-m", "sast_deploy", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=limit,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    return done.returncode, done.stderr


def pytest_collection_modifyitems(items):
    """All attacks together take minutes: none is quick."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
