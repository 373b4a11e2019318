"""Readers trust nothing: settings, results, studies, recordings and caches with anything in any place."""

from __future__ import annotations

import ast
import copy
import gzip
import json
import os
import struct
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import DataError, ProfileError, SastError, UsageError
from sast_deploy.base.files import turn
from sast_deploy.base.settings import Settings, ruled
from sast_deploy.data import DataInfo, FrameOptions, RecordingOptions
from sast_deploy.data.camera.idx import read_idx
from sast_deploy.data.events import read_nmnist
from sast_deploy.data.readers.nmnist import tonic_download
from sast_deploy.data.recordings import folder_signature
from sast_deploy.data.request import DataRequest, load_recorded
from sast_deploy.program.profile import load_profile, parse_profile
from sast_deploy.studies.sweep.study import load_study
from sast_deploy.studies.tables.build import make_tables
from sast_deploy.studies.tables.records import load_records
from sast_deploy.training.checkpoint import load_checkpoint, save_checkpoint
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import PAPER, Recipe
from tests.sources import nodes
from tests.tinydata import tiny_set
from tests.unit.test_checkpoint import FC, checkpoint

PACKAGE = Path(__file__).resolve().parents[2] / "sast_deploy"
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SECONDS = 5.0
# What any value of a document may be replaced by.
HOSTILE: dict[str, Any] = {
    "true": True, "none": None, "minus one": -1, "fraction": 0.5, "large": 2**63, "huge": 10**400,
    "nan": float("nan"), "inf": float("inf"), "text": "x", "nothing": "", "number as text": "3",
    "escape": "\x1b[31m\n", "slash": "../../x", "long": "x" * 200_000, "list": [], "lists": [[[]]],
    "many": list(range(70_000)), "table": {}, "tables": {"a": {"b": {}}}, "surrogate": "\udcff",
}  # fmt: skip


def one_line(error: SastError) -> str:
    text = str(error)
    assert len(text) < 2000, text[:300]
    assert "\n" not in text
    return text


def outcome(call: Callable[[], Any], *named: str) -> Any:
    """What a call gives; None where it raises a SastError of one line that has one of `named` in it."""
    try:
        return call()
    except SastError as error:
        text = one_line(error)
    assert any(name in text for name in named), text
    return None


# --- settings ---------------------------------------------------------------------------------------------

SETTINGS: list[tuple[type[Settings], dict[str, Any]]] = [
    (Recipe, PAPER.to_dict()),
    (FrameOptions, FrameOptions().to_dict()),
    (DataInfo, {**tiny_set().info.to_dict(), "recordings": RecordingOptions().to_dict()}),
    (RecordingOptions, RecordingOptions().to_dict()),
    (NetworkSpec, FC.to_dict()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "right"), SETTINGS, ids=[each[0].__name__ for each in SETTINGS])
def test_every_setting_says_what_it_may_be(kind: Any, right: dict[str, Any]) -> None:
    assert list(ruled(kind)) == list(right)
    assert kind.from_dict(right).to_dict() == right
    for key, name in [(key, name) for key in right for name in HOSTILE]:
        make = partial(kind.from_dict, {**right, key: HOSTILE[name]})
        found = outcome(make, key, "too many values", "clip")
        if found is None:
            continue
        assert found.to_dict().get(key) == HOSTILE[name]
        assert name not in ("huge", "nan", "inf", "large", "lists", "many", "table", "tables", "long")
        assert name != "true" or isinstance(right[key], bool), key


@pytest.mark.parametrize(("kind", "right"), SETTINGS, ids=[each[0].__name__ for each in SETTINGS])
@pytest.mark.parametrize("values", [None, 3, [], "x", {1: 2}, {"\x1b": 1}, {"x" * 10**6: 1}])
def test_no_table_at_all(kind: Any, right: dict[str, Any], values: Any) -> None:
    for wrong in (values, {**right, **values} if isinstance(values, dict) else values):
        with pytest.raises(kind.error) as caught:
            kind.from_dict(wrong)
        one_line(caught.value)


def test_all_errors_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.from_dict({**PAPER.to_dict(), "lr": "x", "rho": True, "epochs": 1.5, "colour": 1})
    assert all(word in str(caught.value) for word in ("lr = 'x'", "rho = True", "epochs = 1.5", "key colour"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a document."""
    if path:
        yield path
    listed = enumerate(value[:2]) if isinstance(value, list) else ()
    items = value.items() if isinstance(value, dict) else listed
    for key, each in items:
        yield from places(each, (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """The value in one place."""
    return at(document[path[0]], path[1:]) if path else document


def alike(first: Any, second: Any) -> bool:
    """Whether one value may stand for another: equal, or tensors of one shape."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.shape == second.shape
    return bool(first == second)


def some(rng: np.random.Generator, things: Iterable[Any], count: int) -> list[Any]:
    """So many of them, drawn."""
    all_of_them = list(things)
    drawn = rng.choice(len(all_of_them), min(count, len(all_of_them)), replace=False)
    return [all_of_them[index] for index in drawn]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with one value replaced, all others the same objects."""
    changed = copy.copy(document)
    changed[path[0]] = put(changed[path[0]], path[1:], value) if path[1:] else value
    return changed


# --- checkpoints and unfinished trainings -----------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("saved") / "ckpt.pt"
    save_checkpoint(path, checkpoint())
    return path, torch.load(path, weights_only=True)


@pytest.mark.slow
def test_anything_in_any_place_of_a_checkpoint(saved: tuple[Path, dict[str, Any]]) -> None:
    path, values = saved
    infinite = torch.full((5,), float("inf"))
    hostile = {**HOSTILE, "scalar": torch.zeros(()), "tensor": torch.zeros(3), "infinite": infinite}
    free = {"metrics", "seeds", "packages", "name", "recipe", "data"}
    rng = np.random.default_rng(0)
    for place in places(values):
        for name, value in some(rng, hostile.items(), 10):
            torch.save(put(values, place, value), path)
            start = time.process_time()
            if outcome(partial(load_checkpoint, path), str(path)):
                right = alike(at(values, place), value) or name == "fraction"
                assert place[0] in free or right, (place, name)
            assert time.process_time() - start < SECONDS, (place, name)


def test_sizes_are_refused_before_anything_is_made(saved: tuple[Path, dict[str, Any]]) -> None:
    path, values = saved
    sizes = {
        ("network", "hidden"): [2**24] * 256, ("network", "input_shape"): [2**16] * 3,
        ("frames", "size"): [65536] * 2, ("network", "classes"): 2**16, ("data", "classes"): ["a"] * 10**5,
        ("data", "missing_classes"): ["a"] * 10**5,
    }  # fmt: skip
    for place, value in sizes.items():
        torch.save(put(values, place, value), path)
        start = time.process_time()
        with pytest.raises(SastError):
            load_checkpoint(path)
        assert time.process_time() - start < SECONDS


@pytest.mark.slow
def test_anything_in_any_place_of_an_unfinished_training(tmp_path: Path, monkeypatch: Any) -> None:
    from sast_deploy.training import loop
    from sast_deploy.training.state import RunFiles, load_unfinished
    from sast_deploy.training.train import train

    recipe, seen = PAPER.replace(epochs=2, batch=32, prune=0.5), []
    monkeypatch.setattr(loop, "save_unfinished", lambda _, state, setting: seen.append((state, setting)))
    train(FC, recipe, tiny_set(), tmp_path / "ckpt.pt")
    monkeypatch.undo()
    state, setting = seen[-1]
    files = RunFiles(tmp_path / "x" / "ckpt.pt")
    loop.save_unfinished(files, state, setting)
    values = torch.load(files.resume, weights_only=True)
    assert load_unfinished(files, setting).epoch == 2
    hostile = {**HOSTILE, "scalar": torch.zeros(()), "tensor": torch.zeros(3), "empty": torch.zeros(0)}
    rng = np.random.default_rng(0)
    for place in some(rng, places(values), 80):
        for value in some(rng, hostile.values(), 8):
            torch.save(put(values, place, value), files.resume)
            if outcome(partial(load_unfinished, files, setting), str(files.resume)):
                free = place[0] in ("history", "seconds", "optimizer", "mean")
                assert free or alike(at(values, place), value), place


# --- results, studies, profiles ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_anything_in_any_place_of_results(tmp_path: Path, path: Path) -> None:
    document = json.loads(path.read_text())
    runs = document["runs"]
    richest = max(runs, key=lambda run: len(json.dumps(run)))
    few = {**document, "runs": [richest, *(run for run in runs if run["name"] != richest["name"])][:2]}
    out = tmp_path / "a.json"
    rng = np.random.default_rng(0)
    for place in some(rng, places(few), 60):
        for value in some(rng, HOSTILE.values(), 3):
            out.write_text(json.dumps(put(few, place, value)))
            outcome(lambda: make_tables(load_records([out])), str(out))


RUN = json.loads((RESULTS / "gap.json").read_text())["runs"][0]


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("runs",), 3, "runs = 3"), (("runs", 0), None, r"runs[0] = None"), (("version",), 99, "version 99"),
        (("version",), "1", "version '1'"), (("runs", 0, "config", "seed"), 1.5, "runs[0].config.seed = 1.5"),
        (("runs", 0, "float", "hard"), 10**400, "runs[0].float.hard = an integer of 1329 bits"),
        (("runs", 0, "config", "recipe", "rho"), "x", "runs[0].config.recipe.rho = 'x'"),
        (("runs", 0, "manifest"), [], "runs[0].manifest"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_results_is_named_with_its_place(
    tmp_path: Path, place: Any, value: Any, named: str
) -> None:
    document = {"format": "sast-deploy-runs", "version": 1, "runs": [RUN]}
    (tmp_path / "a.json").write_text(json.dumps(put(document, place, value)))
    with pytest.raises(DataError) as caught:
        load_records([tmp_path / "a.json"])
    assert named in one_line(caught.value)


def test_stages_of_a_run_that_hold_anything_are_measured_again(tmp_path: Path) -> None:
    from sast_deploy.studies.sweep.schema import is_stage

    stage = {"stage": "float", "checkpoint": "a", "inputs": {}, "result": RUN["float"], "seconds": 1.0}
    result = {"accuracy": 0.5, "layers": [{"synops": 1.0}]}
    profile = {**stage, "stage": "profile loihi-int4", "result": result}
    assert is_stage(stage)
    assert is_stage(profile)
    for wrong in ({"stage": 3}, {"result": None}, {"result": {"surrogate": "x"}}, {"stage": "nonsense"}):
        assert not is_stage({**stage, **wrong})
    assert not is_stage({**profile, "result": {"layers": [3]}})
    assert not is_stage([])


STUDY = """
[study]
name = "s"
validation = 0.1
check = 3
[data.mine]
dataset = "nmnist"
train = 5
size = [17, 17]
[network.small]
kind = "fc"
hidden = [5, 4]
alpha = 0.5
[recipe.quick]
base = "paper"
epochs = 3
lr = 0.01
[finetune.on]
epochs = 2
[[grid]]
data = "mine"
network = "small"
recipe = "quick"
seed = [0, 1]
profiles = ["loihi-int4 on"]
"""
TOML = [
    "true", "-1", "1.5", "nan", "inf", "1e400", "9223372036854775807", "0x" + "f" * 9000, '"x"', '""', "[]",
    "[[]]", "{}", "{a = 1}", '"../x"', '"\\u001b"', "1979-05-27", "[1, 'x']", '"' + "x" * 9000 + '"',
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in STUDY.splitlines() if "=" in line])
def test_anything_in_any_place_of_a_study(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.toml"
    key = line.partition(" =")[0]
    for value in TOML:
        for text in (f"{key} = {value}", f"{value.strip('[]{}') or 'odd'} = 1"):
            path.write_text(STUDY.replace(line, text))
            outcome(partial(load_study, path), str(path), "a .toml file", "a TOML profile")
    path.write_text(STUDY)
    assert len(load_study(path).runs) == 2


def test_a_study_of_too_many_runs(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(STUDY.replace("[0, 1]", f"{list(range(10_001))}"))
    with pytest.raises(UsageError, match=r"10,001 runs; expected at most 10,000"):
        load_study(tmp_path / "a.toml")


PROFILE = load_profile("loihi-int4").text


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in PROFILE.splitlines() if " = " in line])
def test_anything_in_any_place_of_a_profile(line: str) -> None:
    key = line.partition(" = ")[0]
    for value in TOML:
        text = PROFILE.replace(line, f"{key} = {value}")
        found = outcome(partial(parse_profile, text, "p.toml"), "p.toml: ")
        if found:
            assert key.strip() in ("description", "name", "exponent_min", "exponent_max", "headroom")
            assert found.name.isprintable()
            assert "/" not in found.name


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "a\nb", "\x1b[0m", "x" * 999])
def test_a_profile_whose_name_is_no_files(name: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(PROFILE.replace('name = "loihi-int4"', f"name = {json.dumps(name)}"), "p.toml")
    assert "name = " in one_line(caught.value)


def test_every_end_of_line_gives_the_same_profile(tmp_path: Path) -> None:
    """Its digest is part of what a sweep remembers."""
    for end in ("\n", "\r\n"):
        (tmp_path / "a.toml").write_bytes(PROFILE.replace("\n", end).encode())
        assert load_profile(str(tmp_path / "a.toml")).text == PROFILE


# --- recordings, idx files --------------------------------------------------------------------------------


def large(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)


KINDS: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir,
    "circle": lambda path: path.symlink_to(path), "large": large, "missing": lambda path: None,
    "text": lambda path: path.write_text("hello"),
}  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text"])
def test_a_recording_is_a_regular_file_of_a_recordings_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "1.bin"
    KINDS[kind](path)
    with pytest.raises(DataError) as caught:
        read_nmnist(path)
    assert str(path) in one_line(caught.value)


def idx(*shape: int, values: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(values)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (gzip.compress(idx(3, 28, 28, values=64 << 20), mtime=0), "more than 2352 values"),
        (gzip.compress(idx(30_000, 28, 28, values=9), mtime=0), "23520000 values in a file of"),
        (gzip.compress(idx(2**32 - 1, 2**32 - 1, 2**32 - 1, values=9), mtime=0), "values in a file of"),
        (gzip.compress(idx(3, 28, 28, values=2351), mtime=0), "2351 values"),
        (gzip.compress(b"\0" * (64 << 20), mtime=0), "starts with 00000000"),
        (gzip.compress(idx(3, 28, 28, values=2352), mtime=0)[:-9], "not a whole gzip file"),
    ],
)  # fmt: skip
def test_a_packed_idx_file_unpacks_to_what_it_declares(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    start = time.process_time()
    with pytest.raises(DataError, match=named):
        read_idx(tmp_path / "a.gz", 3)
    assert time.process_time() - start < 1


def test_folders_that_lead_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in "bcd":
        (tmp_path / "a" / name).symlink_to("..")
    with pytest.raises(DataError, match="Too many levels of symbolic links"):
        folder_signature(tmp_path)


def test_names_that_are_no_text_are_names_all_the_same(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    (tmp_path / "\udcff" / "1.bin").write_bytes(b"x")
    assert len(folder_signature(tmp_path)) == 64


# --- downloads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["nmnist", "dvsgesture", "tonic:NMNIST", "tonic:NCALTECH101"])
@pytest.mark.parametrize(("asked", "allowed"), [(False, False), (True, False), (False, True), (True, True)])
def test_no_file_starts_a_download_or_says_where_to(
    tmp_path: Path, monkeypatch: Any, dataset: str, asked: bool, allowed: bool
) -> None:
    """Not even where the person names the data set, or says --download: the folder is still the file's."""

    def download(*_: Any, **__: Any) -> None:
        pytest.fail("it downloads")

    monkeypatch.setattr("urllib.request.urlopen", download)
    (tmp_path / "root").mkdir()
    info = replace(tiny_set().info, dataset=dataset, root=str(tmp_path / "root"))
    options, named = FrameOptions(steps=1), dataset if asked else None
    wanted = DataRequest(named, cache_dir=tmp_path / "cache", download=allowed)
    with pytest.raises(DataError) as caught:
        load_recorded(Path("a.net"), info, options, wanted)
    assert f"--download --data-root {tmp_path / 'root'} fetches it there" in one_line(caught.value)
    assert one_line(caught.value).startswith("the data set that a.net asks for: ") == (not asked)
    assert list((tmp_path / "root").iterdir()) == []


def test_what_is_downloaded_unpacks_into_its_folder_alone(tmp_path: Path) -> None:
    from tonic.download_utils import extract_archive

    (tmp_path / "inside").mkdir()
    with tarfile.open(tmp_path / "inside" / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    before = vars(tarfile.TarFile).get("extraction_filter")
    with tonic_download(), pytest.raises(tarfile.FilterError):
        extract_archive(str(tmp_path / "inside" / "a.tar"), str(tmp_path / "inside"))
    assert not (tmp_path / "evil").exists()
    assert vars(tarfile.TarFile).get("extraction_filter") is before


# --- the source -------------------------------------------------------------------------------------------

READS = {
    "open", "os.open", "json.load", "json.loads", "tomllib.load", "tomllib.loads", "np.load", "np.fromfile",
    "np.memmap", "np.loadtxt", "np.genfromtxt", "torch.load", "pickle.load", "pickle.loads", "gzip.open",
    "gzip.decompress", "gzip.GzipFile", "zipfile.ZipFile", "tarfile.open", "h5py.File",
}  # fmt: skip
METHODS = {"read_text", "read_bytes", "open"}
# Where something else than sast_deploy.base.reading reads, and why that is no file of a stranger's.
OWN = {
    "sast_deploy.base.compiled": "the package's own source",
    "sast_deploy.data": "Source.open lists recordings",
    "sast_deploy.data.camera.idx": "unpacks what reading.open_regular opened",
    "sast_deploy.data.readers.decoder": "questions of the process that started it",
    "sast_deploy.data.readers.decoding": "answers of a process of its own",
    "sast_deploy.data.readers.numbers": "what reading.read_bytes has read",
    "sast_deploy.doctor": "the installation",
    "sast_deploy.exchange.c.write": "the package's own templates",
    "sast_deploy.exchange.folder": "a folder that it has just made",
    "sast_deploy.exchange.mem.write": "the package's own template",
    "sast_deploy.exchange.npz.run": "stands alone: it reads the arrays that it is exported with",
    "sast_deploy.exchange.npz.write": "the package's own templates",
    "sast_deploy.exchange.rtl.write": "the package's own templates",
    "sast_deploy.base.files": "what it has just written, and the head of an output",
    "sast_deploy.training.process_memory": "/proc",
    "sast_deploy.base.outputs": "outputs that are there, which output_target found to be regular files",
    "sast_deploy.program.profile": "the profiles of the package",
    "sast_deploy.reports.costs.tables": "the tables of the package",
    "sast_deploy.rtl.top": "the package's own modules",
    "sast_deploy.show.page.render": "the package's own templates",
    "sast_deploy.engines.lava.child": "the folder of this run, for this user alone",
    "sast_deploy.engines.lava.shared": "the folder of this run",
    "sast_deploy.engines.lava.supervisor": "the folder of this run",
    "sast_deploy.engines.rtl.output": "the folder of this run",
    "sast_deploy.program.record": "its own temporary file",
    "sast_deploy.base.streams": "the null device",
    "sast_deploy.studies.sweep.provenance": "the package's own source",
    "sast_deploy.base.versions": "the installation",
}


@cache
def reads(path: Path) -> list[str]:
    """The calls in a module that read files, but for those that write or take their own text."""
    found = []
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
        copies = name == "json.loads" and ast.unparse(node.args[0]).startswith("json.dumps(")
        writes = any(isinstance(each, ast.Constant) and each.value in ("w", "wb") for each in node.args)
        if (name in READS or method) and not copies and not writes:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "reading"]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_are_read_by_the_readers_alone(path: Path) -> None:
    if module_name(path) not in OWN:
        assert not reads(path), "use sast_deploy.base.reading"


def test_no_exception_is_left_over() -> None:
    assert {module_name(path) for path in MODULES if reads(path)} >= set(OWN)


# --- caches -----------------------------------------------------------------------------------------------


def build(cache: Path, digit: int = 0, text: str = "a", coding: str = "events") -> str:
    """Store a tiny set of frames; its digest."""
    from sast_deploy.base.eventframes import EventFrames
    from sast_deploy.data.cache import (
        FrameCache,
        checksum,
        digest_of,
        event_files,
        growing_file,
        write_meta,
    )

    options, store = FrameOptions(steps=1, size=(2, 2)).to_dict(), FrameCache(cache)
    meta: dict[str, Any] = {"options": options, "classes": ["x"]}
    with store.workspace() as folder:
        for split in ("train", "test"):
            frames = np.full((1, 1, 2, 2, 2), digit, np.uint8)
            events = EventFrames.from_dense(frames)
            if coding == "events":
                with event_files(folder, split, frames.shape) as append:
                    append(events)
            else:
                with growing_file(folder / f"{split}.npy", np.uint8, frames.shape[1:]) as append_array:
                    append_array(frames)
            crc = checksum(events if coding == "events" else frames)
            meta[split] = {"shape": list(frames.shape), "crc32": [crc], "coding": coding}
            meta[split] |= {"labels": [0], "ids": [text], "n_events": 1}
        meta["digest"] = digest_of({"digit": digit, "text": text})
        write_meta(folder, meta)
        store.store("signature", meta["digest"], folder)
    return meta["digest"]


@pytest.mark.slow
def test_builders_of_one_cache_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Every builder finds folders of others that appear and vanish, damaged ones among them."""
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(25):
                digest = build(tmp_path, int(rng.integers(2)))
                # Not between a builder's writing and its look at what it wrote: that is an error.
                with suppress(FileNotFoundError), turn(tmp_path / "frames", 60.0):
                    if rng.random() < 0.3:
                        (tmp_path / "frames" / digest / "meta.json").write_text("{")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [repr(error) for error in errors] == []


def test_a_folder_that_vanishes_while_old_ones_are_swept(tmp_path: Path, monkeypatch: Any) -> None:
    from sast_deploy.data import cache

    build(tmp_path)
    gone = tmp_path / "frames" / ".building-gone"
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [gone])
    cache.FrameCache._sweep(tmp_path / "frames")


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_cached_folders_have_the_umasks_mode(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        digest = build(tmp_path)
    finally:
        os.umask(before)
    folder = tmp_path / "frames" / digest
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
    for name in ("meta.json", "train.starts.npy", "train.index.npy", "train.count.npy"):
        assert (folder / name).stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["events", "array"])
def test_anything_in_any_place_of_a_cache_is_built_again(tmp_path: Path, capsys: Any, coding: str) -> None:
    from sast_deploy.data.cache import FrameCache, digest_of

    cache, digest, rng = FrameCache(tmp_path), build(tmp_path, 1, "a", coding), np.random.default_rng(0)
    meta, index = tmp_path / "frames" / digest / "meta.json", tmp_path / "index" / "signature.json"
    for path, right in ((meta, json.loads(meta.read_text())), (index, json.loads(index.read_text()))):
        whole = path.read_text()
        for place in places(right):
            for name, value in some(rng, HOSTILE.items(), 8):
                changed = put(right, place, value)
                if path == meta and place != ("digest_of_rest",):
                    rest = {key: each for key, each in changed.items() if key != "digest_of_rest"}
                    changed["digest_of_rest"] = digest_of(rest)
                path.write_text(json.dumps(changed))
                entry = cache.find("signature")
                allowed = {"n_events", "ids", "classes", "options", "digest"}
                assert entry is None or set(place) & allowed or alike(at(right, place), value), (place, name)
        for text in ("null", "3", "[]", "", "{", "[" * 100_000):
            path.write_text(text)
            assert cache.find("signature") is None
        path.write_text(whole)
    assert cache.find("signature") is not None
    assert all(line.startswith("sast-deploy: ") for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_whose_files_are_something_else(tmp_path: Path, kind: str) -> None:
    from sast_deploy.data.cache import FrameCache

    index = "../../index/signature.json"
    for name in ("train.npy", "test.index.npy", "train.starts.npy", "meta.json", index):
        folder = tmp_path / "frames" / build(tmp_path, coding="array" if name == "train.npy" else "events")
        path = folder / name
        path.unlink()
        KINDS[kind](path)
        assert FrameCache(tmp_path).find("signature") is None


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 90_000,) * 2)
    return path


def test_leftovers_are_swept_when_old_and_only_ours(tmp_path: Path) -> None:
    from sast_deploy.base.files import sweep_leftovers, write_text

    out = tmp_path / "a.json"
    others = ("a.json.tmp", ".b.json.abcd1234.tmp", ".a.json.abcd123.tmp", ".a.json.tmp")
    kept = [tmp_path / name for name in others]
    stale, fresh, folder = (tmp_path / f".a.json.{name}.tmp" for name in ("abcd1234", "00000000", "x_y_z_12"))
    for path in (*kept, stale, fresh):
        path.write_text("x")
    folder.mkdir()
    (folder / "x").write_text("x")
    for path in (*kept, stale, folder):
        old(path)
    sweep_leftovers.cache_clear()
    write_text(out, "new")
    assert sorted(tmp_path.iterdir()) == sorted([out, *kept, fresh])
