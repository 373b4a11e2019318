"""kill -9 and Ctrl-C in the middle of a training: at most one epoch is lost, and no bit differs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 24
SCRIPT = f"""
import sys
from pathlib import Path
from sast_deploy.errors import SastError
from sast_deploy.network import NetworkSpec
from sast_deploy.recipes import BEST
from sast_deploy.train import train
from tests.tinydata import SHAPE, tiny_set
try:
    train(NetworkSpec("fc", SHAPE, (12, 8), 3), BEST.replace(epochs={EPOCHS}, batch=16), tiny_set(150),
          Path(sys.argv[1]), resume="--resume" in sys.argv)
except SastError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> int:
    """Wait until the metrics file has `count` lines; returns how many it has."""
    while process.poll() is None:
        lines = len(path.read_text().splitlines()) if path.exists() else 0
        if lines >= count:
            return lines
        time.sleep(0.005)
    raise AssertionError(f"training ended first: {process.communicate()[1]}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("whole") / "ckpt.pt"
    process = start(out)
    assert process.communicate()[1].count("epoch ") > 0
    assert process.returncode == 0
    return load_checkpoint(out).state


def test_killed_twice_and_resumed_equals_uninterrupted(
    tmp_path: Path, uninterrupted: dict[str, np.ndarray]
) -> None:
    out, metrics = tmp_path / "ckpt.pt", tmp_path / "metrics.jsonl"
    options: tuple[str, ...] = ()
    for count in (4, 10):
        process = start(out, *options)
        seen = wait_for_lines(metrics, count, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert seen <= len(metrics.read_text().splitlines()) < EPOCHS
        assert not out.exists()
        options = ("--resume",)
    process = start(out, *options)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    state = load_checkpoint(out).state
    assert all(np.array_equal(state[key], uninterrupted[key]) for key in uninterrupted)
    assert len(metrics.read_text().splitlines()) == EPOCHS


def test_ctrl_c_says_how_to_go_on_and_exits_130(tmp_path: Path) -> None:
    process = start(tmp_path / "ckpt.pt")
    wait_for_lines(tmp_path / "metrics.jsonl", 3, process)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130
    last = errors.splitlines()[-1]
    assert last.startswith("interrupted after ")
    assert "--resume" in last
    assert "Traceback" not in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "resume.pt"]
