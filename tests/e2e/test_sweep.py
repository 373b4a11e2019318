"""A sweep as a person runs it: killed at bad moments, started again, twice at once, with a failing run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.studies.sweep.frames import load_choice
from sast_deploy.studies.sweep.study import load_study
from sast_deploy.training.checkpoint import load_checkpoint
from sast_deploy.training.train import train
from tests.commandlines import TRACE, poison

ROOT = Path(__file__).parents[2]
STUDY = """
[study]
name = "bands"
check = 2
[data.bands]
dataset = "nmnist"
[recipe.quick]
epochs = 20
batch = 8
lr = 0.003
[[grid]]
data = "bands"
recipe = "quick"
rho = 0.05
seed = [0, 1, 2]
profiles = ["loihi-int8", "loihi-int4"]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "bands.toml"
    path.write_text(STUDY)
    return path


def start(study: Path, bands: Path, out: Path) -> subprocess.Popen[str]:
    words = ["sweep", str(study), "--data-root", str(bands), "-o", str(out), "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "sast_deploy", *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def kept(out: Path) -> dict[Path, int]:
    """Everything that is finished: stage records, and checkpoints whose training is recorded."""
    records = list(out.glob("*/stages/*.json"))
    done = [path.parents[1] / "ckpt.pt" for path in records if path.name == "train.json"]
    return {path: path.stat().st_mtime_ns for path in (*records, *done)}


def trained(out: Path) -> dict[Path, int]:
    """Bytes of every history: it grows with each epoch."""
    return {path: path.stat().st_size for path in out.glob("*/metrics.jsonl")}


def workers_of(session: int) -> list[str]:
    """Processes of a session that are still alive, from /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
            found += [path.parent.name] if own == str(session) and state != "Z" else []
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_and_started_again_it_repeats_nothing_finished(
    study: Path, bands: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    process = start(study, bands, out)
    wait_for(process, lambda: len(list(out.glob("*/stages/train.json"))) >= 1)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while workers_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers_of(process.pid), "workers outlive a killed sweep"
    first = kept(out)

    process = start(study, bands, out)
    before = trained(out)
    wait_for(process, lambda: trained(out) != before)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "error: interrupted; the same command continues" in said
    second = kept(out)
    assert {path: second[path] for path in first} == first

    both = [start(study, bands, out) for _ in range(2)]
    said = "".join(process.communicate(timeout=200)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert said.count("3 of 3 runs finished") == 2
    third = kept(out)
    assert {path: third[path] for path in second} == second
    _equals_one_uninterrupted_training(study, bands, out, tmp_path)
    assert run(["sweep", str(study), "--data-root", str(bands), "-o", str(out)]) == 0
    assert kept(out) == third


def _equals_one_uninterrupted_training(study: Path, bands: Path, out: Path, tmp_path: Path) -> None:
    for each in load_study(study, data_root=bands).runs:
        data = load_choice(each.data)
        spec = each.network.spec(data.sensor, len(data.info.classes))
        path = tmp_path / "whole" / each.name / "ckpt.pt"
        whole = train(spec, each.recipe.recipe, data, path, seed=each.seed).checkpoint.state
        parts = load_checkpoint(out / each.name / "ckpt.pt").state
        assert all(np.array_equal(whole[key], parts[key]) for key in whole)
        results = json.loads((out / each.name / "results.json").read_text())
        assert set(results["profiles"]) == {"loihi-int8", "loihi-int4"}
        assert not list((out / each.name).glob("*.log"))


@pytest.mark.slow
def test_a_failing_run_stops_no_other_and_is_listed(
    study: Path, bands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY.replace("epochs = 20", "epochs = 2"))
    out = tmp_path / "runs"
    bad = out / "bands-fc-quick-rho0.05-seed0"
    bad.mkdir(parents=True)
    (bad / "stages").write_text("in the way")
    assert run(["sweep", str(study), "--data-root", str(bands), "-o", str(out)]) == 4
    said = capsys.readouterr().out
    assert f"FAILED {bad.name}: " in said
    assert "2 of 3 runs finished" in said
    assert (out / "bands-fc-quick-rho0.05-seed1" / "results.json").exists()


@pytest.mark.slow
def test_the_same_study_on_ray(
    study: Path, bands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    folder = tmp_path / "poisoned"  # Ray would give it to its workers as a place of modules
    folder.mkdir()
    monkeypatch.chdir(poison(folder))
    study.write_text(STUDY.replace("epochs = 20", "epochs = 2").replace("[0, 1, 2]", "[0, 1]"))
    out, usual = tmp_path / "ray", tmp_path / "usual"
    options = [str(study), "--data-root", str(bands)]
    assert run(["sweep", *options, "-o", str(out), "--ray", "local", "--jobs", "1"]) == 0
    assert "2 of 2 runs finished" in capsys.readouterr().out
    before = kept(out)
    assert run(["sweep", *options, "-o", str(out), "--jobs", "1"]) == 0
    assert kept(out) == before
    assert run(["sweep", *options, "-o", str(usual), "--jobs", "1"]) == 0
    for path in out.glob("*/ckpt.pt"):
        ours, theirs = (load_checkpoint(p).state for p in (path, usual / path.parent.name / "ckpt.pt"))
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
    assert not (folder / TRACE).exists(), (folder / TRACE).read_text()


def test_without_ray(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["sweep", str(study), "-o", str(tmp_path / "o"), "--ray", "auto"]) == 3
    assert "error: the Python package ray is not installed; " in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_without_a_cluster_where_it_should_be(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert run(["sweep", str(study), "-o", str(tmp_path / "o"), "--ray", address]) == 3
    assert f"--ray {address}: no cluster: nothing answers at {address}" in capsys.readouterr().err


def test_a_dry_run_says_what_is_left_and_touches_nothing(
    study: Path, bands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    assert run(["sweep", str(study), "--data-root", str(bands), "-o", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "bands-fc-quick-rho0.05-seed1: train, float, profile loihi-int8, profile loihi-int4" in said
    assert "3 of 3 runs to do, 120 passes over training data" in said
    assert not out.exists()
