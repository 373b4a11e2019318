"""What a dossier is gathered from: what may be named, what is refused in a line, that figures agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import SastError
from sast_deploy.cli import run
from sast_deploy.data.request import DataRequest
from sast_deploy.program.program import Program, Readout, frozen_ints
from sast_deploy.reports.dossier import EMBEDDED, GIVEN, HARD, INTEGERS, REAL, SIMULATED, SMOOTH, TRAINED
from sast_deploy.show.page.verdict import compared_values
from sast_deploy.studies.analysis.drop import event_drop
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.subject import HARD as HARD_SPIKES
from sast_deploy.studies.dossier.integers import IntegerSubject
from sast_deploy.studies.dossier.manifest import kind_of
from sast_deploy.studies.dossier.network import layer_weights
from sast_deploy.studies.dossier.sources import source_of
from sast_deploy.training.checkpoint import save_checkpoint, to_float_network
from tests.programs import RULES
from tests.tinydata import tiny_set
from tests.tinynets import random_checkpoint

ANY = DataRequest()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder with a checkpoint, and its .net file; the tiny data set wherever frames are loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sast_deploy.data.request.load_frames", lambda *_, **__: tiny_set())
    monkeypatch.setattr("sast_deploy.studies.analysis.drop.load_frames", lambda *_, **__: tiny_set())
    Path("runs/tiny").mkdir(parents=True)
    save_checkpoint(Path("runs/tiny/ckpt.pt"), random_checkpoint())
    sast.compile("runs/tiny/ckpt.pt", "loihi-int4").save("tiny.net")
    return tmp_path


def refused(text: str, *named: Any, **options: Any) -> None:
    with pytest.raises(SastError, match=text) as caught:
        sast.report(*named, **options)
    assert "\n" not in str(caught.value)


def test_a_net_finds_its_checkpoint_only_where_it_is_unaltered(here: Path) -> None:
    found = source_of("tiny.net", ANY)
    assert found.trained is not None
    assert {str(path) for path in found.files} == {"tiny.net", "runs/tiny/ckpt.pt"}
    save_checkpoint(Path("runs/tiny/ckpt.pt"), random_checkpoint(seed=2))
    altered = source_of("tiny.net", ANY)
    assert altered.trained is None
    assert "is not the file that it was compiled from" in altered.notes[0]
    Path("runs/tiny/ckpt.pt").unlink()
    assert "is not there" in source_of("tiny.net", ANY).notes[0]


def test_what_may_be_named(here: Path) -> None:
    assert source_of("runs/tiny", ANY).checkpoint == Path("runs/tiny/ckpt.pt")
    assert not source_of("runs/tiny/ckpt.pt", ANY).compiled
    assert run(["simulate", "tiny.net", "--backend", "fast", "--report", "report.json"]) == 0
    simulated = source_of("report.json", ANY)
    assert simulated.net is not None
    assert simulated.path == Path("report.json")
    Path("runs/only").mkdir()
    Path("report.json").rename("runs/only/report.json")
    assert source_of("runs/only", ANY).name == simulated.name
    assert source_of(sast.compile("runs/tiny/ckpt.pt"), ANY).path is None


def test_what_may_not_is_refused_in_a_line(here: Path) -> None:
    Path("empty").mkdir()
    refused("holds neither ckpt.pt nor report.json", "empty")
    refused("nowhere.net", "nowhere.net")
    refused("0 networks", *())
    Path("mine.json").write_text('{"mine": 1}')
    refused("a report that `sast-deploy simulate` wrote", "mine.json")
    refused("profile", "runs/tiny", profile="none")
    refused("no table of prices", "tiny.net", table="none")
    refused("several networks", "tiny.net", "tiny.net", traced=[1])
    refused("no sample 999", "tiny.net", traced=[999])
    refused("frames and a data set", "tiny.net", frames=np.zeros((1, 4, 2, 6, 6), int), data=ANY)
    refused("loihi1", "tiny.net", chip="loihi9")
    assert run(["simulate", "tiny.net", "--backend", "fast", "--report", "report.json"]) == 0
    told = json.loads(Path("report.json").read_text())
    Path("other.json").write_text(json.dumps({**told, "net": {**told["net"], "digest": "0" * 64}}))
    refused("of another tiny.net than is there now", "other.json")
    Path("own.json").write_text(json.dumps({**told, "data": {"dataset": None}}))
    refused("name its network, and the frames with --input", "own.json")


@pytest.mark.slow
def test_the_figures_are_those_of_the_commands(here: Path) -> None:
    page = sast.report("tiny.net", samples=20)
    (found,) = page.dossier.networks
    net = sast.load("tiny.net")
    ran = sast.simulate(net, samples=20)
    assert found.accuracy == ran.accuracy
    assert found.synops == pytest.approx(ran.synops)
    assert found.confusion is not None
    assert found.right is not None
    assert int(np.trace(found.confusion)) == int(found.right.sum()) == found.accuracy.correct
    assert [len(found.mistakes)] == [20 - found.accuracy.correct]
    assert found.cost.synops == pytest.approx(sast.cost(net, samples=20).synops)
    assert found.bit_accurate
    assert {check.data for check in found.checks} == {"known answers", "test split"}
    assert [rung.name for rung in found.ladder] == [SMOOTH, HARD, "INT8", "INT4"]
    assert [rung.reported for rung in found.ladder] == [False, False, False, True]
    whole = replace(tiny_set(), test=tiny_set().test.part(np.arange(30)))
    evaluated = sast.evaluate(random_checkpoint(), whole.test)
    assert sast.report("tiny.net").dossier.networks[0].ladder[1].accuracy.correct == evaluated.hard_correct
    for curve in found.curves:
        undisturbed = found.accuracy if curve.of == INTEGERS else found.float_accuracy
        assert curve.points[0].mean == pytest.approx(undisturbed.value)
    assert {(curve.kind, curve.of) for curve in found.curves} == {
        (kind, of) for kind in ("drop", "noise") for of in (INTEGERS, TRAINED)
    }


@pytest.mark.slow
def test_the_same_command_writes_the_same_bytes_and_not_over_another_page(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["report", "tiny.net", "--samples", "9", "-o", "page.html"]
    assert run(line) == 0
    first = Path("page.html").read_bytes()
    assert run(line) == 0
    assert Path("page.html").read_bytes() == first
    assert run([*line[:3], "8", *line[4:]]) == 2
    assert "holds a page of 9 samples; this run: 8 samples" in capsys.readouterr().err
    assert run([*line[:3], "8", *line[4:], "--overwrite"]) == 0
    assert run(["report", "tiny.net", "-o", "tiny.net", "--overwrite"]) == 2  # what it reads


@pytest.mark.slow
def test_a_checkpoint_is_compiled_and_a_net_without_one_says_so(here: Path) -> None:
    (trained,) = sast.report("runs/tiny", profile="loihi-int8", samples=6).dossier.networks
    assert (trained.weight_bits, trained.profile) == (8, "loihi-int8")
    assert [rung.name for rung in trained.ladder if rung.reported] == ["INT8"]
    Path("runs/tiny/ckpt.pt").unlink()
    (alone,) = sast.report("tiny.net", samples=6).dossier.networks
    assert any("is not there" in note for note in alone.notes)
    assert [rung.name for rung in alone.ladder] == ["INT4"]  # nothing was recorded by this training
    assert {curve.of for curve in alone.curves} == {INTEGERS}
    assert alone.weights[0].unit is None
    assert alone.gap is None


@pytest.mark.slow
def test_frames_of_ones_own_have_no_events_to_lose(here: Path) -> None:
    test = tiny_set().test
    (found,) = sast.report("tiny.net", frames=test.frames, labels=test.labels).dossier.networks
    assert found.kind == GIVEN
    assert "hold no events" in found.missing["curves"]
    (unlabelled,) = sast.report("tiny.net", frames=test.frames).dossier.networks
    assert unlabelled.accuracy is None
    assert {"confusion", "margins", "curves"} <= set(unlabelled.missing)
    assert unlabelled.traces


@pytest.mark.slow
def test_chosen_samples_are_traced(here: Path) -> None:
    (found,) = sast.report("tiny.net", samples=10, traced=[3, 0]).dossier.networks
    inputs = sast.inputs(sast.load("tiny.net"), samples=10)
    assert [trace.what for trace in found.traces] == [
        f"sample {inputs.numbers[at]}, {inputs.ids[at]}" for at in (3, 0)
    ]


@pytest.mark.slow
def test_several_networks_of_one_name_are_told_apart(here: Path) -> None:
    sast.compile("runs/tiny/ckpt.pt", "loihi-int4").save("again.net")
    page = sast.report("tiny.net", "again.net", samples=6)
    assert len({each.name for each in page.dossier.networks}) == 2
    assert page.dossier.choice is not None
    assert page.dossier.choice.p == (1.0, 1.0)


def test_the_integers_themselves_are_disturbed() -> None:
    net, test = sast.compile(random_checkpoint()), tiny_set().test
    subject = IntegerSubject(net.program, test)
    predictions = sast.simulate(net, test.frames).predictions
    assert subject.classes(subject.inputs(np.arange(30)))[HARD_SPIKES].tolist() == predictions.tolist()
    dropped = event_drop(subject, probabilities=(0.0, 0.5), draws=1)
    assert dropped.levels[0].hard == pytest.approx(float((predictions == test.labels).mean()))
    assert dropped.levels[1].hard_correct != dropped.levels[0].hard_correct
    doubled = subject.altered(lambda weight: 2.25 * weight)
    most = 1 << (net.program.arithmetic.weight_bits - 1)
    for before, after in zip(net.program.layers, doubled.program.layers, strict=True):
        expected = np.clip(np.round(2.25 * before.weight), -most, most - 1)
        assert after.weight.tolist() == expected.tolist()


def test_margins_of_the_integers_are_of_their_membranes() -> None:
    net, test = sast.compile(random_checkpoint()), tiny_set().test
    found = margins(IntegerSubject(net.program, test)).hard
    traces = sast.simulate(net, test.frames, trace=True).record.traces
    assert traces is not None
    for counts, trace, (_, layer) in zip(found, traces, net.program.spiking(), strict=True):
        distance = (trace.membrane - layer.vth) / layer.vth
        assert counts.states == trace.membrane.size
        assert counts.within == pytest.approx(int((np.abs(distance) <= 0.2).sum()), abs=3)
        assert counts.mean == pytest.approx(float(distance.mean()), rel=1e-4)


def test_weights_before_and_after_are_the_same_weights() -> None:
    checkpoint = random_checkpoint()
    net = sast.compile(checkpoint, "loihi-int8")
    assert net.compilation is not None
    network = to_float_network(checkpoint)
    found = layer_weights(net.program, network)
    for layer, trained, compiled in zip(found, network.layers, net.compilation.layers, strict=True):
        before, after = layer.histograms
        assert before.counts.sum() + before.beyond == after.counts.sum() == trained.weight.size
        assert layer.error == pytest.approx(compiled.error, rel=0.1)
    assert layer_weights(net.program, None)[0].unit is None


@pytest.mark.parametrize(("told", "kind"), [
    ({"dataset": None}, GIVEN), ({"dataset": "digits-saccade", "simulated": True}, EMBEDDED),
    ({"dataset": "nmnist", "simulated": False}, REAL),
    ({"dataset": "nmnist-simulated", "simulated": True}, SIMULATED),
])  # fmt: skip
def test_kinds_of_data_are_never_mixed_up(told: dict[str, Any], kind: str) -> None:
    assert kind_of(told) == kind


@pytest.mark.slow
def test_an_imported_network_has_hard_spikes_alone(here: Path) -> None:
    rng = np.random.default_rng(3)
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "weight": "0", "leak": 0.5}, {"kind": "readout", "weight": "1"},
    ]
    told = {"input": [2, 6, 6], "steps": 4, "reset": "zero", "layers": layers, "classes": ["a", "b", "c"],
            "clip": 4}  # fmt: skip
    weights = {"0": rng.normal(size=(9, 72)), "1": rng.normal(size=(3, 9))}
    sast.from_state_dict(weights, told, name="theirs").on(tiny_set()).save("theirs.h5")
    (found,) = sast.report("theirs.h5", samples=12).dossier.networks
    assert [rung.name for rung in found.ladder] == [HARD, "INT8", "INT4"]
    assert found.bit_accurate
    assert {curve.of for curve in found.curves} == {TRAINED, INTEGERS}


@pytest.mark.slow
def test_a_chip_without_prices_says_so(here: Path) -> None:
    page = sast.report("tiny.net", samples=6, chip="loihi2")
    (found,) = page.dossier.networks
    assert found.fits
    assert found.cost.energy is None
    assert "Fits Loihi 2" in page.html
    assert "no table prices Loihi 2" in page.html
    assert page.to_dict()["networks"][0]["chip"] == "loihi2"
    again = "sast-deploy report tiny.net --samples 6 --chip loihi2 -o report.html"
    assert found.manifest.commands[-1] == again


@pytest.mark.slow
def test_a_readout_alone_and_a_thousand_classes_have_pages(here: Path) -> None:
    """Neither spikes nor ten names: what is drawn of each class is bounded."""
    rng = np.random.default_rng(0)
    names = tuple(f"class {number}" for number in range(1000))
    readout = Readout(frozen_ints(rng.integers(-3, 4, (1000, 8))), frozen_ints(np.zeros(1000, int)), 0)
    program = Program("alone", (2, 2, 2), 1, 6, names, RULES, (readout,))
    net = sast.Net.from_program(program, known_answers=False)
    frames = rng.integers(0, 2, (5, 6, 2, 2, 2))
    for labels in (None, np.arange(5)):
        page = sast.report(net, frames=frames, labels=labels)
        assert len(page.html.encode()) < 1_500_000
        assert page.dossier.networks[0].traces
    assert "alone" in page.html


def test_no_engine_is_counted_as_compared_with_itself(here: Path) -> None:
    network = sast.report("tiny.net").dossier.networks[0]
    rows = {(check.engine, check.data): check.values for check in network.checks}
    own = [(engine, data) for engine, data in rows if engine == "reference" and "known" not in data]
    itself = [rows[at] for at in own]
    assert itself
    assert compared_values(network) == sum(rows.values()) - sum(itself)
