"""Files of an earlier version (see make_files.py) are read by today's, and mean what they meant."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import Exit
from sast_deploy.base.files import file_digest
from sast_deploy.cli import run
from sast_deploy.data.cache import SPLITS, FrameCache, check_frames
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.file import read_net, write_net
from sast_deploy.studies.tables.build import make_tables
from sast_deploy.studies.tables.records import load_records, raw_text
from sast_deploy.training.state import RunFiles, load_unfinished
from sast_deploy.training.train import train
from sast_deploy.verification.vectors import wrong_answer
from tests.golden import make_files
from tests.golden.make_files import FILES, PLAN, SIMULATE, SPEC, answers, frames_of

EXPECTED = json.loads((FILES / "expected.json").read_text())
RICH = {"rich.net": make_files.rich, "before-leak.net": make_files.before_leak, "leaky.net": make_files.leaky}
NETS = ("compiled.net", *RICH)


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((FILES / f"{name}.gz").read_bytes()))
    return path


@pytest.fixture
def frames(tmp_path):
    """The recordings, made again, and frames built of them anew."""
    return frames_of(tmp_path / "bands", tmp_path / "cache")


@pytest.mark.parametrize("name", NETS)
def test_a_net_file_is_read_written_and_read_again_as_the_same_program(name, tmp_path):
    net = read_net(unpacked(name, tmp_path))
    assert net.program.digest() == EXPECTED[name]["program"]
    write_net(tmp_path / "again.net", net)
    again = read_net(tmp_path / "again.net")
    assert again.program.digest() == EXPECTED[name]["program"]
    for field in ("frames", "data", "checkpoint", "calibration", "profile_text", "strict_reset"):
        assert getattr(again, field) == getattr(net, field)
    assert again.known.digests == net.known.digests


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("engine", [run_reference, run_vectorised, run_fast])
def test_its_known_answers_still_hold(name, engine, tmp_path):
    net = read_net(unpacked(name, tmp_path))
    record = engine(net.program, net.known.frames, trace=True)
    assert record.counts[0].sum() > 0
    assert wrong_answer(net.known, record) is None


def test_logits_and_spikes_are_the_same(frames, tmp_path):
    compiled = read_net(unpacked("compiled.net", tmp_path))
    assert answers(compiled.program, np.asarray(frames.test.frames)) == EXPECTED["compiled.net"]
    for name, make in RICH.items():
        rich = read_net(unpacked(name, tmp_path))
        assert answers(rich.program, rich.known.frames) == EXPECTED[name]
        assert make().digest() == EXPECTED[name]["program"]
    assert EXPECTED["rich.net"]["spikes"] != EXPECTED["before-leak.net"]["spikes"]


def test_a_checkpoint_compiles_to_the_same_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = unpacked("ckpt.pt", tmp_path)
    assert file_digest(path) == EXPECTED["checkpoint"]
    assert run(["compile", "ckpt.pt", "--profile", "loihi-int4", "-o", "a.net"]) == 0
    assert read_net(Path("a.net")).program.digest() == EXPECTED["compiled.net"]["program"]


def test_a_simulation_reports_the_same_figures(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unpacked("compiled.net", tmp_path)
    options = ["--data-root", "bands", "--cache-dir", "cache", "--report", "report.json"]
    assert run(["simulate", "compiled.net", *SIMULATE, *options]) == 0
    found, golden = (json.loads((folder / "report.json").read_text()) for folder in (tmp_path, FILES))
    for key in ("profile", "accuracy", "synops_per_sample", "firing_rates", "confusion", "training"):
        assert found[key] == golden[key], key
    assert found["net"]["program_digest"] == golden["net"]["program_digest"]
    assert found["data"]["frame_digest"] == golden["data"]["frame_digest"]


def test_a_report_of_before_is_known_for_what_it_is(frames, tmp_path, monkeypatch, capsys):
    """Its run is the same but for the folder of the recordings, which is another one here."""
    monkeypatch.chdir(tmp_path)
    unpacked("compiled.net", tmp_path)
    shutil.copy(FILES / "report.json", tmp_path)
    options = ["--data-root", "bands", "--cache-dir", "cache", "--report", "report.json"]
    assert run(["simulate", "compiled.net", *SIMULATE, *options]) == Exit.BAD_INPUT
    assert "report.json: holds a report of folder none; this run: folder " in capsys.readouterr().err
    assert run(["simulate", "compiled.net", *SIMULATE, *options, "--overwrite"]) == Exit.OK
    assert run(["simulate", "compiled.net", *SIMULATE, *options]) == Exit.OK  # the same again


def test_cached_frames_are_found_and_are_those_of_today(frames, tmp_path):
    digest = EXPECTED["frames"]
    assert frames.info.frame_digest == digest
    cache = FrameCache(tmp_path / "old")
    shutil.copytree(FILES / "cache", cache.folder / "frames" / digest)
    (cache.folder / "index").mkdir()
    (cache.folder / "index" / "key.json").write_text(json.dumps({"digest": digest}))
    entry = cache.find("key")
    assert entry.meta["digest"] == digest
    for split in SPLITS:
        check_frames(entry.frames[split], entry.meta[split])
        assert np.array_equal(entry.frames[split], getattr(frames, split).frames)
        assert entry.meta[split]["labels"] == getattr(frames, split).labels.tolist()


def test_cache_keys_are_the_same():
    assert make_files.cache_keys() == EXPECTED["cache keys"]


@pytest.mark.slow
def test_an_unfinished_training_is_continued(frames, tmp_path):
    files = RunFiles(tmp_path / "ckpt.pt")
    unpacked("resume.pt", tmp_path)
    setting = {"data": "nmnist", "data.digest": EXPECTED["frames"], "seed": 0, "validation": 0.25}
    shape = {f"frames.{key}": value for key, value in frames.options.to_dict().items()}
    state = load_unfinished(files, {**SPEC.to_dict(), **PLAN.to_dict(), **shape, **setting})
    assert (state.epoch, len(state.history)) == (2, 2)
    result = train(SPEC, PLAN, frames, files.checkpoint, validation=0.25, device="cpu", resume=True)
    lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
    assert lines[:2] == state.history
    assert len(lines) == PLAN.epochs
    assert result.checkpoint.metrics["test"]["samples"] == len(frames.test)


def test_a_results_file_is_read_and_written_alike(tmp_path):
    records = load_records([FILES / "runs.json"])
    assert [record.name for record in records] == EXPECTED["runs"]
    (tmp_path / "again.json").write_text(raw_text(records))
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((FILES / "runs.json").read_text())
    assert any("90" in cell for table in make_tables(records) for row in table.rows for cell in row)


def test_the_digests_of_many_programs_are_the_same():
    golden = (FILES / "digests.txt").read_text().splitlines()
    assert make_files.table().splitlines() == golden
    assert len(set(golden)) == len(golden) >= 400


def test_a_digest_covers_every_field():
    """The table above can differ: any change of a program changes its digest."""
    program = make_files.rich()
    changes = {"name": "x", "steps": 8, "input_max": 2, "reset_interval": 5, "classes": ("a", "b", "d")}
    others = [replace(program, **{name: value}) for name, value in changes.items()]
    assert len({each.digest() for each in (program, *others)}) == len(others) + 1
