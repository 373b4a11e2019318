"""No child is lost: not one that a stop finds while it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sast_deploy.base.children import STOPS, stops_held
from sast_deploy.engines.lava.supervisor import Limits, Watch
from sast_deploy.studies.sweep.jobs import Job
from sast_deploy.studies.sweep.workers import LocalWorkers


@pytest.fixture(autouse=True)
def as_the_command_line_has_it() -> Any:
    before = {stop: signal.signal(stop, signal.default_int_handler) for stop in STOPS}
    yield
    for stop, handler in before.items():
        signal.signal(stop, handler)


def run_lava(folder: Path) -> None:
    for _ in Watch("sast_deploy.engines.lava.selfcheck", folder, 1, Limits()):
        raise AssertionError("the stop was lost")


def run_worker(folder: Path) -> None:
    workers = LocalWorkers(1)
    try:
        workers.start(Job.__new__(Job))
        raise AssertionError("the stop was lost")
    finally:
        workers.close()


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("run", [run_lava, run_worker])
def test_a_stop_while_a_child_starts(
    run: Callable[[Path], None], stop: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    class Stopped(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            children.append(self)
            os.kill(os.getpid(), stop)

    monkeypatch.setattr(subprocess, "Popen", Stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert [child.returncode for child in children] == [-signal.SIGKILL]
    assert signal.getsignal(stop) is signal.default_int_handler


def test_a_block_without_a_stop_changes_nothing() -> None:
    before = [signal.getsignal(stop) for stop in STOPS]
    with stops_held():
        assert [signal.getsignal(stop) for stop in STOPS] != before
    assert [signal.getsignal(stop) for stop in STOPS] == before


def test_stops_are_of_no_concern_to_other_threads() -> None:
    seen: list[object] = []

    def body() -> None:
        with stops_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
