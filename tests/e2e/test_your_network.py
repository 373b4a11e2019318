"""docs/your-network.md as somebody follows it: its script, its description, its commands, in their order."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sast_deploy as sast
from sast_deploy.base.children import child_environment
from sast_deploy.cli import run
from tests.e2e.conftest import write_bands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-network.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
LINES = re.findall(r"^ {4}(\S.*)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE)


def follow(folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, more: dict[str, list[str]]) -> str:
    """Run the page's lines in a folder that has `recordings`; what train.py printed."""
    monkeypatch.chdir(folder)
    for name, content in FILES.items():
        Path(name).write_text(content)
    said = ""
    for line in LINES:
        words = shlex.split(line)
        if words[0] == "python":
            words = [sys.executable, *words[1:-1], str(epochs)]
            done = subprocess.run(words, env=child_environment(), capture_output=True, text=True, check=True)
            said = done.stdout
        elif words[0] == "sast-deploy":
            kind = "calibrate" if "--calibrate" in words else words[1]
            assert run([*words[1:], *more.get(kind, [])]) == 0, line
    return said


def accuracies(path: str, capsys: pytest.CaptureFixture[str]) -> tuple[float, float]:
    """(float, integers) of a network's own test split, on the fast engine."""
    assert run(["simulate", path, "--backend", "fast", "--report", f"{path}.json"]) == 0
    capsys.readouterr()
    report = json.loads(Path(f"{path}.json").read_text())
    return report["training"]["metrics"]["test"]["hard"], report["accuracy"]["value"]


def test_the_page_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of the page as they are, but Lava, on recordings of three classes made here."""
    assert set(FILES) == {"train.py", "net.toml"}
    assert [line.split()[1] for line in LINES if line.startswith("sast-deploy")] == [
        "import", "compile", "compile", "simulate", "verify", "evaluate", "analyse", "inspect",
    ]  # fmt: skip
    write_bands(tmp_path / "made", train=20, test=1)
    (tmp_path / "made" / "Train").rename(tmp_path / "recordings")
    fast = ["--backend", "fast"]
    quick = {"simulate": fast, "verify": [*fast, "--samples", "2"]}
    quick |= {"calibrate": ["--calibrate-steps", "search"]}
    said = follow(tmp_path, monkeypatch, 40, quick)
    right, total = map(int, re.findall(r"\d+", said)[:2])
    assert right > total / 2
    assert "no smooth spikes to compare with" in capsys.readouterr().out  # evaluate's, the last command
    measured = sast.load_network("net.h5").metrics["test"]
    assert (measured["samples"], measured["hard"]) == (total, pytest.approx(right / total))
    real, integers = accuracies("net8.net", capsys)
    assert real == pytest.approx(right / total)
    assert abs(real - integers) <= 1 / total


def test_on_real_recordings_int8_is_within_half_a_point(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recordings").symlink_to(shared_data / "nmnist_6789" / "Train")
    fast = ["--backend", "fast"]
    quick = {"simulate": fast, "verify": [*fast, "--samples", "2"], "analyse": ["--samples", "200"]}
    said = follow(tmp_path, monkeypatch, 4, quick)
    right, total = map(int, re.findall(r"\d+", said)[:2])
    assert total == 1200
    for path in ("net8.net", "net4.net"):
        real, integers = accuracies(path, capsys)
        assert real == pytest.approx(right / total)
        assert abs(real - integers) <= 0.005
