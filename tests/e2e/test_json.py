"""What machines read: with --json one document on standard output and nothing else, as its schema says."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sast_deploy import __version__, cli
from sast_deploy.base.errors import Exit
from tests.commandlines import COMMANDS, make_folder, working
from tests.stockfiles import dense, write_stock
from tools.schemas import schemas

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in schemas().items()}
OWN = "simulate own.net --backend fast --input own.npy"
ANALYSE = "analyse ckpt.pt --data-root bands -o out/d.json"
# What the working lines leave out.
MORE = {
    "simulate, own frames": f"{OWN} --labels labels.npy -o out/a.npz",
    "simulate, no labels": f"{OWN} --check none --report out/unlabelled.json",
    "simulate, stock": "simulate theirs.net --input theirs.npy -o out/b.npz",
    "compile, calibrated": "compile ckpt.pt --calibrate nmnist --data-root bands -o out/c.net",
    "inspect, samples": "inspect own.net --samples 3 --data-root bands",
    "inspect, stock": "inspect theirs.net",
    "inspect, suggest": "inspect own.net --suggest --chip loihi1 --data-root bands",
    "inspect, other chip": "inspect own.net --chip loihi2",
    "cost, other chip": "cost own.net --chip loihi2 --data-root bands",
    "cost, own frames": "cost own.net --table horowitz-45nm --input own.npy",
    "report, several": "report own.net other.net --data-root bands -o out/several.html",
    "report, own frames": "report own.net --chip loihi2 --input own.npy -o out/own.html",
    "verify, known answers": "verify own.net --known-answers-only --backend fast",
    "analyse, all": f"{ANALYSE} twin/second.pt",
    "analyse, contraction": f"{ANALYSE} --parts contraction,thresholds,noise",
    "sweep, dry": "sweep study.toml --data-root bands -o out/s --dry-run",
    "tables, markdown": "tables swept --markdown --plots out/plots",
    "data info, files": "data info bands/Test/0/00001.bin bad.bin --skip-bad",
    "data info, folder": "data info --dataset folder:bands",
    "compare, other": "compare own.net other.net --data-root bands",
    "completion": "completion fish",
    "train, again": "train --dataset nmnist --data-root bands --epochs 1 --resume -o out/train/ckpt.pt",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(chain: Path, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("json") / "files", chain, bands)
    rng = np.random.default_rng(0)
    write_stock(folder / "theirs.net", [dense(rng.integers(-50, 51, (4, 6)), iDecay=1024)])
    np.save(folder / "theirs.npy", rng.integers(0, 2, (2, 5, 6)))
    np.save(folder / "own.npy", rng.integers(0, 3, (3, 10, 2, 34, 34)).astype(np.uint8))
    np.save(folder / "labels.npy", np.array([0, 1, 2]))
    shutil.copy(chain / "netx_exports/sast-loihi-int8.net", folder / "other.net")
    (folder / "bad.bin").write_bytes(b"")
    (folder / "twin").mkdir()
    assert cli.run(["train", *TWIN, "-o", str(folder / "twin" / "second.pt"), "--data-root", str(bands)]) == 0
    return folder


TWIN = ["--dataset", "nmnist", "--recipe", "paper", "--epochs", "1", "--batch", "8", "--seed", "3"]


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(files)
    for name in ("out", "runs"):
        shutil.rmtree(name, ignore_errors=True)
    return files


def document(text: str) -> dict[str, Any]:
    """The one document that a text is, valid. Raises ValueError for NaN and infinity."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    assert text.endswith("\n")
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    name = found["schema"].removeprefix("sast-deploy/")
    assert list(found)[:3] == ["schema", "version", "sast_deploy"]
    assert (found["version"], found["sast_deploy"]) == (1, __version__)
    problems = [f"{list(each.path)}: {each.message[:300]}" for each in VALIDATORS[name].iter_errors(found)]
    assert not problems, problems
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_with_one_document(name: str, here: Path, capfd: Any) -> None:
    code = cli.run([*working(name), "--json", "-q"])
    printed = capfd.readouterr()
    assert code in (Exit.OK, Exit.CHECK_FAILED), printed
    assert document(printed.out)["schema"] == f"sast-deploy/{name.replace(' ', '-')}"
    assert printed.err == ""


@pytest.mark.parametrize("name", MORE)
def test_every_kind_of_answer_is_as_its_schema_says(name: str, here: Path, capfd: Any) -> None:
    line = MORE[name].split()
    if name == "train, again":
        assert cli.run([word for word in line if word != "--resume"]) == 0
        capfd.readouterr()
    code = cli.run([*line, "--json"])
    printed = capfd.readouterr()
    assert code in (Exit.OK, Exit.CHECK_FAILED), printed
    command = "-".join(word for word in line[:2] if word in ("data", "info", line[0]))
    assert document(printed.out)["schema"] == f"sast-deploy/{command}"


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_prints_nothing(name: str, here: Path, capfd: Any) -> None:
    assert cli.run([*working(name), "--quiet"]) in (Exit.OK, Exit.CHECK_FAILED)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_is_a_document_and_one_line(name: str, here: Path, capfd: Any) -> None:
    code = cli.run([*working(name), "--no-such-option", "--json", "-q"])
    printed = capfd.readouterr()
    found = document(printed.out)
    assert (found["schema"], found["error"]["exit_code"], code) == ("sast-deploy/error", 2, Exit.BAD_INPUT)
    assert found["command"] == name.replace(" ", "-")
    assert printed.err == f"error: {found['error']['message']}\n"


def test_errors_keep_their_parts(here: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run(["compile", "ckpt.pt", "--profile", "loihi-int5", "--json"]) == Exit.BAD_INPUT
    found = document(capfd.readouterr().out)["error"]
    assert (found["kind"], found["where"]) == ("ProfileError", "loihi-int5")
    assert found["what"] == "no profile of this name"
    assert "loihi-int4" in found["expected"]
    monkeypatch.setattr("sast_deploy.doctor.diagnose", lambda: 1 / 0)
    assert cli.run(["doctor", "--json"]) == Exit.INTERNAL
    found = document(capfd.readouterr().out)["error"]
    assert (found["kind"], found["exit_code"], found["where"]) == ("ZeroDivisionError", 70, None)
    assert cli.run(["nonsense", "--json"]) == Exit.BAD_INPUT
    assert document(capfd.readouterr().out)["command"] is None


def test_classify_answers_line_by_line(here: Path, capfd: Any) -> None:
    words = ["classify", "own.net", "bands/Test/0/00001.bin", "bad.bin", "bands/Test/1/00001.bin"]
    assert cli.run([*words, "--skip-bad", "--json"]) == 0
    lines = capfd.readouterr().out.splitlines(keepends=True)
    found = [document(line) for line in lines]
    assert [each["error"] is None for each in found] == [True, False, True]
    assert found[0]["label"] in "0123456789"
    assert cli.run([*words, "--json"]) == Exit.BAD_INPUT
    *before, last = capfd.readouterr().out.splitlines(keepends=True)
    assert [document(line)["schema"] for line in before] == ["sast-deploy/classify"]
    assert document(last)["schema"] == "sast-deploy/error"


def test_what_a_library_prints_does_not_reach_standard_output(
    here: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sast_deploy import api

    right = api.inspect

    def chatty(*values: Any, **options: Any) -> Any:
        print("noise")
        return right(*values, **options)

    monkeypatch.setattr(api, "inspect", chatty)
    assert cli.run(["inspect", "own.net", "--json"]) == 0
    printed = capfd.readouterr()
    assert document(printed.out)["schema"] == "sast-deploy/inspect"
    assert printed.err == "noise\n"


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_progress_goes_to_stderr_on_a_terminal_and_in_a_pipe(here: Path, more: list[str]) -> None:
    words = [*working("train"), "--overwrite", *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sast_deploy", *words]
    piped = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # Linux says so where the other end is closed
            pass
        assert child.stdout is not None
        out = child.stdout.read().decode()
    os.close(ours)
    assert child.returncode == 0
    for text, told in ((piped.stdout, piped.stderr), (out, shown.decode())):
        assert "epoch 1/1" in told
        assert "epoch 1/1" not in text
        if more:
            assert document(text)["checkpoint"] == "out/train/ckpt.pt"


@pytest.mark.parametrize(
    ("line", "todo"),
    [
        ("inspect own.net --json out/facts.json", "-o out/facts.json writes that file"),
        ("tables swept --json out/runs.json", "-o out/runs.json writes that file"),
    ],
)
def test_a_file_behind_json_is_told_what_to_write_now(line: str, todo: str, here: Path, capfd: Any) -> None:
    assert cli.run(line.split()) == Exit.BAD_INPUT
    assert todo in capfd.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("line", ["inspect own.net --json -", "tables swept --json -"])
def test_json_to_a_dash_is_standard_output_as_ever(line: str, here: Path, capfd: Any) -> None:
    assert cli.run(line.split()) == 0
    assert document(capfd.readouterr().out)


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_examples_of_the_page_work(language: str, here: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)
    if language == "sh" and shutil.which("jq") is None:
        pytest.skip("needs jq")
    program = tmp_path / "sast-deploy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sast_deploy "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-euo", "pipefail", "-c", block] if language == "sh" else [sys.executable, "-c", block]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if language == "python":
        assert done.stdout.startswith("True ")
    else:
        layers, share = done.stdout.splitlines()
        assert layers == "layer 0 (dense), layer 1 (dense), layer 2 (readout)"
        assert 0.0 <= float(share) <= 1.0
