"""benchmarks/gpu_study.py and adopt.py, from MNIST's files to tables, without a GPU and at no size."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.files import file_digest
from sast_deploy.data.camera.digits import digit_images
from sast_deploy.training.checkpoint import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
STUDY = """
[study]
name = "tiny"
check = 1
[data.simulated]
dataset = "nmnist-simulated"
[[grid]]
data = "simulated"
recipe = "paper"
epochs = 2
rho = [0.0, 0.3]
profiles = ["loihi-int4"]
"""


def write_mnist(folder: Path, train: int, test: int) -> None:
    folder.mkdir()
    images, labels = digit_images()
    for stem, part in (("train", slice(train)), ("t10k", slice(train, train + test))):
        for kind, values in (("images-idx3", images[part]), ("labels-idx1", labels[part])):
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())


def study(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return python(
        folder, str(ROOT / "benchmarks" / "gpu_study.py"), "--mnist-dir", "mnist", "--work", "work",
        "--out", "out", "--device", "cpu", "--samples", "30", "--epochs", "2", "--seeds", "1",
        "--streams", "1", *options,
    )  # fmt: skip


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    cache = {"SAST_CACHE_DIR": str(folder / "work" / "cache")}
    environment = os.environ | cache | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_from_images_to_checkpoints_and_again(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", 30, 5)
    first = study(tmp_path)
    assert "step of 128, rho 0.3: step by step " in first.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    runs = {run["name"]: run for run in results["runs"]}
    assert list(runs) == ["rho0-seed0", "rho0.1-seed0", "rho0.2-seed0", "rho0.3-seed0", "rho0.4-seed0"]
    assert all(run["finished"] and run["epochs"] == 2 for run in runs.values())
    with tarfile.open(tmp_path / "out" / "checkpoints-0.tar") as archive:
        archive.extractall(tmp_path / "kept", filter="data")
    for name, run in runs.items():
        metrics = load_checkpoint(tmp_path / "kept" / name / "ckpt.pt").metrics
        assert metrics["setting"]["rho"] == run["rho"]
        assert metrics["test"]["hard"] == run["test"]["hard"]
        assert metrics["validation_hard_accuracy"] == run["validation"]["hard"]
        assert run["test"]["gap"] == run["test"]["surrogate"] - run["test"]["hard"]

    # The same command finds all of them finished.
    (tmp_path / "out" / "results.json").unlink()
    study(tmp_path, "--only", "study")
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["test"] for run in again["runs"]] == [run["test"] for run in results["runs"]]

    # A sweep takes its runs for trained, and measures them.
    (tmp_path / "tiny.toml").write_text(STUDY)
    adopted = python(tmp_path, str(ROOT / "benchmarks" / "adopt.py"), "tiny.toml", "out").stdout.splitlines()
    assert adopted[1] == "rho0.1-seed0 is no run of tiny.toml"
    assert adopted[3] == "rho0.3-seed0 is runs/tiny/simulated-fc-paper-rho0.30-epochs2-seed0"
    swept = python(tmp_path, "-m", "sast_deploy", "sweep", "tiny.toml", "--data-root", "work/simulated-30")
    assert "runs/tiny: 2 of 2 runs finished" in swept.stdout
    for name in ("rho0-seed0", "rho0.3-seed0"):
        folder = f"simulated-fc-paper-rho{runs[name]['rho']:.2f}-epochs2-seed0"
        measured = json.loads((tmp_path / "runs" / "tiny" / folder / "results.json").read_text())
        assert measured["manifest"]["checkpoint"] == file_digest(tmp_path / "kept" / name / "ckpt.pt")
        assert measured["float"]["hard"] == runs[name]["test"]["hard"]
        noted = [round(value, 4) for value in runs[name]["history"]["hard_accuracy"]]
        assert measured["train"]["history"]["hard_accuracy"] == noted
        assert measured["profiles"]["loihi-int4"]["samples"] == 5
