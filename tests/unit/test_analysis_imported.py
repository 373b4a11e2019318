"""Imported networks in `analyse`: our own's results with hard spikes, and `evaluate`'s; no surrogate."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import sast_deploy as sast
from sast_deploy import cli
from sast_deploy.base.errors import UsageError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.data import FrameSet
from sast_deploy.studies.analysis import study
from sast_deploy.studies.analysis.drop import _drop, event_drop
from sast_deploy.studies.analysis.duel import accuracies, compare
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.noise import noise, weight_noise
from sast_deploy.studies.analysis.predictions import predict, show
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.study import analyse
from sast_deploy.studies.analysis.tables import tables
from sast_deploy.training.checkpoint import Checkpoint, save_checkpoint, to_float_network
from tests.tinydata import tiny_set
from tests.tinynets import CONV, FC, random_checkpoint
from tools.schemas import schemas

pytestmark = pytest.mark.usefixtures("one_thread")
POSSIBLE = ["drop", "noise", "margins"]


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "unclipped", lambda data, *_, **__: data.test)


def imported(checkpoint: Checkpoint) -> sast.ImportedNetwork:
    """The same network as one of somebody else's."""
    made = sast.ImportedNetwork("theirs", to_float_network(checkpoint), {"format": "test"})
    return made.on(tiny_set())


def odd() -> sast.ImportedNetwork:
    """Recurrence, delays, filters, thresholds and leaks of each neuron, another reset and comparison."""
    draw = np.random.default_rng(4)
    hidden = sast.FloatDense(
        draw.normal(0, 0.3, (9, 72)), 0.1, draw.uniform(0.5, 1.5, 9), draw.uniform(0.2, 0.9, 9), 0.25,
        draw.integers(0, 3, 72), draw.normal(0, 0.3, (9, 9)),
    )  # fmt: skip
    readout = sast.FloatReadout(draw.normal(0, 1, (3, 9)), leak=0.5, decoding="max")
    data = tiny_set()
    network = sast.FloatNetwork(
        [sast.FloatPool(1), hidden, readout], (2, 6, 6), 4, input_clip=4, classes=data.info.classes,
        reset_order="before-leak", comparison=">",
    )  # fmt: skip
    return sast.ImportedNetwork("odd", network, {"format": "test"}).on(data)


def without_surrogate(found: Any) -> Any:
    if isinstance(found, dict):
        empty = {key: None for key in found if key.startswith("surrogate")}
        return {key: without_surrogate(value) for key, value in (found | empty).items()}
    return [without_surrogate(each) for each in found] if isinstance(found, list) else found


@pytest.mark.parametrize("spec", [FC, CONV, dataclasses.replace(FC, reset="zero")], ids=["fc", "conv", "0"])
def test_our_own_network_imported_has_our_own_results_with_hard_spikes(spec) -> None:
    """The same events are lost, the same noise is drawn; membranes differ by the rounding of float32."""
    checkpoint, data = random_checkpoint(spec), tiny_set()
    own = without_surrogate(analyse(checkpoint, data, POSSIBLE, device="cpu"))
    found = json.loads(json.dumps(analyse(imported(checkpoint), data)))
    assert list(found) == POSSIBLE
    assert (found["drop"], found["noise"]) == (own["drop"], own["noise"])
    assert len({tuple(level["hard_correct"]) for level in found["noise"]["levels"]}) > 1
    for layer, wanted in zip(found["margins"]["hard"], own["margins"]["hard"], strict=True):
        assert (layer["states"], layer["below"], layer["above"]) == (
            wanted["states"], wanted["below"], wanted["above"]
        )  # fmt: skip
        assert np.abs(np.subtract(layer["histogram"], wanted["histogram"])).sum() <= 4
        assert (layer["mean"], layer["sd"]) == pytest.approx((wanted["mean"], wanted["sd"]), abs=1e-5)
    assert found["margins"]["surrogate"] is found["margins"]["surrogate_share"] is None


@pytest.mark.parametrize("listed", [False, True], ids=["arrays", "events"])
def test_undisturbed_it_predicts_what_evaluate_counts(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network, test = odd(), tiny_set().test
    split = dataclasses.replace(test, frames=EventFrames.from_dense(test.frames)) if listed else test
    right = network.evaluate(test).accuracy.correct
    assert 0 < right < 30
    for batch in (256, 7):
        monkeypatch.setattr("sast_deploy.studies.analysis.imported.AT_ONCE", batch)
        subject = show(network, split)
        found = event_drop(subject, probabilities=(0.0, 1.0), draws=2)
        assert found.levels[0].hard_correct == (right,)
        dark = network.evaluate(dataclasses.replace(test, frames=np.zeros_like(test.frames)))
        assert found.levels[1].hard_correct == (dark.accuracy.correct,) * 2
        assert weight_noise(subject, sigmas=(0.0,)).levels[0].hard_correct == (right,)
        found_by = predict(network, dataclasses.replace(tiny_set(), test=split))
        assert (found_by.hard == test.labels).sum() == right


def test_unclipped_counts_are_clipped_behind_the_loss_as_in_training() -> None:
    network, test = odd(), tiny_set().test
    many = dataclasses.replace(test, frames=test.frames * np.uint8(3))
    clipped = dataclasses.replace(test, frames=np.minimum(many.frames, 4))
    subject = show(network, many)
    undisturbed = subject.inputs(np.arange(30), _drop(0.0, np.zeros(30, np.uint64)))
    assert np.array_equal(undisturbed, clipped.frames)
    (level,) = event_drop(subject, probabilities=(0.0,)).levels
    assert level.hard_correct == (network.evaluate(clipped).accuracy.correct,)


def test_margins_are_of_every_neuron_s_own_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    network, test = odd(), tiny_set().test
    (trace,) = run_float(network.network, test.frames, trace=True).traces or ()
    d = trace.membrane - network.network.layers[1].threshold  # type: ignore[union-attr]
    for room in (1 << 23, 4 * 72 * 7):  # at once: all samples, or seven
        monkeypatch.setattr("sast_deploy.compiler.floatrun.ROOM", room)
        (layer,) = margins(show(network, test)).hard
        assert layer.states == d.size == 30 * 4 * 9
        assert layer.within == (np.abs(d) <= 0.2).sum()
        assert (layer.mean, layer.sd) == pytest.approx((d.mean(), d.std()), abs=1e-5)


def test_noise_changes_recurrent_weights_too_and_nothing_else() -> None:
    before = odd()
    after = show(before, tiny_set().test).altered(noise(0.1, (0, 0))).network  # type: ignore[attr-defined]
    for one, other in zip(before.network.layers, after.layers, strict=True):
        for name in vars(one):
            old, new = getattr(one, name), getattr(other, name)
            if name not in ("weight", "recurrent") or old is None:
                assert np.array_equal(old, new), name
                continue
            ratio = np.sqrt(np.square(new - old).mean() / np.square(old).mean())
            assert ratio == pytest.approx(0.1, rel=5 / np.sqrt(2 * old.size))  # 5 standard errors
    assert (after.alpha, after.reset_order, after.comparison) == (None, "before-leak", ">")


def test_what_takes_our_trainer_is_refused_by_name_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "show", None)
    for parts, said in (
        (["drop", "contraction"], "theirs: contraction of an imported network"),
        (["thresholds", "contraction"], "theirs: contraction and thresholds of an imported network"),
    ):
        with pytest.raises(UsageError, match=f"{said}.*expected some of drop,noise,margins"):
            analyse(imported(random_checkpoint()), tiny_set(), parts)
    with pytest.raises(UsageError, match="expected one or more of shape"):
        show(odd(), dataclasses.replace(tiny_set().test, frames=np.zeros((30, 5, 2, 6, 6), np.uint8)))


def test_it_is_compared_with_hard_spikes_and_has_no_smooth_rows() -> None:
    checkpoint, other, data = random_checkpoint(), odd(), tiny_set()
    found = {"own": predict(checkpoint, data), "theirs": predict(other, data)}
    (duel,), _ = compare(found)
    assert duel.surrogate is None
    right = [int((each.hard == each.labels).sum()) for each in found.values()]
    assert duel.hard.only_a - duel.hard.only_b == right[0] - right[1] != 0
    (line,) = duel.lines()
    assert line.startswith("own - theirs, hard spikes: ")
    values = accuracies(found["theirs"])
    assert {values[key] for key in ("surrogate_accuracy", "surrogate_correct", "transfer_gap")} == {None}
    assert values["surrogate_interval"] is None
    alone = {"theirs": {"test": values, **analyse(other, data)}}
    both = {"own": {"test": accuracies(found["own"]), **analyse(checkpoint, data, POSSIBLE)}, **alone}
    labels = [row[0] for table in tables(alone) for row in table.rows]
    assert labels
    assert not [label for label in labels if "surrogate" in label or "gap" in label]
    smooth = [row for table in tables(both) for row in table.rows if "surrogate" in row[0] or "gap" in row[0]]
    assert smooth
    assert {row[-1] for row in smooth} == {"-"}
    assert "-" not in {row[1] for row in smooth}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    def load(*_: object) -> FrameSet:
        return tiny_set()

    monkeypatch.setattr("sast_deploy.data.request.load_recorded", load)
    monkeypatch.setattr("sast_deploy.studies.analysis.pairs.ASCENT", 2)
    save_checkpoint(tmp_path / "ckpt.pt", random_checkpoint())
    return str(odd().save(tmp_path / "net.h5")), str(tmp_path / "ckpt.pt")


@pytest.mark.slow
def test_the_command_analyses_it_alone_and_beside_our_own(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["analyse", files[0]]) == 0
    printed = capsys.readouterr()
    assert "odd: drop, noise, margins; contraction and thresholds take" in printed.err
    assert "surrogate" not in printed.out
    (alone,) = json.loads((tmp_path / "analysis.json").read_text())["checkpoints"].values()
    assert list(alone) == ["path", "dataset", "frames", "test", *POSSIBLE]
    for name in ("margins", "robustness"):
        assert (tmp_path / f"analysis-{name}.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run(["analyse", *files, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schemas()["analyse"]).validate(document)
    assert document["checkpoints"]["odd"]["test"]["transfer_gap"] is None
    assert cli.run(["analyse", *files]) == 0
    printed = capsys.readouterr()
    assert "odd - tiny, hard spikes:" in printed.out
    assert "odd - tiny, surrogate" not in printed.out
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["comparisons"][0]["surrogate"] is None
    assert content["checkpoints"]["odd"] == alone
    assert "thresholds" in content["checkpoints"]["tiny"]


def test_the_command_refuses_by_name_and_before_any_data(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sast_deploy.data.request.load_recorded", None)
    assert cli.run(["analyse", *reversed(files), "--parts", "margins,thresholds"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: odd: thresholds of an imported network: this takes the surrogate and")
    bare = dataclasses.replace(odd(), data=None, frames=None, metrics={})
    assert cli.run(["analyse", str(bare.save(Path(files[0]).with_name("bare.h5")))]) == 2
    assert "was imported without recordings" in capsys.readouterr().err


def test_plain_values_say_none() -> None:
    found = plain(event_drop(show(odd(), tiny_set().test), probabilities=(0.0, 0.2), draws=2))
    for level in found["levels"]:
        assert level["surrogate"] is level["surrogate_sd"] is level["surrogate_correct"] is None
        assert len(level["hard_correct"]) == level["draws"]
