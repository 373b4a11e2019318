"""An export's folder: whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import CompileError, OutputError, UsageError
from sast_deploy.exchange import DEVICE_NAMES, TARGET_NAMES
from sast_deploy.exchange.folder import MANIFEST
from sast_deploy.exchange.rtl.write import NO_DEVICE
from sast_deploy.exchange.subject import Subject
from sast_deploy.exchange.targets import TARGETS, export_program
from sast_deploy.rtl.budget import DEVICES
from tests.programs import fc_program
from tests.stockfiles import dense, image, integers, write_stock


@pytest.fixture
def subject() -> Subject:
    return Subject(fc_program(np.random.default_rng(0)))


def content(folder: Path) -> dict[str, bytes]:
    """Of every file below a folder, by its name there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("target", TARGETS)
def test_all_is_written_with_a_manifest(target: str, subject: Subject, tmp_path: Path) -> None:
    export = export_program(subject, tmp_path / "a" / "b", target, {})
    found = content(tmp_path / "a" / "b")
    manifest = json.loads(found.pop(MANIFEST))
    assert found == dict(export.artefacts.files)
    assert set(manifest["files"]) == set(found)
    assert manifest["made_from"]["program"] == subject.program.digest()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"], "nothing is left beside it"


def test_the_same_is_written_again_and_what_make_made_goes(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_program(subject, folder, "c", {})
    before = content(folder)
    (folder / "sast_net.o").write_bytes(b"object")
    export_program(subject, folder, "c", {"main": "known"})
    assert content(folder) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_somebody_elses_stays(overwrite: bool, subject: Subject, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("my notes")
    with pytest.raises(OutputError, match=r"mine: holds notes.txt and is no export of ours; name a new"):
        export_program(subject, mine, "c", {}, overwrite)
    assert content(mine) == {"notes.txt": b"my notes"}
    folder = tmp_path / "out"
    export_program(subject, folder, "c", {})
    (folder / "firmware.c").write_text("my firmware")
    before = content(folder)
    with pytest.raises(OutputError, match=r"holds firmware\.c, which no export wrote"):
        export_program(subject, folder, "c", {}, overwrite)
    assert content(folder) == before


def test_another_export_and_altered_files_need_overwrite(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_program(subject, folder, "c", {})
    with pytest.raises(OutputError, match=r"holds the export of network fc, .* this one: .*target mem"):
        export_program(subject, folder, "mem", {})
    (folder / "sast_net.c").write_text("improved by hand")
    with pytest.raises(OutputError, match=r"sast_net\.c was altered since the export"):
        export_program(subject, folder, "c", {})
    export_program(subject, folder, "mem", {}, overwrite=True)
    assert set(content(folder)) >= {"params.vh", MANIFEST}
    assert "sast_net.c" not in content(folder)


def test_nothing_is_written_where_it_cannot_be_expressed(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_subject: Subject) -> None:
        raise CompileError("layer 0 (dense): too wide")

    monkeypatch.setitem(TARGETS, "mem", replace(TARGETS["mem"], write=refuse))
    with pytest.raises(CompileError, match="too wide"):
        export_program(subject, tmp_path / "out", "mem", {})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    export_program(subject, folder, "mem", {})
    before, rename = content(folder), os.rename

    def fail(source: Path, target: Path) -> None:
        if Path(target) == folder and (Path(source) / "sast_net.c").exists():
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        export_program(subject, folder, "c", {}, overwrite=True)
    monkeypatch.undo()
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


DAMAGED = ["", "{", "[]", "{}", '{"files": {}, "made_from": 3}', '{"files": [], "made_from": {}}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_manifest_is_named(text: str, subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / MANIFEST).write_text(text)
    with pytest.raises(OutputError, match=MANIFEST):
        export_program(subject, folder, "c", {}, overwrite=True)
    assert content(folder) == {MANIFEST: text.encode()}


def test_a_link_in_place_of_a_file_is_no_file_of_ours(subject: Subject, tmp_path: Path) -> None:
    folder, mine = tmp_path / "out", tmp_path / "mine"
    export_program(subject, folder, "npz", {})
    mine.write_bytes((folder / "run.py").read_bytes())
    (folder / "run.py").unlink()
    (folder / "run.py").symlink_to(mine)
    with pytest.raises(OutputError, match=r"run\.py was altered"):
        export_program(subject, folder, "npz", {})


def test_a_file_is_no_folder(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is no folder"):
        export_program(subject, tmp_path / "out", "c", {}, overwrite=True)


def test_an_empty_folder_and_a_link_to_one(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    export_program(subject, tmp_path / "link", "npz", {})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "run.py").is_file()


def test_options_are_those_of_the_target(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="main is for c, not for mem; leave it out"):
        export_program(subject, tmp_path / "out", "mem", {"main": "known"})
    with pytest.raises(UsageError, match="main = 'both'; expected one of known, stdin"):
        export_program(subject, tmp_path / "out", "c", {"main": "both"})
    with pytest.raises(UsageError, match="to = 'vhdl'; expected one of nir, c, mem, npz, rtl"):
        export_program(subject, tmp_path / "out", "vhdl", {})
    assert list(tmp_path.iterdir()) == []


def test_the_command_knows_every_target_and_device() -> None:
    assert tuple(TARGETS) == TARGET_NAMES
    assert (NO_DEVICE, *DEVICES) == DEVICE_NAMES


def test_folders_in_an_export_hold_nobody_elses_files(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_program(subject, folder, "rtl", {})
    before = content(folder)
    (folder / "build").mkdir()
    (folder / "build" / "icarus").write_bytes(b"what make test made")
    export_program(subject, folder, "rtl", {})
    assert content(folder) == before
    (folder / "sv" / "mine.sv").write_text("module mine; endmodule")
    for target in ("rtl", "c"):
        with pytest.raises(OutputError, match=r"holds sv/mine\.sv, which no export wrote"):
            export_program(subject, folder, target, {}, overwrite=True)
    (folder / "sv" / "mine.sv").unlink()
    (folder / "mem" / "layer0_weights.mem").write_text("0\n")
    with pytest.raises(OutputError, match=r"mem/layer0_weights\.mem was altered since the export"):
        export_program(subject, folder, "rtl", {})


def test_a_strangers_network_needs_its_use(tmp_path: Path) -> None:
    path, rng = tmp_path / "theirs.net", np.random.default_rng(0)
    write_stock(path, [image(2, 3, 3), dense(integers(rng, 30, 4, 18), vThMant=20)])
    net = sast.load(path)
    with pytest.raises(UsageError, match=r"does not say how it is used; stock = sast\.StockUse"):
        sast.export(net, tmp_path / "out", to="c")
    made = sast.export(net, tmp_path / "out", to="npz", stock=sast.StockUse(steps=6, message_bits=3))
    assert made.target == "npz"
    with np.load(tmp_path / "out" / "network.npz") as arrays:
        assert arrays["known_frames"].shape[1:] == (6, 2, 3, 3)
        assert arrays["known_frames"].max() > 1
    layers = [sast.FloatDense([[1.0]], leak=0.5)]
    ours = sast.compile(sast.FloatNetwork(layers, 1, steps=2))
    with pytest.raises(UsageError, match="stock is for stock NetX files"):
        sast.export(ours, tmp_path / "ours", to="c", stock=sast.StockUse())
