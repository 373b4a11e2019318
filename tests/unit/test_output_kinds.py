"""What is somebody else's stays, whatever it begins with, whenever it came, and whatever --overwrite says."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from sast_deploy.base.errors import BusyError, OutputError
from sast_deploy.base.files import LOCK_FILE, forget_watched, lock_folder, write_text
from sast_deploy.base.outputs import ORIGIN_KEY, check_output, json_kind
from sast_deploy.cli import run
from sast_deploy.netx.file import read_net
from sast_deploy.training.checkpoint import save_checkpoint
from sast_deploy.training.state import RunFiles, Unfinished, save_unfinished
from tests.tinynets import random_checkpoint
from tests.unit.test_outputs import (
    ANALYSE,
    CASES,
    COMPARE,
    FILES,
    PLOTS,
    ROWS,
    SAMPLED,
    SIMULATE,
    SINGLE,
    TABLES,
    here,
    idle,
    made,
    refused,
    shared,
    state,
    tiny,
    write_run,
)

__all__ = ["here", "idle", "made", "shared", "tiny"]  # fixtures
pytestmark = pytest.mark.slow

# ---- of another kind, though it begins as ours does ----


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["mine/values"] = np.arange(100)


def hdf5_with_our_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["sast/format"] = "my format"


def plotted(path: Path) -> None:
    from matplotlib.figure import Figure

    Figure(figsize=(1, 1)).savefig(path)


def saved(path: Path) -> None:
    torch.save({"model": torch.ones(3), "note": "sast"}, path)


MARKS = {"report_version": 1, "inspection_version": 1, "of": ["sast-deploy-analysis", "sast-deploy-runs"]}
THEIRS: dict[str, dict[str, Callable[[Path], Any]]] = {
    ".net": {
        "HDF5": hdf5, "our group": hdf5_with_our_group,
        "stock": lambda path: path.write_bytes(Path("theirs.net").read_bytes()),
    },
    ".npz": {
        "arrays": lambda path: np.savez(path, a=np.arange(9)),
        "logits": lambda path: np.savez(path, logits=np.arange(9), spikes=np.arange(2)),
    },
    ".h5": {"HDF5": hdf5, "a network": lambda path: path.write_bytes(Path("theirs.net").read_bytes())},
    ".pt": {"weights": saved, "tensor": lambda path: torch.save(torch.ones(3), path)},
    ".json": {
        "nested marks": lambda path: path.write_text(json.dumps({"mine": MARKS})),
        "other values": lambda path: path.write_text(json.dumps(dict.fromkeys(MARKS, MARKS["of"]))),
    },
    ".html": {
        "a page": lambda path: path.write_text("<!doctype html>\n<title>mine</title>\n"),
        "a quotation": lambda path: path.write_text("<!doctype html>\n<!-- sast-deploy report -->\n</html>"),
    },
    ".png": {"a plot": plotted}, ".svg": {"a plot": plotted},
}  # fmt: skip


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, case in FILES.items() for kind in THEIRS[case.suffix]]
)
def test_a_strangers_file_stays(name: str, kind: str, shared: Path, capsys: Any) -> None:
    target = shared / f"target{FILES[name].suffix}"
    THEIRS[FILES[name].suffix][kind](target)
    for overwrite in (False, True):
        refused(FILES[name], target.name, "is a file of another kind", shared, capsys, overwrite)


def test_a_strangers_picture_in_the_folder_stays(tiny: Path, capsys: Any) -> None:
    assert run(PLOTS.split()) == 0
    picture = min(Path("o").iterdir())
    plotted(picture)
    before = state(picture)
    assert run([*PLOTS.split(), "--overwrite"]) == 2
    assert f"{picture}: is a file of another kind" in capsys.readouterr().err
    assert state(picture) == before


@pytest.mark.parametrize("line", SINGLE)
def test_a_damaged_file_of_ours_is_replaced_on_purpose_only(line: str, tiny: Path, capsys: Any) -> None:
    assert run(line.split()) in (0, 1)
    (output,) = tiny.glob("o.*")
    output.write_bytes(output.read_bytes()[:300])
    capsys.readouterr()
    assert run(line.split()) == 2
    assert "holds a damaged " in capsys.readouterr().err
    assert run([*line.split(), "--overwrite"]) in (0, 1)
    assert run(line.split()) in (0, 1)  # and is whole


# ---- what came while the command was at work ----

# Each line, and the first that is another run; pictures of one kind, since drawing takes seconds.
LINES = dict(row.values[:2] for row in reversed(ROWS) if not row.values[0].endswith((".svg", ".pdf")))


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, bytes], None]:
    """Put a file where a command's output will be, just before that gets its name."""
    flush = os.fsync

    def prepare(path: Path, content: bytes) -> None:
        def planting(handle: int) -> None:
            monkeypatch.setattr(os, "fsync", flush)
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            flush(handle)

        monkeypatch.setattr(os, "fsync", planting)

    return prepare


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("line", LINES)
def test_what_came_meanwhile_stays(line: str, more: list[str], tiny: Path, plant: Any, capsys: Any) -> None:
    assert run(LINES[line].split()) in (0, 1)
    (output,) = tiny.glob("o.*")
    others = output.read_bytes()
    output.unlink()
    for picture in tiny.glob("o-*"):
        picture.unlink()
    assert run(line.split()) in (0, 1)
    own = output.read_bytes()
    for content, words in ((b"# my notes", "is a file of another kind"), (others, "has changed since")):
        for there in (None, own):
            output.unlink() if there is None else output.write_bytes(there)
            plant(output, content)
            capsys.readouterr()
            assert run([*line.split(), *more]) == 2
            assert words in capsys.readouterr().err
            assert output.read_bytes() == content
            assert not [path for path in tiny.iterdir() if path.name.endswith(".tmp")]
    output.write_bytes(own)
    plant(output, own)  # the same command, twice at once
    assert run([*line.split(), *more]) in (0, 1), capsys.readouterr().err


def test_another_export_that_came_meanwhile_keeps_its_default_name(here: Path, plant: Any) -> None:
    path = Path("netx_exports/tiny-loihi-int4.net")
    command = ["--profile", "loihi-int4"]
    save_checkpoint(Path("b.pt"), random_checkpoint(seed=7))  # by the same name
    assert run(["compile", "b.pt", *command]) == 0
    others = path.read_bytes()
    path.unlink()
    plant(path, others)
    assert run(["compile", "ckpt.pt", *command]) == 0
    assert path.read_bytes() == others
    (own,) = set(path.parent.iterdir()) - {path}
    assert read_net(own).checkpoint["digest"] != read_net(path).checkpoint["digest"]
    assert read_net(own).program.digest() == read_net(Path("a.net")).program.digest()


KIND = json_kind("paper", lambda found: "paper" in found, lambda found: found[ORIGIN_KEY])


def write_one(path: Path, number: int, ready: Any, won: Any) -> None:
    check_output(path, KIND, {"number": number})
    ready.wait()
    try:
        write_text(path, json.dumps({"paper": 1, ORIGIN_KEY: {"number": number}}))
    except OutputError:
        return
    won.put(number)


def unsupported(*_: Any) -> None:
    raise OSError(errno.EPERM, "not on this file system")


@pytest.mark.parametrize("missing", [None, (os, "link"), (fcntl, "flock")])
def test_of_many_that_write_one_name_at_once_one_succeeds(
    missing: tuple[Any, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setattr(*missing, unsupported)
    context, path, writers = multiprocessing.get_context("fork"), tmp_path / "a", 6
    for _ in range(5):
        ready, won = context.Barrier(writers), context.SimpleQueue()
        processes = [
            context.Process(target=write_one, args=(path, number, ready, won)) for number in range(writers)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        winner = won.get()
        assert won.empty()
        assert json.loads(path.read_text())[ORIGIN_KEY] == {"number": winner}
        path.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_what_comes_at_the_last_moment_stays(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even of somebody who takes no turns."""
    path, link = tmp_path / "a", os.link if links else unsupported

    def late(*paths: Any) -> None:
        path.write_text("mine")
        link(*paths)

    monkeypatch.setattr(os, "link", late)
    check_output(path, KIND, {"number": 1})
    with pytest.raises(OutputError, match="is a file of another kind"):
        write_text(path, '{"paper": 1}')
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_between_two_looks_is_not_what_overwrite_meant(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for number in (1, 2):
        path.write_text(json.dumps({"paper": 1, ORIGIN_KEY: {"number": number}}))
        forget_watched()
        check_output(path, KIND, {"number": 3}, overwrite=True)  # what is there may go
        path.write_text(json.dumps({"paper": 1, ORIGIN_KEY: {"number": 1000}}))
        with pytest.raises(OutputError, match="has changed since this command began: it holds a paper of"):
            check_output(path, KIND, {"number": 3}, overwrite=True)


def test_a_name_may_be_written_again_and_what_was_looked_at_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    check_output(path, KIND, {"number": 1})
    for _ in range(2):
        write_text(path, '{"paper": 1}')
    path.write_text("mine")
    with pytest.raises(OutputError, match="is a file of another kind"):
        write_text(path, '{"paper": 1}')
    forget_watched()
    write_text(path, '{"paper": 1}')


# ---- runs on other data, and figures ----


@pytest.mark.parametrize("line", [SIMULATE, ANALYSE, SAMPLED])
def test_files_from_before_runs_named_their_frames(line: str, tiny: Path) -> None:
    assert run(line.split()) == 0
    content = json.loads(Path("o.json").read_text())
    del content[ORIGIN_KEY]["frames"]
    for picture in tiny.glob("o-*"):
        picture.unlink()
    Path("o.json").write_text(json.dumps(content))
    if line != SAMPLED:  # an inspection holds them nowhere else
        assert run([*line.split(), "--cache-dir", "b"]) == 2
    assert run([*line.split(), "--samples", "3"]) == 2
    assert run(line.split()) == 0


def test_a_picture_of_recordings_that_are_others_now_stays(tiny: Path, capsys: Any) -> None:
    line = COMPARE.format("png").split()
    assert run(line) in (0, 1)
    recording = next(Path("twin/Train").rglob("*.bin"))
    recording.write_bytes(recording.read_bytes()[:-5])
    before = Path("o.png").read_bytes()
    capsys.readouterr()
    assert run(line) == 2
    assert "holds a picture of recordings " in capsys.readouterr().err
    assert Path("o.png").read_bytes() == before
    assert run([*line, "--overwrite"]) in (0, 1)


def change(path: str, part: str, value: Any) -> None:
    values = json.loads(Path(path).read_text())
    values[part] = value
    Path(path).write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("profiles", {"loihi-int8": {"accuracy": 0.5}}),
        ("analysis", {"drop": {"levels": []}, "noise": None}),
        ("ablations", {"loihi-int8": {"rows": []}}),
    ],
)
def test_figures_are_not_lost_silently(part: str, value: Any, tiny: Path, capsys: Any) -> None:
    of_one = "runs/one/results.json"
    before = json.loads(Path(of_one).read_text())[part]
    change(of_one, part, {**before, **value})
    assert run(TABLES.split()) == 0
    change(of_one, part, before)
    capsys.readouterr()
    assert run(TABLES.split()) == 2
    name = next(iter(value))
    assert f"holds a JSON file of runs of figures one, {part} {name} (" in capsys.readouterr().err
    assert run([*TABLES.split(), "--overwrite"]) == 0
    change(of_one, part, {**before, **value})
    assert (run(TABLES.split()) == 0) == (part != "analysis")  # more is no loss, other figures of `drop` are


def test_timings_are_no_figures(tiny: Path) -> None:
    for seconds in (1.0, 2.0):
        change("runs/one/results.json", "profiles", {"int8": {"accuracy": 0.5, "fit": {"seconds": seconds}}})
        assert run(TABLES.split()) == 0


def test_runs_of_one_name_are_all_kept(tiny: Path, capsys: Any) -> None:
    write_run(Path("more"), "one", 8)
    assert run(["tables", "runs", "more", "-o", "o.json"]) == 0
    assert run(["tables", "runs", "-o", "o.json"]) == 2
    assert "(80000000)" in capsys.readouterr().err


# ---- trainings ----

TRAININGS = ("train --output", "finetune --output")
OF_A_TRAINING: dict[str, Callable[[Path], Any]] = {
    "metrics.jsonl": lambda path: path.write_text("my own metrics\n"),
    "metrics.jsonl ": lambda path: path.write_text('{"epoch": 1, "loss": 0.3}\n{"epoch": 2, "loss": 0.2}\n'),
    "resume.pt": saved,
    "resume.pt ": lambda path: path.write_text("to do"),
}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize("file", OF_A_TRAINING)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_leaves_a_users_files_alone(
    name: str, file: str, more: list[str], here: Path, capsys: Any
) -> None:
    (here / "t").mkdir()
    OF_A_TRAINING[file](here / "t" / file.strip())
    before = state(here)
    assert CASES[name]("t/ckpt.pt", *more) == 2
    assert f"t/{file.strip()}: is a file of another kind" in capsys.readouterr().err
    assert state(here) == before


def unfinished(files: RunFiles) -> None:
    line = {"epoch": 1, "surrogate_accuracy": 0.5, "hard_accuracy": 0.5, "hard_loss": 1.0, "seconds": 1.0}
    files.checkpoint.parent.mkdir(exist_ok=True)
    save_unfinished(files, Unfinished(epoch=1, history=[line]), {"epochs": 3})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize("name", TRAININGS)
def test_an_unfinished_training_of_another_name_stays(
    name: str, more: list[str], here: Path, capsys: Any
) -> None:
    unfinished(RunFiles(Path("t/first.pt")))
    before = state(here)
    assert CASES[name]("t/second.pt", *more) == 2
    assert "t/resume.pt: is the unfinished training of t/first.pt" in capsys.readouterr().err
    assert state(here) == before
    assert (CASES[name]("t/first.pt", *more) == 2) == (not more)  # its own


@pytest.mark.usefixtures("idle")
def test_an_unfinished_training_from_before_it_had_a_name_counts_as_ones_own(here: Path) -> None:
    unfinished(RunFiles(Path("t/first.pt")))
    values = torch.load("t/resume.pt", weights_only=True)
    del values["output"]
    torch.save(values, "t/resume.pt")
    assert CASES["train --output"]("t/second.pt") == 2
    assert CASES["train --output"]("t/second.pt", "--overwrite") not in (0, 2)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", TRAININGS)
def test_the_metrics_of_a_finished_training_stay(name: str, here: Path, capsys: Any) -> None:
    unfinished(RunFiles(Path("t/first.pt")))
    os.replace("t/resume.pt", "resume.pt")
    Path("t/first.pt").write_bytes(Path("ckpt.pt").read_bytes())
    before = state(here)
    assert CASES[name]("t/second.pt", "--overwrite") == 2
    assert "t/metrics.jsonl: is another training's" in capsys.readouterr().err
    assert state(here) == before
    assert CASES[name]("t/first.pt", "--overwrite") not in (0, 2)


def test_a_users_file_by_the_locks_name_stays(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    path.write_text("my lock")
    with pytest.raises(OutputError, match="is no lock of ours"), lock_folder(tmp_path):
        pass
    assert path.read_text() == "my lock"
    path.write_text("123 on host\n")  # a killed process left it
    with lock_folder(tmp_path), pytest.raises(BusyError), lock_folder(tmp_path):
        pass
