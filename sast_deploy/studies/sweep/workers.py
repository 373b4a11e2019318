"""Worker processes on this machine: each keeps to its own processors and outlives neither us nor its run.

Not loky or Ray: when one worker is killed, loky's pool breaks and all its runs fail, and its workers outlive
a parent that is killed; Ray starts a cluster, and neither streams a run's stages or says how a worker died.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from sast_deploy.base.children import child_environment, python_command, stops_held
from sast_deploy.studies.sweep.jobs import FAILED, STAGE, Event, Job

WORKER = "sast_deploy.studies.sweep.worker"


class LocalWorkers:
    """`jobs` processes that share the processors this one may use, each with one thread per processor."""

    def __init__(self, jobs: int) -> None:
        self._slots = [_Slot(share) for share in shares(sorted(os.sched_getaffinity(0)), jobs)]

    def free(self) -> int:
        """How many more jobs can start now."""
        return sum(not slot.run for slot in self._slots)

    def start(self, job: Job) -> None:
        """Hand a job to a free process."""
        next(slot for slot in self._slots if not slot.run).start(job)

    def poll(self, seconds: float) -> list[Event]:
        """What the processes said, or that one died."""
        working = {slot.child.connection: slot for slot in self._slots if slot.run and slot.child}
        ready = wait(list(working), seconds)
        return [slot.news() for connection, slot in working.items() if connection in ready]

    def close(self) -> None:
        """End the processes; what they were training continues from its last finished epoch."""
        for slot in self._slots:
            slot.end()


@dataclass(frozen=True)
class _Child:
    """A process and our end of the pipe to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


class _Slot:
    """One worker process, started when it is first needed and again after it died."""

    def __init__(self, processors: list[int]) -> None:
        self.processors = processors
        self.run = ""  # the name of the run that it is at work on
        self.child: _Child | None = None

    def start(self, job: Job) -> None:
        if self.child is None:
            with stops_held():
                self.child = _launch(self.processors)
        self.run = job.run.name
        # A process that died in the meantime is found by `news`: its end of the pipe is closed.
        with contextlib.suppress(BrokenPipeError):
            self.child.connection.send(job)

    def news(self) -> Event:
        """The next event; that the process died, if it did."""
        if self.child is None:
            raise ValueError("no process to hear of")
        try:
            event: Event = self.child.connection.recv()
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.process.wait(5)
            code = self.child.process.returncode
            reason = "killed; out of memory?" if code == -signal.SIGKILL else f"exit code {code}"
            event = Event(self.run, FAILED, f"its process died ({reason})")
            self.end()
        if event.kind != STAGE:
            self.run = ""
        return event

    def end(self) -> None:
        if self.child is not None:
            self.child.process.kill()
            self.child.process.wait()
            self.child.connection.close()
        self.child = None


def _launch(processors: list[int]) -> _Child:
    ours, theirs = multiprocessing.Pipe()
    # Ctrl-C goes to every process of a terminal; it is we who end the workers, so they inherit it blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            python_command(WORKER, str(theirs.fileno()), ",".join(map(str, processors))),
            env=child_environment(threads=len(processors)),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return _Child(process, ours)


def shares(processors: list[int], jobs: int) -> list[list[int]]:
    """The processors of each of `jobs` workers: dealt out in turn, one each where there are fewer."""
    if jobs > len(processors):
        return [[processors[job % len(processors)]] for job in range(jobs)]
    return [processors[job::jobs] for job in range(jobs)]
