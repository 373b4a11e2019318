"""One run at a time, in this process: what is done again, what is not, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy.studies.sweep.execute as execute_module
import sast_deploy.studies.sweep.stages as stages_module
import sast_deploy.studies.sweep.sweep as sweep_module
from sast_deploy import api
from sast_deploy.base.errors import BusyError, DataError, OutputError, TrainingError
from sast_deploy.base.progress import Observer, observe
from sast_deploy.base.text import percent
from sast_deploy.data import FrameOptions, FrameSplit
from sast_deploy.finetuning.recipe import FINETUNE
from sast_deploy.studies import ANALYSES
from sast_deploy.studies.sweep.choices import DataChoice, FineTuneChoice, NetworkChoice, RecipeChoice
from sast_deploy.studies.sweep.display import Display
from sast_deploy.studies.sweep.execute import execute
from sast_deploy.studies.sweep.folder import RunFolder, config_differences
from sast_deploy.studies.sweep.frames import load_choice, part_of, unclipped_test
from sast_deploy.studies.sweep.jobs import BUSY, FAILED, FINISHED, STAGE, Event, Job
from sast_deploy.studies.sweep.measures import (
    FLOAT,
    Stage,
    ablation_stage,
    profile_stage,
)
from sast_deploy.studies.sweep.provenance import code_version, source_digest
from sast_deploy.studies.sweep.stages import Measuring
from sast_deploy.studies.sweep.study import Run, Study
from sast_deploy.studies.sweep.sweep import plan, sweep
from sast_deploy.studies.sweep.workers import _Child, _Slot, shares
from sast_deploy.training.checkpoint import load_checkpoint
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.recipes import PAPER
from tests.e2e.conftest import write_bands
from tests.tinydata import STEPS, tiny_set

INT8 = profile_stage("loihi-int8", {}, "test")
INT4 = profile_stage("loihi-int4", {}, "test")
RECIPE = RecipeChoice("quick", PAPER.replace(epochs=3, lr=0.02, batch=16, rho=0.05))
NETWORK = NetworkChoice("small", "fc", hidden=(12, 8))
DATA = DataChoice("tiny", "tiny")


def make(seed: int = 0, *stages: Stage, **changes: Any) -> Run:
    run = Run(f"tiny-small-quick-seed{seed}", DATA, NETWORK, RECIPE, seed, 0.1, (FLOAT, *(stages or (INT8,))))
    return replace(run, **changes)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_module, "load_choice", lambda choice: tiny_set())


def do(run: Run, runs: Path) -> tuple[str, str, list[str]]:
    seen: list[str] = []
    kind, text = execute(Job(run, runs, 3, "cpu"), seen.append)
    return kind, text, seen


def times(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def results(runs: Path, run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((runs / run.name / "results.json").read_text())
    return found


def test_a_run_writes_what_it_says(tmp_path: Path) -> None:
    run = make()
    kind, text, seen = do(run, tmp_path)
    assert (kind, seen) == (FINISHED, ["data", "train", "float", "profile loihi-int8"])
    found = results(tmp_path, run)
    assert found["config"] == json.loads(json.dumps(run.config))
    assert found["manifest"]["data"]["frame_digest"] == "0" * 64
    assert found["manifest"]["code"]["source"] == source_digest()
    checkpoint = load_checkpoint(tmp_path / run.name / "ckpt.pt")
    expected = evaluate(checkpoint, tiny_set().test)
    assert (found["float"]["surrogate"], found["float"]["hard"]) == (
        expected.surrogate_accuracy, expected.hard_accuracy,
    )  # fmt: skip
    assert found["float"]["gap"] == pytest.approx(found["float"]["surrogate"] - found["float"]["hard"])
    int8 = found["profiles"]["loihi-int8"]
    assert (int8["samples"], int8["checked"]) == (30, 3)
    assert int8["accuracy"] == int8["correct"] / 30
    assert int8["synops"] == pytest.approx(sum(layer["synops"] for layer in int8["layers"]))
    assert found["train"]["epochs"] == 3
    assert f"hard {percent(expected.hard_accuracy)}" in text


def test_a_circuits_cycles_are_those_of_latency(tmp_path: Path) -> None:
    circuit = profile_stage("loihi-int8", {}, "test", "circuit")
    run = make(0, INT8, circuit)
    assert do(make(), tmp_path)[0] == FINISHED
    assert "circuits" not in results(tmp_path, make())  # files of before stay as they were
    kind, _, seen = do(run, tmp_path)
    assert (kind, seen) == (FINISHED, ["data", "circuit loihi-int8"])
    found = results(tmp_path, run)["circuits"]["loihi-int8"]
    net = api.compile(load_checkpoint(tmp_path / run.name / "ckpt.pt"), "loihi-int8")
    wanted = api.latency(net, tiny_set().test.frames, samples=None)
    assert (found["samples"], found["mean"], found["p99"]) == (30, wanted.mean, wanted.p99)
    assert found["lanes"] == list(wanted.lanes)
    waits = sum(cycles for layer in found["layers"] for cycles in layer["waits"].values())
    assert waits == pytest.approx(found["mean"])
    assert found["program"] == results(tmp_path, run)["profiles"]["loihi-int8"]["program"]
    assert RunFolder(tmp_path, run).is_finished()


def test_nothing_finished_is_done_again(tmp_path: Path) -> None:
    run = make()
    do(run, tmp_path)
    before = times(tmp_path)
    assert do(run, tmp_path)[2] == []
    after = times(tmp_path)
    assert {k: v for k, v in after.items() if ".lock" not in k} == {
        k: v for k, v in before.items() if ".lock" not in k
    }
    assert RunFolder(tmp_path, run).is_finished()


def test_another_profile_is_only_added(tmp_path: Path) -> None:
    do(make(), tmp_path)
    before = times(tmp_path)
    assert do(make(0, INT8, INT4), tmp_path)[2] == ["data", "profile loihi-int4"]
    after = times(tmp_path)
    same = [key for key in before if key.endswith(("ckpt.pt", "int8.json", "float.json", "train.json"))]
    assert len(same) == 4
    assert all(before[key] == after[key] for key in same)
    assert set(results(tmp_path, make())["profiles"]) == {"loihi-int8", "loihi-int4"}
    do(make(), tmp_path)  # asked for less, nothing is lost
    assert set(results(tmp_path, make())["profiles"]) == {"loihi-int8", "loihi-int4"}


def test_a_changed_profile_is_measured_again(tmp_path: Path) -> None:
    do(make(), tmp_path)
    changed = replace(INT8, inputs={"profile": "0" * 64})
    assert do(make(0, changed), tmp_path)[2] == ["data", "profile loihi-int8"]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["stages/float.json", "results.json", "stages/train.json", "ckpt.pt"])
def test_what_is_lost_or_damaged_is_made_again(tmp_path: Path, lost: str) -> None:
    run = make()
    do(run, tmp_path)
    whole = results(tmp_path, run)
    for content in (None, "", "{}"):
        path = tmp_path / run.name / lost
        path.unlink() if content is None or lost == "ckpt.pt" else path.write_text(content)
        assert do(run, tmp_path)[0] == FINISHED
        again = results(tmp_path, run)
        for part in ("config", "float", "profiles"):
            assert again[part] == whole[part]


def test_a_checkpoint_trained_anew_invalidates_what_was_measured_of_the_old(tmp_path: Path) -> None:
    run = make()
    do(run, tmp_path)
    other = make(1)
    do(other, tmp_path)
    content = (tmp_path / other.name / "ckpt.pt").read_bytes()
    folder = RunFolder(tmp_path, run)
    folder.training.checkpoint.write_bytes(content)
    assert folder.missing() == ("train", "float", "profile loihi-int8")


def test_what_was_measured_counts_as_missing_as_long_as_the_training_does(tmp_path: Path) -> None:
    run = make()
    do(run, tmp_path)
    (tmp_path / run.name / "stages" / "train.json").unlink()
    assert RunFolder(tmp_path, run).missing() == ("train", "float", "profile loihi-int8")


@pytest.mark.slow
def test_finetuned_for_a_profile(tmp_path: Path) -> None:
    choice = FineTuneChoice("qat", replace(FINETUNE, epochs=2), (("label_smoothing", 0.1),))
    run = make(0, profile_stage("loihi-int4 qat", {"qat": choice}, "test"))
    assert do(run, tmp_path)[2] == ["data", "train", "float", "profile loihi-int4 qat"]
    found = results(tmp_path, run)["profiles"]["loihi-int4 qat"]
    (path,) = (tmp_path / run.name / "finetune").glob("loihi-int4-qat-*/ckpt.pt")
    tuned = load_checkpoint(path)
    assert found["accuracy"] == tuned.metrics["test"]["integer"]
    assert (found["finetune"]["epochs"], tuned.recipe.label_smoothing) == (2, 0.1)
    stage = tmp_path / run.name / "stages" / "profile-loihi-int4-qat.json"
    stage.unlink()  # killed just before it was written: the fine-tuning is not done again
    before = path.stat().st_mtime_ns
    do(run, tmp_path)
    assert path.stat().st_mtime_ns == before
    longer = replace(choice, tuning=replace(FINETUNE, epochs=3))
    assert do(make(0, profile_stage("loihi-int4 qat", {"qat": longer}, "test")), tmp_path)[0] == FINISHED
    assert results(tmp_path, run)["profiles"]["loihi-int4 qat"]["finetune"]["epochs"] == 3


@pytest.mark.slow
def test_calibrated_analysed_and_ablated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages_module, "unclipped_test", lambda choice: tiny_set().test)
    wanted = [profile_stage("loihi-int4 calibrated", {}, "test"), ablation_stage("loihi-int4")]
    wanted += [Stage("analysis", part) for part in ANALYSES]
    run = make(0, *wanted)
    kind, text, _ = do(run, tmp_path)
    assert kind == FINISHED, text
    found = results(tmp_path, run)
    calibrated = found["profiles"]["loihi-int4 calibrated"]
    assert (calibrated["samples"], calibrated["checked"]) == (30, 3)
    assert (calibrated["calibration"]["fit_samples"], calibrated["calibration"]["choose_samples"]) == (81, 9)
    assert set(found["analysis"]) == set(ANALYSES)
    assert found["analysis"]["drop"]["levels"][0]["hard"] == found["float"]["hard"]
    rows = {row["name"]: row for row in found["ablations"]["loihi-int4"]["rows"]}
    assert rows["one scale a layer"]["test"]["accuracy"] <= 1.0


def test_unclipped_counts_are_of_the_same_samples(bands_of_four: Path) -> None:
    choice = DataChoice("bands", "nmnist", bands_of_four, FrameOptions(clip=1), train=16, test=8)
    counts, frames = unclipped_test(choice), load_choice(choice)
    assert counts.ids == frames.test.ids
    assert np.array_equal(np.minimum(counts.frames, 1), frames.test.frames)
    assert counts.frames.max() > 1


@pytest.fixture
def bands_of_four(tmp_path: Path) -> Path:
    return write_bands(tmp_path / "bands", train=6, test=4)


def test_a_worker_that_dies_is_a_failure_of_its_run_alone() -> None:
    ours, theirs = multiprocessing.Pipe()
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    theirs.close()
    slot = _Slot([0])
    slot.run, slot.child = "tiny", _Child(process, ours)
    assert slot.news() == Event("tiny", FAILED, "its process died (exit code 7)")
    assert (slot.run, slot.child) == ("", None)


class StopAt:
    """Raises KeyboardInterrupt, as a stop by a person would, when a stage begins."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __call__(self, stage: str) -> None:
        if stage == self.stage:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["data", "train", "float", "profile loihi-int8"])
def test_stopped_at_any_stage_it_goes_on_from_there(tmp_path: Path, stage: str) -> None:
    run = make()
    with pytest.raises(KeyboardInterrupt):
        execute(Job(run, tmp_path, 3, "cpu"), StopAt(stage))
    seen = do(run, tmp_path)[2]
    whole = ["data", "train", "float", "profile loihi-int8"]
    assert seen == (whole if stage in whole[:2] else ["data", *whole[whole.index(stage) :]])


def test_an_interrupted_training_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sast_deploy.training.trainer import Trainer

    run, whole = make(), tmp_path / "whole"
    do(run, whole)
    epochs: list[int] = []
    original = Trainer.epoch

    def epoch(trainer: Trainer, index: int, advance: Callable[[], None]) -> dict[str, float]:
        if index == 2 and 2 not in epochs:
            epochs.append(2)
            raise SystemExit
        epochs.append(index)
        return original(trainer, index, advance)

    monkeypatch.setattr(Trainer, "epoch", epoch)
    with pytest.raises(SystemExit):
        do(run, tmp_path)
    assert do(run, tmp_path)[0] == FINISHED
    assert epochs == [0, 1, 2, 2]
    a, b = (load_checkpoint(root / run.name / "ckpt.pt").state for root in (whole, tmp_path))
    assert all(np.array_equal(a[key], b[key]) for key in a)


def test_another_configuration_of_the_same_name_is_refused(tmp_path: Path) -> None:
    do(make(), tmp_path)
    other = make(recipe=RecipeChoice("quick", RECIPE.recipe.replace(epochs=4, rho=0.1)))
    before = times(tmp_path)
    kind, text, seen = do(other, tmp_path)
    assert (kind, seen) == (FAILED, [])
    assert "recipe.epochs = 3 (now 4), recipe.rho = 0.05 (now 0.1)" in text
    assert {k: v for k, v in times(tmp_path).items() if k in before and ".lock" not in k} == {
        k: v for k, v in before.items() if ".lock" not in k
    }
    with pytest.raises(TrainingError, match=r"was started with .*rename"):
        plan(Study("s", "cpu", 3, (other,)), tmp_path)


def test_a_key_that_came_later_counts_as_its_default() -> None:
    new = make().config
    old = json.loads(json.dumps(new))
    del old["recipe"]["drop"], old["network"]["alpha"]
    assert config_differences(old, new) == ""
    assert config_differences(old, make(seed=1, name="x").config) == "seed = 0 (now 1)"


def test_somebody_elses_folder_is_not_touched(tmp_path: Path) -> None:
    run = make()
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "ckpt.pt").write_bytes(b"theirs")
    kind, text, _ = do(run, tmp_path)
    assert kind == FAILED
    assert "no run of a sweep" in text
    assert (tmp_path / run.name / "ckpt.pt").read_bytes() == b"theirs"


OF_A_RUN = [
    "manifest.json", "results.json", "metrics.jsonl", "resume.pt", "ckpt.pt", "error.log", "output.log",
    "stages/train.json", "stages/profile-loihi-int8.json",
]  # fmt: skip


def tree(folder: Path) -> dict[str, Any]:
    """What lies in a folder: contents, and where links lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_all_that_a_run_writes_is_tried_here(tmp_path: Path) -> None:
    do(make(), tmp_path)
    written = {str(path) for path in RunFolder(tmp_path, make())._written()}
    names = {str(tmp_path / make().name / name) for name in OF_A_RUN}
    assert names <= written
    assert {str(path) for path in (tmp_path / make().name).rglob("*.*")} <= written


@pytest.mark.parametrize("way", ["a file", "a link"])
@pytest.mark.parametrize("content", ["# my notes", '{"config": {}}', '{"name": "my app"}', "Traceback"])
@pytest.mark.parametrize("name", OF_A_RUN)
def test_a_users_file_by_a_runs_name_is_refused_before_any_work(
    name: str, content: str, way: str, tmp_path: Path
) -> None:
    run, runs = make(), tmp_path / "runs"
    path = runs / run.name / name
    path.parent.mkdir(parents=True)
    if way == "a link":
        path.symlink_to(tmp_path / "notes.md")
        path = tmp_path / "notes.md"
    path.write_text(content)
    before = tree(tmp_path)
    kind, text, seen = do(run, runs)
    assert (kind, seen) == (FAILED, [])
    assert f"is no run of a sweep, but {name} is in it; choose another -o" in text
    with pytest.raises(TrainingError, match=f"but {name}"):
        plan(Study("s", "cpu", 3, (run,)), runs)
    assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_A_RUN if name != "manifest.json"])
def test_a_link_in_a_runs_folder_leads_to_a_file_of_the_kind(name: str, tmp_path: Path) -> None:
    run, runs = make(), tmp_path / "runs"
    do(run, runs)
    path, there = runs / run.name / name, tmp_path / "elsewhere"
    if path.exists():
        os.replace(path, there)
        path.symlink_to(there)
        (runs / run.name / "stages" / "float.json").unlink()
        kind, text, _ = do(run, runs)
        assert kind == FINISHED, text
        assert path.is_symlink()
        path.unlink()
    path.symlink_to(there)
    there.write_text("# my notes")
    before = tree(tmp_path)
    assert do(run, runs)[0] == FAILED
    assert tree(tmp_path) == before


def test_what_a_sweep_notes_before_the_manifest_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(choice: DataChoice) -> Any:
        print("it says something first")
        raise DataError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(execute_module, "load_choice", fail)
        for _ in range(2):
            assert do(make(), tmp_path)[0] == FAILED
    assert {path.name for path in (tmp_path / make().name).iterdir()} == {"error.log", "output.log"}
    assert do(make(), tmp_path)[0] == FINISHED
    assert not (tmp_path / make().name / "error.log").exists()


PLAN_OF_OURS = {"runs": {make(3).name: make(3).config}}


@pytest.mark.parametrize(
    "content", ["# my notes", '{"title": "my study"}', '{"runs": {}, "title": "my study"}', '{"runs": [']
)
@pytest.mark.parametrize("way", ["a file", "a link"])
def test_a_users_study_json_is_refused_before_any_work(content: str, way: str, tmp_path: Path) -> None:
    path, notes = tmp_path / "runs" / "study.json", tmp_path / "notes"
    path.parent.mkdir()
    if way == "a link":
        path.symlink_to(notes)
    (notes if way == "a link" else path).write_text(content)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"study\.json: (is a file of another kind|holds a damaged plan)"):
        sweep(Study("s", "cpu", 3, (make(),)), path.parent, workers=None)  # type: ignore[arg-type]
    assert tree(tmp_path) == before


def test_a_plan_that_another_sweep_wrote_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, path = sweep_module.write_json, tmp_path / "study.json"

    def late(where: Path, value: Any) -> None:
        if not path.exists():
            path.write_text(json.dumps(PLAN_OF_OURS))
        write(where, value)

    monkeypatch.setattr(sweep_module, "write_json", late)
    sweep_module._note_plan(Study("s", "cpu", 3, (make(),)), tmp_path)
    assert set(json.loads(path.read_text())["runs"]) == {make(3).name, make().name}


def test_other_data_than_it_was_trained_on_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(make(), tmp_path)
    monkeypatch.setattr(execute_module, "load_choice", lambda choice: tiny_set(digest="1" * 64))
    kind, text, _ = do(make(0, INT8, INT4), tmp_path)
    assert kind == FAILED
    assert "others than it was trained on" in text


def test_a_failing_stage_stops_no_other_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(0, INT8, INT4)
    original = Measuring.measure

    def measure(self: Measuring, stage: Stage) -> dict[str, Any]:
        if stage == INT8:
            raise ZeroDivisionError("broken")
        return original(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(Measuring, "measure", measure)
        kind, text, _ = do(run, tmp_path)
    assert kind == FAILED
    assert text.startswith("profile loihi-int8: ZeroDivisionError: broken")
    assert "Traceback" in (tmp_path / run.name / "error.log").read_text()
    assert set(results(tmp_path, run)["profiles"]) == {"loihi-int4"}
    assert do(run, tmp_path)[2] == ["data", "profile loihi-int8"]
    assert not (tmp_path / run.name / "error.log").exists()


def _hold(path: Path, run: Run, ready: Any, release: Any) -> None:
    with RunFolder(path, run).lock():
        ready.set()
        release.wait(60)
        os._exit(9)  # no clean-up: the kernel must let go


def test_a_lock_is_held_against_another_process_and_dies_with_it(tmp_path: Path) -> None:
    run, context = make(), multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, run, ready, release))
    process.start()
    assert ready.wait(60)
    assert do(run, tmp_path)[0] == BUSY
    with pytest.raises(BusyError), RunFolder(tmp_path, run).lock():
        pass
    assert not (tmp_path / run.name / "ckpt.pt").exists()
    release.set()
    process.join()
    with RunFolder(tmp_path, run).lock():
        pass


class Inline:
    """Workers that do their jobs in this process; `busy` names are busy that many times first."""

    def __init__(self, busy: dict[str, int] | None = None) -> None:
        self.jobs: list[Job] = []
        self.order: list[str] = []
        self.busy, self.closed = busy or {}, False

    def free(self) -> int:
        return 2 - len(self.jobs)

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def poll(self, seconds: float) -> list[Event]:
        job = self.jobs.pop(0)
        name = job.run.name
        self.order.append(name)
        if self.busy.get(name):
            self.busy[name] -= 1
            return [Event(name, BUSY, "elsewhere")]
        kind, text = execute(job, lambda stage: None)
        return [Event(name, kind, text)]

    def close(self) -> None:
        self.closed = True


def test_a_sweep_does_everything_and_a_failure_stops_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sast_deploy.studies.sweep.sweep as sweep_module

    calls = []
    loader: Any = lambda choice, download: calls.append(choice)  # noqa: E731
    loader.cache_clear = lambda: None
    monkeypatch.setattr(sweep_module, "load_choice", loader)
    monkeypatch.setattr(sweep_module, "BUSY_SECONDS", 0.0)
    bad = make(2, recipe=RecipeChoice("wild", RECIPE.recipe.replace(lr=10, rho=100.0)))
    monkeypatch.setattr(
        execute_module, "load_choice",
        lambda choice: tiny_set() if choice.name == "tiny" else pytest.fail("no such data"),
    )  # fmt: skip
    bad = replace(bad, network=NetworkChoice("broken", "fc", hidden=(0,)))
    study = Study("s", "cpu", 2, (make(0), bad, make(1)))
    workers, heard = Inline({make(0).name: 2}), Heard()
    with observe(heard):
        outcome = sweep(study, tmp_path, workers)
    assert workers.order.count(make(0).name) == 3
    assert workers.closed
    assert (outcome.finished, outcome.before, set(outcome.failures)) == (2, 0, {bad.name})
    assert len(calls) == 1
    said = "\n".join(heard.told)
    assert "3/3" in said
    assert f"failed {bad.name}: network: hidden[0] = 0" in said
    again = Inline()
    outcome = sweep(study, tmp_path, again)
    assert (outcome.finished, outcome.before, again.order) == (2, 2, [bad.name])


def by_class(split: FrameSplit) -> FrameSplit:
    """In the order of the classes, as data sets on the disk are."""
    order = np.argsort(split.labels, kind="stable")
    ids = tuple(split.ids[i] for i in order)
    return FrameSplit(split.frames[order], split.labels[order], ids, split.n_events)


def test_parts_are_stratified_and_named_in_the_digest() -> None:
    data = replace(tiny_set(), train=by_class(tiny_set().train), test=by_class(tiny_set().test))
    part = part_of(data, 30, 9)
    assert np.bincount(part.train.labels).tolist() == [10, 10, 10]
    assert np.bincount(part.test.labels).tolist() == [3, 3, 3]
    for split, whole in ((part.train, data.train), (part.test, data.test)):
        for frame, label, name in zip(split.frames, split.labels, split.ids, strict=True):
            index = whole.ids.index(name)
            assert label == whole.labels[index]
            assert np.array_equal(frame, whole.frames[index])
    assert (part.info.n_train, part.info.n_test) == (30, 9)
    assert "a part: 30 of 90 training and 9 of 30 test samples" in part.info.provenance
    assert part.info.frame_digest not in (data.info.frame_digest, part_of(data, 31, 9).info.frame_digest)
    assert part.info.frame_digest == part_of(data, 30, 9).info.frame_digest
    assert part_of(data, None, 30).test is data.test
    with pytest.raises(DataError, match="test = 31; expected at most 30"):
        part_of(data, 30, 31)


def test_processors_are_shared_out() -> None:
    assert shares([0, 1, 2, 3, 4], 2) == [[0, 2, 4], [1, 3]]
    assert shares([3, 7], 3) == [[3], [7], [3]]
    assert shares([3, 7], 2) == [[3], [7]]


def test_the_source_has_a_digest_and_in_a_checkout_a_commit() -> None:
    assert len(source_digest()) == 64
    assert set(code_version()) == {"version", "source", "commit"}
    assert STEPS == 4


class Heard(Observer):
    """What a sweep told."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.told: list[str] = []

    def begin(self, what: str, total: int | None) -> str:
        self.done[what] = 0
        self.told.append(f"{what} of {total}")
        return what

    def advance(self, task: str, steps: int) -> None:
        self.done[task] += steps

    def tell(self, task: str, text: str) -> None:
        self.told.append(f"{task}: {text}")

    def say(self, line: str) -> None:
        self.told.append(line)


def test_a_sweep_tells_of_its_runs_and_what_is_left(tmp_path: Path) -> None:
    runs, heard = (make(0), make(1)), Heard()
    name = runs[0].name
    with observe(heard), Display(runs, tmp_path) as display:
        display.started(name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("{}\n{}\n")
        display.show(Event(name, STAGE, "train"))
        display.refresh()
        assert heard.done == {"runs": 0, f"  {name}": 2}
        display.show(Event(name, FAILED, "no luck"))
        display.refresh()
    assert heard.done["runs"] == 0
    assert heard.told[:3] == ["runs of 2", f"  {name} of 3", f"  {name}: train"]
    assert heard.told[3].startswith("runs: 1 at work, left 0:00:0")
    assert heard.told[4].startswith(f"1/2 failed {name}: no luck  (left ")
    assert heard.told[5].startswith("runs: 0 at work, 1 FAILED, left ")


def test_a_finished_sweep_counts_what_was_done_before(tmp_path: Path) -> None:
    heard = Heard()
    with observe(heard):
        with Display((), tmp_path, before=3):
            assert heard.told == []
        with Display((make(0),), tmp_path, before=2) as display:
            display.show(Event(make(0).name, FINISHED, "done"))
            display.refresh()
    assert heard.done == {"runs": 3}
    assert heard.told == ["runs of 3", f"1/1 finished {make(0).name}: done", "runs: 0 at work"]
