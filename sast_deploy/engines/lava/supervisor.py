"""Start a Lava child process, watch its heartbeat, and leave nothing of it behind.

Lava can hang for ever: where an actor dies, where a process model raises, where memory is short. So it
runs in a fresh interpreter and process group of its own, and whatever happens the whole group is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sast_deploy.base.children import child_environment, python_command, stops_held
from sast_deploy.base.errors import LavaError
from sast_deploy.engines.lava.shared import create_shared, open_shared

POLL_SECONDS = 0.02
# Imports and compilation take a second, or far longer on a busy machine with a cold disk.
START_SECONDS = 60.0
STOP_SECONDS = 5.0
# Killed processes vanish within milliseconds, or stay as zombies where a container reaps none.
END_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """stall: seconds without a heartbeat once Lava runs; total: seconds in all, None for no limit."""

    stall: float = 120.0
    total: float | None = None


@dataclass(frozen=True, eq=False)
class Watch:
    """The samples of a run as they finish, 0, 1, 2, ...; iterating starts and supervises the child.

    module: what the child runs, on `run_dir`. lanes: networks that it runs side by side. Iterating raises
    LavaError: Lava is missing, died or hung.
    """

    module: str
    run_dir: Path
    samples: int
    limits: Limits
    lanes: int = 1

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[int]:
        heartbeat = self.run_dir / "heartbeat.npy"
        create_shared(heartbeat, np.int64, (2, self.lanes))
        beats = open_shared(heartbeat, writable=True)
        child = None
        try:
            with stops_held():
                child = _start(self.module, self.run_dir)
            yield from self._finished_samples(child.pid, beats)
            if not _complete(beats):
                raise_failure(self.run_dir, _exit_status(child.pid, block=True))
        finally:
            if child is not None:
                _end(child)

    def _finished_samples(self, pid: int, beats: np.ndarray) -> Iterator[int]:
        """beats: finished time steps (counted from 1 once Lava runs) and all time steps, of every lane."""
        shown, last, began = 0, (0, 0), time.monotonic()
        beat_at = began
        while True:
            exited = _exit_status(pid, block=False) is not None
            now = (int(beats[0].sum()), int(beats[1].sum()))
            if now != last:
                last, beat_at = now, time.monotonic()
            finished = self.samples * now[0] // now[1] if now[1] else 0
            yield from range(shown, finished)
            shown = max(shown, finished)
            # A complete run has written all its results; Lava may still hang while it ends.
            if exited or (_complete(beats) and time.monotonic() - beat_at > STOP_SECONDS):
                return
            if not _complete(beats):
                self._check_time(began, beat_at, now)
            time.sleep(POLL_SECONDS)

    def _check_time(self, began: float, beat_at: float, now: tuple[int, int]) -> None:
        running = now[1] > 0
        stage = f"after {now[0]} of {now[1]} time steps" if running else "while it was starting"
        stall = self.limits.stall if running else max(self.limits.stall, START_SECONDS)
        if time.monotonic() - beat_at > stall:
            raise LavaError(
                f"Lava made no progress for {stall:g} s {stage} and was killed",
                todo="check free memory and `df -h /dev/shm`, or allow a longer stall",
            )
        if self.limits.total is not None and time.monotonic() - began > self.limits.total:
            raise LavaError(
                f"Lava did not finish within {self.limits.total:g} s ({stage}) and was killed",
                todo="allow more time or run fewer samples",
            )


def _complete(beats: np.ndarray) -> bool:
    return bool(((beats[1] > 0) & (beats[0] >= beats[1])).all())


def _start(module: str, run_dir: Path) -> subprocess.Popen[bytes]:
    with open(run_dir / "output.txt", "wb") as output:
        return subprocess.Popen(
            python_command(module, str(run_dir), str(os.getpid())),
            cwd=run_dir,
            # More threads would spin while other actors have work: 10,000 samples took twice as long.
            env=child_environment(threads=1),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _exit_status(pid: int, block: bool) -> int | None:
    """Exit code, or -signal, of the child without reaping it: until then its group number stays its own."""
    options = os.WEXITED | os.WNOWAIT | (0 if block else os.WNOHANG)
    result = os.waitid(os.P_PID, pid, options)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the child's process group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            os.killpg(child.pid, 0)
            time.sleep(POLL_SECONDS / 10)


def raise_failure(run_dir: Path, status: int | None) -> None:
    """Raise what made the child fail; nothing after a good end."""
    report = run_dir / "error.json"
    if report.is_file():
        raise LavaError(**json.loads(report.read_text(encoding="utf-8")))
    if status == 0:
        return
    how = f"killed by {signal.Signals(-status).name}" if status and status < 0 else f"exit code {status}"
    lines = (run_dir / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise LavaError(f"Lava died ({how})" + (f": {lines[-1]}" if lines else ""), todo="check free memory")
