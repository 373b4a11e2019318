"""Completion as the shells ask for it: through the environment, of the words so far; light and fast."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from sast_deploy.cli import cli, run
from sast_deploy.commands.completing import DATASETS, MOST_LEVELS, PROGRAM, SHELLS, VARIABLE, complete
from sast_deploy.data.readers.sources import NAMES
from sast_deploy.engines import ENGINE_NAMES
from sast_deploy.program.profile import profile_names
from tests.commandlines import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "torch", "h5py", "lava", "rich", "numba", "tonic")


@pytest.fixture
def offered(monkeypatch, capsys):
    """What bash is offered for the words so far, the last of which is being typed."""

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv(VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join((PROGRAM, *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert complete(cli) == 0
        found = capsys.readouterr()
        assert found.err == ""
        return [line.partition(",")[2] for line in found.out.splitlines() if line.startswith("plain,")]

    return ask


def test_every_command_and_its_options_are_offered(offered):
    assert set(offered("")) == set(cli.commands)
    for name, command in COMMANDS.items():
        *group, last = name.split()
        assert last in offered(*group, last[:2])
        options = {max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)}
        assert options <= {*offered(*name.split(), "--")}, name


def test_names_of_profiles_engines_data_sets_and_recipes_are_offered(offered):
    for command in ("compile", "finetune", "import"):
        assert offered(command, "x", "--profile", "") == list(profile_names())
    assert offered("compile", "x", "--profile", "loihi-int") == [
        name for name in profile_names() if name.startswith("loihi-int")
    ]
    assert offered("simulate", "a.net", "--backend", "") == list(ENGINE_NAMES)
    assert offered("train", "--recipe", "best") == ["best", "best-conv"]
    for words in (("train", "--dataset"), ("sweep", "s.toml", "--data"), ("compile", "x", "--calibrate")):
        assert offered(*words, "n") == ["nmnist", "nmnist-simulated"]


def test_the_data_sets_are_those_that_there_are():
    assert tuple(name.removesuffix("<ClassName>").removesuffix("PATH") for name in NAMES) == DATASETS


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("inspect",), ".net"), (("verify",), ".net"), (("simulate",), ".net"), (("trace",), ".net"),
        (("compare", "a.net"), ".net"), (("classify",), ".net"), (("compile",), ".pt"),
        (("evaluate",), ".pt"), (("finetune",), ".pt"), (("analyse", "a.pt"), ".pt"), (("sweep",), ".toml"),
        (("characterize",), ".toml"),
    ],
)  # fmt: skip
def test_files_of_the_right_kind_are_offered_some_folders_deep(offered, tmp_path, monkeypatch, words, ending):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "runs/first/b", ".hidden/c", "runs/.d", "/".join("x" * (MOST_LEVELS + 1)) + "/e"):
        for end in (".net", ".pt", ".toml"):
            (tmp_path / f"{name}{end}").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{name}{end}").touch()
    assert offered(*words, "") == [f"a{ending}", f"runs/first/b{ending}"]
    assert offered(*words, "ru") == [f"runs/first/b{ending}"]
    assert offered(*words, "runs/.") == [f"runs/.d{ending}"]
    assert offered(*words, f"{tmp_path}/runs/f") == [f"{tmp_path}/runs/first/b{ending}"]
    assert offered(*words, "nowhere/") == []  # the shell looks by itself


@pytest.mark.slow
def test_completion_imports_nothing_heavy_and_takes_no_time():
    """Also of profiles, whose names are read from a folder."""
    script = (
        "import os, runpy, sys, time\n"
        "try:\n"
        "    runpy.run_module('sast_deploy', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('LOADED', *(name for name in {HEAVY} if name in sys.modules), time.process_time())\n"
    )
    words = {"COMP_WORDS": f"{PROGRAM} compile x --profile ", "COMP_CWORD": "4", VARIABLE: "bash_complete"}
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **words}, cwd=ROOT, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        *lines, last = done.stdout.splitlines()
        assert [line.partition(",")[2] for line in lines] == list(profile_names())
        said, took = last.rsplit(" ", 1)
        assert said == "LOADED"
        seconds.append(float(took))
    assert min(seconds) < 0.6  # 0.2 where nothing else runs


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell, capsys):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in script
    assert PROGRAM in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script(tmp_path, capsys):
    """The function of the script, called as readline calls it."""
    assert run(["completion", "bash"]) == 0
    program = tmp_path / PROGRAM
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sast_deploy "$@"\n')
    program.chmod(0o755)
    script = capsys.readouterr().out + (
        f'\nCOMP_WORDS=({PROGRAM} compile x --profile "loihi-int"); COMP_CWORD=4\n'
        f'_sast_deploy_completion {PROGRAM}; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == [name for name in profile_names() if name.startswith("loihi-int")]
