"""`make paper-smoke`: the whole study at small size, its tables, its raw figures and its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sast_deploy.cli import run
from sast_deploy.studies.sweep.study import load_study

EXAMPLES = Path(__file__).parents[2] / "examples"
TITLES = (
    "Swap-only", "Hardware-aware", "Equal compute", "Controls", "Control: thresholds", "Compiler options",
    "Event drop", "Weight noise", "Membranes", "Cost of training",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute of work; a busy machine makes many of it
def test_the_smoke_study_from_sweep_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, runs, raw = EXAMPLES / "paper-smoke.toml", tmp_path / "runs", tmp_path / "raw.json"
    assert run(["sweep", str(study), "-o", str(runs), "--jobs", "2"]) == 0, capsys.readouterr().out
    planned = len(load_study(study).runs)
    assert f"{planned} of {planned} runs finished" in capsys.readouterr().out
    assert run(["tables", str(runs), "-o", str(raw), "--plots", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(title in said for title in TITLES)
    assert "missing" not in said.lower()
    found = json.loads(raw.read_text())["runs"]
    assert len(found) == planned
    best = max(each["float"]["hard"] for each in found)
    assert best > 0.3, "ten classes, a few epochs: far above chance"
    for each in found:
        assert all(profile["checked"] == 2 for profile in each["profiles"].values())
        assert each["manifest"]["data"]["n_train"] == 200
    assert sorted(path.name.partition("-")[0] for path in tmp_path.glob("*.png")) == ["drop", "rho"]
    assert run(["sweep", str(study), "-o", str(runs), "--dry-run"]) == 0
    assert f"0 of {planned} runs to do" in capsys.readouterr().out


def test_the_whole_study_is_well_formed() -> None:
    study = load_study(EXAMPLES / "paper-nmnist.toml")
    names = {run.name for run in study.runs}
    assert {f"nmnist-fc-paper-rho{rho}-seed4" for rho in ("0.00", "0.10", "0.30", "0.50")} <= names
    stages = {run.name: {stage.key for stage in run.stages} for run in study.runs}
    assert {"ablation loihi-int2", "analysis drop", "profile loihi-int4 calibrated"} <= stages[
        "nmnist-fc-paper-rho0.30-seed0"
    ]
    simulated = load_study(EXAMPLES / "paper-nmnist.toml", data="nmnist-simulated")
    assert all(run.name.startswith("nmnist-simulated-") for run in simulated.runs)
    assert len(simulated.runs) == len(study.runs)
