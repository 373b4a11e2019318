"""What is fastest is measured once, by one process, and asked for ever after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sast_deploy import doctor
from sast_deploy.base import measured
from sast_deploy.base.errors import UsageError
from sast_deploy.base.measured import answers, fastest, folder

QUESTION = "tests.sleep 3"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv(measured.VARIABLE, raising=False)
    monkeypatch.setattr(measured, "_known", {})
    monkeypatch.setattr(measured, "SECONDS", 0.02)


class Counted:
    """Takes so many milliseconds, and counts how often."""

    def __init__(self, milliseconds: float) -> None:
        self.milliseconds, self.calls = milliseconds, 0

    def __call__(self) -> None:
        self.calls += 1
        time.sleep(self.milliseconds / 1e3)


def slow_and_fast() -> dict[str, Counted]:
    return {"slow": Counted(6), "fast": Counted(1)}


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process."""
    monkeypatch.setattr(measured, "_known", {})


def test_the_fastest_is_measured_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first, later = slow_and_fast(), slow_and_fast()
    assert fastest(QUESTION, first) == "fast"
    assert first["slow"].calls >= 4
    assert fastest(QUESTION, later) == "fast"
    forget(monkeypatch)
    assert fastest(QUESTION, later) == "fast"
    assert later["slow"].calls == later["fast"].calls == 0
    (answer,) = answers()
    assert answer.question == QUESTION
    assert 0.0005 < answer.seconds["fast"] < answer.seconds["slow"]


@pytest.mark.parametrize(("second", "winner"), [(0.96, "one"), (0.94, "two")])
def test_a_near_tie_is_the_first_ones(second: float, winner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "time_all", lambda _: {"one": 1.0, "two": second})
    assert fastest(QUESTION, slow_and_fast()) == winner


@pytest.mark.parametrize("change", ["question", "code", "machine", "candidates"])
def test_what_the_answer_depends_on(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fastest(QUESTION, slow_and_fast())
    again: dict[str, Callable[[], object]] = {**slow_and_fast()}
    if change == "machine":
        monkeypatch.setattr(measured, "machine_digest", lambda: "another")
    if change == "candidates":
        again["third"] = Counted(2)
    fastest(QUESTION + "x" * (change == "question"), again, code="x" * (change == "code"))
    assert isinstance(again["slow"], Counted)
    assert again["slow"].calls
    kept = 1 if change == "code" else 2  # what older code took is of no use to anybody
    assert len(list(folder().iterdir())) == kept
    assert len(answers()) == (1 if change == "machine" else kept)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"fastest": "slow"}', "swapped"])
def test_a_damaged_answer_is_measured_again(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fastest(QUESTION, slow_and_fast())
    (path,) = folder().iterdir()
    good = json.loads(path.read_text())
    path.write_text(json.dumps({**good, "fastest": "gone"}) if content == "swapped" else content)
    forget(monkeypatch)
    assert answers() == []
    again = slow_and_fast()
    assert fastest(QUESTION, again) == "fast"
    assert again["slow"].calls
    assert json.loads(path.read_text())["fastest"] == "fast"


def test_where_nothing_can_be_written_memory_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path / "file"))
    first, later = slow_and_fast(), slow_and_fast()
    assert fastest(QUESTION, first) == fastest(QUESTION, later) == "fast"
    assert first["slow"].calls
    assert not later["slow"].calls
    monkeypatch.setattr(measured.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    monkeypatch.delenv("SAST_CACHE_DIR")
    forget(monkeypatch)
    assert fastest(QUESTION, slow_and_fast()) == "fast"


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = slow_and_fast()
    monkeypatch.setenv(measured.VARIABLE, "another.topic=x tests.sleep=slow")
    assert fastest(QUESTION, candidates) == "slow"
    assert not candidates["slow"].calls
    assert not folder().exists()
    monkeypatch.setenv(measured.VARIABLE, "tests.sleep=none")
    with pytest.raises(UsageError, match=r"SAST_FASTEST: 'none' for 'tests.sleep 3'; expected slow or fast"):
        fastest(QUESTION, candidates)


def test_what_a_candidate_raises_is_raised_and_nothing_is_kept() -> None:
    def broken() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        fastest(QUESTION, {"good": lambda: None, "broken": broken})
    assert answers() == []


@pytest.mark.slow
def test_many_processes_get_one_answer(tmp_path: Path) -> None:
    """Each would prefer another candidate: what the first to measure found is what all say."""
    script = (
        "import sys, time\n"
        "from sast_deploy.base.measured import fastest\n"
        "mine = sys.argv[1]\n"
        "seconds = {name: 0.001 if name == mine else 0.01 for name in 'abc'}\n"
        "print(fastest('tests.race', {n: lambda s=s: time.sleep(s) for n, s in seconds.items()}))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, mine], stdout=subprocess.PIPE, text=True)
        for mine in "abc"
    ]
    said = {process.communicate()[0] for process in started}
    assert all(process.returncode == 0 for process in started)
    assert len(said) == 1
    assert len(list(folder().iterdir())) == 1


def test_the_doctor_lists_what_was_measured() -> None:
    assert list(doctor._measured()) == []
    fastest(QUESTION, slow_and_fast())
    (check,) = doctor._measured()
    assert check.ok
    assert check.name == f"fastest: {QUESTION}"
    assert check.found.startswith("fast (slow ")


def test_the_doctor_passes_over_what_asks_nothing_and_names_what_decides_nothing(monkeypatch) -> None:
    fastest(QUESTION, slow_and_fast())
    (kept,) = folder().iterdir()
    for blank in ("", "   "):
        (folder() / f"blank{len(blank)}.json").write_text(kept.read_text().replace(QUESTION, blank))
    monkeypatch.setenv(measured.VARIABLE, "tests.sleep=fast tests.slep=fast tests.sleep")
    first, second, answer = doctor._measured()
    assert (first.ok, second.ok, answer.ok) == (False, False, True)
    assert first.found == "'tests.slep=fast' names no question that was asked here"
    assert second.found == "'tests.sleep' names no question that was asked here"
