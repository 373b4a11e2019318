"""All parts together: plain values, tables, pictures, the command and its exit codes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sast_deploy import cli
from sast_deploy.base.errors import UsageError
from sast_deploy.data import FrameSet
from sast_deploy.studies import ANALYSES
from sast_deploy.studies.analysis import study
from sast_deploy.studies.analysis.duel import accuracies, compare
from sast_deploy.studies.analysis.predictions import Predictions, predict
from sast_deploy.studies.analysis.study import analyse
from sast_deploy.studies.analysis.tables import tables
from sast_deploy.training.checkpoint import save_checkpoint
from tests.tinydata import tiny_set
from tests.tinynets import random_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sast_deploy.studies.analysis.pairs.ASCENT", 2)
    monkeypatch.setattr(study, "unclipped", lambda data, *_, **__: data.test)


def test_parts_run_alone_or_together_and_are_plain_values() -> None:
    checkpoint, data = random_checkpoint(), tiny_set()
    whole = json.loads(json.dumps(analyse(checkpoint, data, device="cpu")))
    assert list(whole) == list(ANALYSES)
    assert analyse(checkpoint, data, ("margins",), device="cpu") == {"margins": whole["margins"]}
    assert whole["contraction"]["holds"]
    assert (
        whole["contraction"]["states"]["samples"] == whole["thresholds"]["validation_before"]["samples"] == 18
    )
    assert whole["margins"]["samples"] == whole["noise"]["samples"] == 30
    for bad in (("margin",), ()):
        with pytest.raises(UsageError, match="expected drop, noise, margins"):
            analyse(checkpoint, data, bad)


def test_files_keep_the_names_and_the_order_of_what_they_hold() -> None:
    found = analyse(random_checkpoint(), tiny_set(), device="cpu")
    level = "amount draws surrogate surrogate_sd surrogate_correct hard hard_sd hard_correct"
    states = "samples gamma above_one quantiles_at state_bound_holds layers"
    pairs = "bound samples real disturbed adversarial layer_use secant_use worst holds used"
    for held, names in (
        (found["drop"], "kind samples seed levels"),
        (found["noise"]["levels"][1], level),
        (found["margins"], "samples band bins surrogate_share hard_share surrogate hard"),
        (found["margins"]["hard"][0], "states within mean sd below above histogram share"),
        (found["contraction"]["states"], states),
        (found["contraction"]["pairs"], pairs),
        (found["contraction"]["pairs"]["bound"], "layers readout constant"),
        (found["thresholds"]["test_after"], "samples correct loss accuracy interval"),
        (found["thresholds"]["test"], "samples only_a only_b p difference"),
    ):
        assert list(held) == names.split()


def predictions(
    hard: list[int], ids: tuple[str, ...] = ("a", "b", "c", "d"), data: str = "nmnist from d"
) -> Predictions:
    labels = np.zeros(4, np.int64)
    return Predictions(data, ids, labels, labels, np.array(hard))


def test_networks_are_compared_on_the_same_samples_only() -> None:
    found = {"one": predictions([0, 0, 0, 1]), "two": predictions([1, 1, 0, 0])}
    (result,), apart = compare(found)
    assert apart == ()
    assert (result.hard.only_a, result.hard.only_b, result.surrogate.p) == (2, 1, 1.0)
    assert result.lines()[0] == (
        "one - two, hard spikes: +25.00 points on 4 samples (right alone: 2 against 1; McNemar p = 1)"
    )
    others = predictions([1, 1, 0, 0], ("a", "b", "c", "e"))
    simulated = predictions([1, 1, 0, 0], data="nmnist-simulated from d")  # by the same names
    for two in (others, simulated):
        assert compare(found | {"two": two}) == ((), (("one", "two"),))
    values = accuracies(found["one"])
    assert (values["hard_accuracy"], values["transfer_gap"], values["hard_correct"]) == (0.75, 0.25, 3)


def test_the_table_aligns_and_marks_what_is_missing() -> None:
    checkpoint, data = random_checkpoint(), tiny_set()
    one = {"test": accuracies(predict(checkpoint, data)), **analyse(checkpoint, data)}
    two = analyse(checkpoint, data, ("noise",))
    made = tables({"whole": one, "noise only": two})
    assert {table.columns for table in made} == {("", "whole", "noise only")}
    assert all("30 test samples" in table.title or "validation part" in table.title for table in made)
    rows = [row for table in made for row in table.rows]
    assert sum(row[-1] == "-" for row in rows) == len(rows) - 10  # 5 sigmas, 2 kinds of spikes
    for part in (
        "p = 0.4, hard spikes",
        "sigma = 0.2, surrogate",
        "all layers, hard spikes",
        "factor of each layer",
    ):
        assert any(row[0].startswith(part) for row in rows), part


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    def load(*_: object) -> FrameSet:
        return tiny_set()

    monkeypatch.setattr("sast_deploy.data.request.load_recorded", load)
    paths = tmp_path / "base" / "ckpt.pt", tmp_path / "sast" / "ckpt.pt"
    for path, seed in zip(paths, (1, 2), strict=True):
        save_checkpoint(path, dataclasses.replace(random_checkpoint(seed=seed), name=path.parent.name))
    return paths


@pytest.mark.slow
def test_the_command_writes_json_and_pictures(
    checkpoints: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["analyse", *map(str, checkpoints), "--parts", "margins, drop", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "McNemar p" in printed
    assert "all layers, hard spikes" in printed
    folder = checkpoints[0].parent
    content = json.loads((folder / "comparison.json").read_text())
    assert (content["format"], content["version"]) == ("sast-deploy-analysis", 1)
    assert list(content["checkpoints"]) == ["base", "sast"]
    assert set(content["checkpoints"]["base"]) == {"path", "dataset", "frames", "test", "drop", "margins"}
    assert content["comparisons"][0]["hard"]["samples"] == 30
    for name in ("margins", "robustness"):
        assert (folder / f"comparison-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"comparison-{name}.png" in printed


@pytest.mark.slow
def test_one_checkpoint_alone_and_an_output_of_its_own(
    checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = ["analyse", str(checkpoints[1]), "--parts", "noise"]
    assert cli.run(arguments) == cli.run([*arguments, "-o", str(tmp_path / "new" / "a.json")]) == 0
    beside, named = checkpoints[1].parent / "analysis.json", tmp_path / "new" / "a.json"
    assert beside.read_bytes() == named.read_bytes()
    assert (tmp_path / "new" / "a-robustness.png").exists()
    assert not (tmp_path / "new" / "a-margins.png").exists()


@pytest.mark.slow
def test_a_sample_limit_holds_for_every_part_on_the_test_split(
    checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    out, parts = tmp_path / "a.json", ["--parts", "drop,noise,margins"]
    assert cli.run(["analyse", str(checkpoints[0]), *parts, "--samples", "7", "-o", str(out)]) == 0
    (found,) = json.loads(out.read_text())["checkpoints"].values()
    counted = [found[part]["samples"] for part in ("test", "drop", "noise", "margins")]
    assert counted == [7, 7, 7, 7]
    whole = tiny_set().test
    part = whole.part(np.array([0, 29]))
    assert part.ids == (whole.ids[0], whole.ids[29])
    assert np.array_equal(part.frames[1], whole.frames[29])


def test_a_violated_bound_is_loud(
    checkpoints: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sast_deploy.studies.analysis.lipschitz.time_gain", lambda *_: 1e-9)
    assert cli.run(["analyse", str(checkpoints[0]), "--parts", "contraction"]) == 1
    assert "VIOLATED: a bound that must hold does not hold for base" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "margin"], "--parts: 'margin'"),
        (["--parts", ","], "--parts: ','"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_bad_options_are_one_line(
    checkpoints: tuple[Path, Path], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["analyse", str(checkpoints[0]), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_same_checkpoint_twice_is_refused(
    checkpoints: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["analyse", str(checkpoints[0]), str(checkpoints[0])]) == 2
    assert "the same checkpoint twice" in capsys.readouterr().err
