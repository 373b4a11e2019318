"""Every path that a command reads, given as what it is not: refused at once, in one line, exit code 2."""

from __future__ import annotations

import os
import shutil
import signal

import click
import numpy as np
import pytest

from sast_deploy.cli import cli, run
from tests.stockfiles import dense, integrator, write_stock

SECONDS = 20  # for a machine that is busy; a pipe that is waited for takes for ever
WRITTEN = {"output", "report", "json_path", "raw", "plots", "cache_dir"}  # outputs: guarded, not read
STUDY = '[study]\nname = "s"\n[[grid]]\ndata = "nmnist-simulated"\n'
# A right value for each path of which another one is tested.
RIGHT = {
    "checkpoint": "runs/sast/ckpt.pt", "checkpoints": "runs/sast/ckpt.pt", "net": "stock.net",
    "study": "study.toml", "runs": "runs", "real": "bands", "mnist_dir": "bands", "output": "out.png",
    "to": "c",
}  # fmt: skip
KINDS = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path.name),
    "lfs": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello\n"),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 9),
}


def commands(group, words=()):
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def paths():
    """(words of the command, parameter) of every path that is read, a profile's among them."""
    for words, command in commands(cli):
        for parameter in command.params:
            is_path = isinstance(parameter.type, click.Path) and parameter.name not in WRITTEN
            if is_path or ".toml" in (getattr(parameter, "help", "") or ""):
                yield words, command, parameter


CASES = list(paths())


def test_the_paths_are_found():
    found = {(*words, parameter.name) for words, _, parameter in CASES}
    assert {("compile", "checkpoint"), ("compile", "profile_name"), ("sweep", "study")} <= found
    assert {("simulate", "input_path"), ("data", "compare", "real"), ("tables", "runs")} <= found


@pytest.fixture
def work(chain, bands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(chain / "runs", "runs")
    (tmp_path / "bands").symlink_to(bands)
    (tmp_path / "study.toml").write_text(STUDY)
    write_stock(tmp_path / "stock.net", [dense(np.ones((3, 4), int)), integrator(np.ones((2, 3), int))])
    return tmp_path


def arguments(words, command, wrong):
    """The command line with `wrong` in its place, and right values where others are required."""
    found = list(words)
    for parameter in command.params:
        if parameter is wrong or (parameter.required and parameter.name in RIGHT):
            value = "odd.toml" if parameter is wrong else RIGHT[parameter.name]
            found += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    if wrong.name == "data_root" and any(each.name == "dataset" for each in command.params):
        found += ["--dataset", "nmnist-simulated"]
    if wrong.name == "input_path":
        found.insert(1, RIGHT["net"])
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("words", "command", "wrong"), CASES, ids=[f"{'-'.join(w)}-{p.name}" for w, _, p in CASES]
)
def test_what_is_no_such_file_is_refused_at_once(work, capsys, words, command, wrong, kind):
    def waits(_number, _frame):
        raise AssertionError("it waits")

    KINDS[kind](work / "odd.toml")
    before = sorted(work.rglob("*"))
    monitor = signal.signal(signal.SIGALRM, waits)
    signal.alarm(SECONDS)
    try:
        code = run(arguments(words, command, wrong))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, monitor)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("sast-deploy: ")]
    assert code == 2, lines
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert sorted(work.rglob("*")) == before
