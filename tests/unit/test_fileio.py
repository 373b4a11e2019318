"""Outputs are refused before anything is computed, and never replace a file of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sast_deploy.checkpoint import save_checkpoint
from sast_deploy.cli import run
from sast_deploy.errors import OutputError
from sast_deploy.fileio import HDF5_MARK, check_output
from sast_deploy.progress import progress_bar, say
from tests.tinynets import random_checkpoint


def test_a_file_is_replaced_by_its_own_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    check_output(path, ".net file", HDF5_MARK)
    check_output(tmp_path / "new" / "deeper" / "a.net", ".net file", HDF5_MARK)
    path.write_bytes(HDF5_MARK + b"rest")
    check_output(path, ".net file", HDF5_MARK)
    path.write_bytes(b"")
    check_output(path, ".net file", HDF5_MARK)
    path.write_bytes(b"PK zip")
    with pytest.raises(OutputError, match=r"a\.net: is a file of another kind; choose another name"):
        check_output(path, ".net file", HDF5_MARK)
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, ".net file", HDF5_MARK)
    with pytest.raises(OutputError, match="a writable folder in place of"):
        check_output(path / "b.net", ".net file", HDF5_MARK)


@pytest.mark.parametrize(
    "command",
    [
        ["compile", "ckpt.pt", "-o"],
        ["analyse", "ckpt.pt", "-o"],
        ["tables", "runs", "--json"],
        ["inspect", "a.net", "--json"],
    ],
)
def test_no_command_replaces_a_checkpoint(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    save_checkpoint(Path("ckpt.pt"), random_checkpoint())
    before = Path("ckpt.pt").read_bytes()
    assert run([*command, "ckpt.pt"]) == 2
    assert "ckpt.pt: is a file of another kind" in capsys.readouterr().err
    assert Path("ckpt.pt").read_bytes() == before


def test_lines_stand_beside_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as bar:
        bar.add_task("training", total=3)
        say(bar, "epoch 1/3  loss 0.5 [best]")
    assert capsys.readouterr().err == "epoch 1/3  loss 0.5 [best]\n"
