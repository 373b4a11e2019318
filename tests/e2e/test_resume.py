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
import torch

from sast_deploy.training.checkpoint import load_checkpoint
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import BEST
from sast_deploy.training.train import train
from tests.tinydata import SHAPE, tiny_set

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, SAMPLES = 24, 150
SPEC = NetworkSpec("fc", SHAPE, (12, 8), 3)
PLAN = BEST.replace(epochs=EPOCHS, batch=16)
SCRIPT = """
import sys
import time
from pathlib import Path
from sast_deploy.training import state
from sast_deploy.base.errors import SastError
from sast_deploy.training.train import train
from tests.e2e.test_resume import PLAN, SAMPLES, SPEC
from tests.tinydata import tiny_set
write_metrics = state.write_metrics
def slowly(*arguments):
    write_metrics(*arguments)
    time.sleep(0.1)  # the test may wake late on a busy machine, and must not find the training over
if "--slow" in sys.argv:
    state.write_metrics = slowly
try:
    train(SPEC, PLAN, tiny_set(SAMPLES), Path(sys.argv[1]), resume="--resume" in sys.argv)
except SastError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
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


def stop(out: Path, after: int, by: signal.Signals, *options: str) -> tuple[int, list[str]]:
    """Start, wait for `after` finished epochs, send the signal; returns exit code and stderr."""
    process = start(out, "--slow", *options)
    seen = wait_for_lines(out.with_name("metrics.jsonl"), after, process)
    process.send_signal(by)
    errors = process.communicate()[1].splitlines()
    assert seen <= len(out.with_name("metrics.jsonl").read_text().splitlines()) < EPOCHS
    assert not out.exists()
    assert out.with_name("resume.pt").exists()
    return process.returncode, errors


def uninterrupted(out: Path) -> dict[str, np.ndarray]:
    """The same training in this process, in one go."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result = train(SPEC, PLAN, tiny_set(SAMPLES), out)
    torch.set_num_threads(before)
    return result.checkpoint.state


def test_killed_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    out = tmp_path / "parts" / "ckpt.pt"
    code, _ = stop(out, 4, signal.SIGKILL)
    assert code == -signal.SIGKILL

    code, errors = stop(out, 10, signal.SIGINT, "--resume")
    assert code == 130
    assert errors[-1].startswith("interrupted after ")
    assert "--resume" in errors[-1]
    assert not any("Traceback" in line for line in errors)

    process = start(out, "--resume")
    output = process.communicate()[1]
    assert process.returncode == 0, output
    state, whole = load_checkpoint(out).state, uninterrupted(tmp_path / "whole" / "ckpt.pt")
    assert all(np.array_equal(state[key], whole[key]) for key in whole)
    assert len(out.with_name("metrics.jsonl").read_text().splitlines()) == EPOCHS
    assert sorted(p.name for p in out.parent.iterdir()) == ["ckpt.pt", "metrics.jsonl"]
