"""Bad input at the command line: one line on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sast_deploy.cli import run
from sast_deploy.netx.file import read_net, sast_digest
from sast_deploy.training.state import RunFiles

pytestmark = pytest.mark.slow


@pytest.fixture
def work(chain, tmp_path, monkeypatch):
    """A copy of the chain's files to damage."""
    shutil.copytree(chain / "runs/sast", tmp_path / "runs/sast")
    shutil.copytree(chain / "netx_exports", tmp_path / "netx_exports")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(arguments, capsys, code=2):
    """The one line that a failing command prints."""
    assert run(arguments) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("sast-deploy: downloading ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("command", ["inspect", "simulate", "verify"])
@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: np.save(path, 3)],
)  # fmt: skip
def test_what_is_no_net_is_not_to_be_compiled_again(command, make, work, capsys):
    make(work / "a.npy")
    said = complaint([command, "a.npy"], capsys)
    assert "again" not in said
    assert said.endswith("`sast-deploy compile CHECKPOINT` writes one")


@pytest.mark.parametrize("words", [["sweep"], ["compile", "runs/sast/ckpt.pt", "--profile"]])
def test_a_large_file_of_another_kind_is_named_before_its_size(words, work, capsys):
    with open(work / "runs/sast/ckpt.pt", "ab") as file:
        file.write(bytes(2 << 20))
    path = shutil.copy(work / "runs/sast/ckpt.pt", work / "a.toml")
    said = complaint([*words, str(path)], capsys)
    assert "bytes" not in said
    assert "archive" in said or "checkpoint" in said


def test_a_folder_whose_name_is_no_utf8(work, capsys):
    folder = work / "tr\udcff"
    shutil.move(work / "runs/sast", folder)
    values = torch.load(folder / "ckpt.pt", weights_only=True)
    torch.save({**values, "name": folder.name}, folder / "ckpt.pt")  # as yesterday's version did
    assert RunFiles(folder / "ckpt.pt").name == "tr\\udcff"
    assert run(["compile", str(folder / "ckpt.pt"), "-o", "a.net"]) == 0
    assert read_net(Path("a.net")).program.name.startswith("tr\\udcff")
    assert run(["compile", str(folder / "ckpt.pt")]) == 0
    capsys.readouterr()


class RunsCode:
    """A pickle of this would create a file when loaded."""

    def __reduce__(self):
        return (open, ("owned", "w"))


def resave(change):
    def damage(path):
        values = torch.load(path, weights_only=True)
        change(values)
        torch.save(values, path)

    return damage


def poison(value):
    def change(values):
        next(iter(values["state"].values())).view(-1)[5] = value

    return change


@pytest.mark.parametrize("command", [["compile"], ["evaluate"]])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.write_bytes(p.read_bytes()[:5000]), "is truncated or damaged"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_text("no checkpoint"), "is a text; expected a sast-deploy-checkpoint file"),
        (lambda p: torch.save({"weights": torch.ones(3)}, p), "is a torch file of some other kind"),
        (lambda p: torch.save(RunsCode(), p), "holds objects that could run code, and was not loaded"),
        (lambda p: p.write_bytes(pickle.dumps(RunsCode())), "is a pickle, which could run code"),
        (resave(lambda v: v.update(version=99)), "version 99; expected 1 or older; update sast-deploy"),
        (resave(poison(float("nan"))), "NaN or infinite"),
        (resave(poison(float("inf"))), "NaN or infinite"),
    ],
)  # fmt: skip
def test_checkpoints(work, capsys, command, damage, message):
    path = work / "runs/sast/ckpt.pt"
    damage(path)
    before = sorted(work.rglob("*"))
    line = complaint([*command, "runs/sast/ckpt.pt"], capsys)
    assert message in line
    assert "runs/sast/ckpt.pt" in line
    assert sorted(work.rglob("*")) == before
    assert not (work / "owned").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "runs/sast/ckpt.pt", "--profile", "loihi-int44"], "did you mean loihi-int4?"),
        (
            ["compile", "runs/sast/ckpt.pt", "--profile", "bad.toml"],
            "unknown key state.bit; expected state.bits",
        ),
        (["compile", "runs/sast/ckpt.pt", "-o", "runs/sast"], "is a folder"),
        (["compile", "runs/sast/ckpt.pt", "-o", "runs/sast/ckpt.pt/a.net"], "cannot be written"),
        (["compile", "runs/sast/ckpt.pt", "-o", "/proc/a.net"], "cannot be written"),
        (["compile"], "Missing argument 'CHECKPOINT'"),
        (["comple", "x"], "No such command 'comple'"),
        (["simulate", "nowhere.net"], "nowhere.net: no such file"),
        (["simulate", "truncated.net"], "is truncated: the end of the file is missing"),
        (["simulate", "text.net"], "text.net: is a text; expected a .net file"),
        (["simulate", "--check", "some"], "--check some; expected a number of samples, all or none"),
        (["simulate", "--check", "²"], "--check ²; expected a number of samples, all or none"),
        (["simulate", "--samples", "0"], "Invalid value for '--samples'"),
        (["simulate", "--stall", "0"], "Invalid value for '--stall'"),
        (["train", "--seed", "99999999999999999999"], "Invalid value for '--seed'"),
        (["data", "simulate", "--mnist-dir", "x", "-o", "y", "--seed", "-1"], "Invalid value for '--seed'"),
        (["simulate", "--batch", "0"], "Invalid value for '--batch'"),
        (["simulate", "--data-root", "empty"], "empty: nmnist is not here, and is not downloaded"),
        (["train", "--rho", "-1"], "rho = -1"),
        (["train", "--recipe", "worst"], "'worst' is not one of 'paper', 'best', 'best-conv'"),
        (["train", "--set", "drop"], "--set drop; expected KEY=VALUE"),
        (["train", "--set", "drip=1"], "no such value: drip"),
        (["train", "--clip", "0"], "clip = 0"),
        (["train", "--encoding", "binary", "--clip", "3"], "--clip with --encoding binary: frames hold 0"),
        (
            ["train", "--dataset", "nmist", "-o", "new.pt"],
            "unknown data set 'nmist'; expected one of auto, nmnist",
        ),
        (
            ["train", "--dataset", "tonic:NMNITS", "-o", "new.pt"],
            "tonic has no data set 'NMNITS'; expected NMNIST or ",
        ),
        (["train", "--device", "tpu", "-o", "new.pt"], "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        (["train", "--validation", "1.5", "-o", "new.pt"], "Invalid value for '--validation'"),
        (["train", "-o", "runs/sast/ckpt.pt"], "runs/sast/ckpt.pt: exists already; replace it with"),
        (["data", "compare", "--real", "x"], "exactly one of them"),
        (["data", "simulate", "--mnist-dir", "empty", "-o", "out"], "empty: train-images-idx3-ubyte[.gz]"),
    ],
)
def test_arguments_and_files(work, capsys, arguments, message, bands, monkeypatch):
    if "--data-root" not in arguments:
        monkeypatch.setenv("SAST_DATA_ROOT", str(bands))
    net = work / "netx_exports/sast-loihi-int4.net"
    (work / "truncated.net").write_bytes(net.read_bytes()[:10_000])
    (work / "text.net").write_text("hello")
    (work / "empty").mkdir()
    from sast_deploy.program.profile import load_profile

    (work / "bad.toml").write_text(load_profile("loihi-int4").text.replace("[state]\nbits", "[state]\nbit"))
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    assert message in complaint(arguments, capsys)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes() + b"\x00"), "divisible by 5"),
        (lambda p: p.write_bytes(b""), "no events"),
        (lambda p: p.write_bytes(bytes([40, 3, 0, 0, 1])), "event 0 has x = 40; expected 0 to 33"),
        (lambda p: p.write_bytes(bytes([3, 3, 0, 0, 9, 3, 3, 0, 0, 1])), "backwards"),
    ],
)
def test_event_files(work, bands, capsys, damage, message):
    shutil.copytree(bands, work / "data")
    damaged = work / "data/Train/2/00003.bin"
    damage(damaged)
    line = complaint(["train", "--dataset", "nmnist", "-o", "runs/new/ckpt.pt"], capsys)
    assert "Train/2/00003.bin" in line
    assert message in line
    assert not (work / "runs/new").exists()


def test_no_samples_at_all(work, capsys):
    (work / "data/Train/3").mkdir(parents=True)
    line = complaint(["train", "--dataset", "nmnist", "-o", "runs/new/ckpt.pt"], capsys)
    assert "data/Train: has no .bin files; expected Train/<digit>/<number>.bin" in line


def test_a_full_disk_keeps_the_old_export(work, capsys, monkeypatch):
    import os

    net = work / "netx_exports/sast-loihi-int4.net"
    before = net.read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    line = complaint(["compile", "runs/sast/ckpt.pt", "--profile", "loihi-int4"], capsys)
    assert "No space left on device" in line
    assert net.read_bytes() == before
    assert not list(work.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sast/data", b"{}", "no data set belongs to it"),
        ("sast/frames", b'{"steps": 0}', "does not say what data it is for (frame options: steps = 0"),
        ("sast/profile", b"x", "is not valid TOML"),
    ],
)
def test_nets_that_do_not_say_what_they_are(work, capsys, name, value, message):
    net = "netx_exports/sast-loihi-int4.net"
    with h5py.File(net, "r+") as file:
        del file[name]
        file[name] = np.bytes_(value)
        del file["sast/digest"]
        file["sast/digest"] = np.bytes_(sast_digest(file["sast"]).encode())
    line = complaint(["simulate", net], capsys)
    assert net in line
    assert message in line


def test_no_exports_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "netx_exports: holds no .net file" in complaint(["simulate"], capsys)


def test_debug_shows_the_traceback():
    arguments = ["-m", "sast_deploy", "compile", "nowhere.pt", "--debug"]
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=checkout
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: nowhere.pt: no such file")


def test_an_internal_error_is_one_line_too(capsys, monkeypatch):
    from sast_deploy.base.reading.files import NET

    def broken(_path):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("sast_deploy.api.read_net", broken)
    for module in ("sast_deploy.api", "sast_deploy.base.reading.files"):
        monkeypatch.setattr(f"{module}.identify", lambda _path, _expected: NET)
    line = complaint(["simulate", "x.net"], capsys, code=70)
    assert (
        line
        == "error: internal error, ZeroDivisionError: division by zero; run again with --debug and report it"
    )


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_no_command_shows_the_help(arguments, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: sast-deploy")
    assert ("\nCommands:\n" if arguments else "\nDecide:\n") in shown


def test_debug_may_stand_before_the_command(capsys):
    for arguments in (["--debug", "simulate", "x.net"], ["data", "--debug", "compare", "--real", "x"]):
        assert run(arguments) == 2
        assert "Traceback" in capsys.readouterr().err
        assert run([word for word in arguments if word != "--debug"]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_output_that_nobody_can_write():
    checkout = Path(__file__).parents[2]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sast_deploy", "compile", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=checkout,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output: cannot be written: No space left on device\n",
    )
