"""`compile --calibrate`: what it prints, what the file keeps, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sast_deploy.cli import run
from sast_deploy.compiler import compile_network
from sast_deploy.data.request import DataRequest
from sast_deploy.netx.file import read_net
from sast_deploy.program.profile import load_profile
from sast_deploy.reports.inspection import inspect_net
from sast_deploy.training.checkpoint import load_checkpoint, save_checkpoint, to_float_network
from tests.tinydata import tiny_set
from tests.tinynets import random_checkpoint


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ckpt.pt, whose data are the tiny ones whatever the command line says."""
    monkeypatch.chdir(tmp_path)
    data = tiny_set()

    def load(where: Path, recorded: Any, options: Any, wanted: DataRequest) -> Any:
        assert wanted == DataRequest("tiny")
        return data

    monkeypatch.setattr("sast_deploy.data.request.load_recorded", load)
    save_checkpoint(Path("ckpt.pt"), random_checkpoint())
    return tmp_path


def compile_with(*arguments: str) -> int:
    return run(["compile", "ckpt.pt", "--profile", "loihi-int2", "-o", "a.net", *arguments])


@pytest.mark.slow
def test_the_table_and_the_record_say_what_each_step_gained(here, capsys):
    assert compile_with("--calibrate", "tiny") == 0
    printed = capsys.readouterr().out
    assert "fitted to 72 samples, judged on 18 others" in printed
    record = read_net(Path("a.net")).calibration
    names = ["search", "rounding", "correction"]  # the profile clips already
    assert [step["name"] for step in record["steps"]] == names
    for step in record["steps"]:
        line = next(line for line in printed.splitlines() if line.startswith(step["name"]))
        assert f"{step['before']['loss']:.4f}" in line
        assert ("yes" in line) == step["kept"]
    assert (record["fit_samples"], record["choose_samples"], record["seed"]) == (72, 18, 0)
    assert record["data"]["frame_digest"] == "0" * 64
    shown = inspect_net(read_net(Path("a.net")), Path("a.net")).summary["calibration"]
    assert "fitted to 72 samples of tiny (frames 000000000000), judged on 18 others, seed 0" in shown


def test_steps_can_be_chosen(here, capsys):
    assert compile_with("--calibrate", "tiny", "--calibrate-steps", "rounding") == 0
    assert [step["name"] for step in read_net(Path("a.net")).calibration["steps"]] == ["rounding"]
    assert compile_with("--calibrate", "tiny", "--calibrate-steps", "rounding,serch") == 2
    assert "calibration step 'serch'; expected some of clipping, search" in capsys.readouterr().err


def test_without_calibration_nothing_changes(here, capsys):
    assert compile_with() == 0
    net = read_net(Path("a.net"))
    network = to_float_network(load_checkpoint(Path("ckpt.pt")))
    assert (
        net.program.digest()
        == compile_network(network, load_profile("loihi-int2"), net.program.name).program.digest()
    )
    assert net.calibration == {}
    assert inspect_net(net, Path("a.net")).summary["calibration"] == "none"
    assert "warning: trained with" not in capsys.readouterr().out


def test_steps_without_data_are_refused(here, capsys):
    assert compile_with("--calibrate-steps", "rounding") == 2
    assert "--calibrate-steps without --calibrate" in capsys.readouterr().err


def test_other_frames_than_those_of_training_are_named(here, capsys, monkeypatch):
    other = tiny_set(digest="1" * 64)
    monkeypatch.setattr("sast_deploy.data.request.load_recorded", lambda *_, **__: other)
    assert compile_with("--calibrate", "tiny", "--calibrate-steps", "search") == 0
    assert "WARNING: not the frames it was trained on" in capsys.readouterr().out
    assert read_net(Path("a.net")).calibration["unlike_training"]


def test_another_reset_than_the_networks_is_a_warning(here, capsys):
    trained = random_checkpoint()
    save_checkpoint(Path("ckpt.pt"), replace(trained, network=replace(trained.network, reset="zero")))
    assert compile_with() == 0
    line = "warning: trained with reset 'zero', but this profile has 'subtract': other spikes; "
    assert capsys.readouterr().out.count(line) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calibrate", ""], "--calibrate: no name; expected a data set"),
        (["--seed", "3"], "--seed without --calibrate; add --calibrate DATASET"),
        (["--holdout", "0.2"], "--holdout without --calibrate"),
    ],
)
def test_options_that_would_do_nothing_are_refused(here, capsys, arguments, message):
    assert compile_with(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_step_that_the_profile_takes_anyway_is_not_lost_without_a_word(here, capsys):
    assert compile_with("--calibrate", "tiny", "--calibrate-steps", "clipping,rounding") == 0
    assert "step clipping: what loihi-int2 does anyway" in capsys.readouterr().out
