"""Worker processes on this machine: each keeps to its own processors and outlives neither us nor its run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sast_deploy.sweep.jobs import FAILED, STAGE, Event, Job

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


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

    process: BaseProcess
    connection: Connection


class _Slot:
    """One worker process, started when it is first needed and again after it died."""

    def __init__(self, processors: list[int]) -> None:
        self.processors = processors
        self.run = ""  # the name of the run that it is at work on
        self.child: _Child | None = None

    def start(self, job: Job) -> None:
        if self.child is None:
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
            self.child.process.join(5)
            code = self.child.process.exitcode
            reason = "killed; out of memory?" if code == -signal.SIGKILL else f"exit code {code}"
            event = Event(self.run, FAILED, f"its process died ({reason})")
            self.end()
        if event.kind != STAGE:
            self.run = ""
        return event

    def end(self) -> None:
        if self.child is not None:
            self.child.process.kill()
            self.child.process.join()
            self.child.connection.close()
        self.child = None


def _launch(processors: list[int]) -> _Child:
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads' locks of torch
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, processors), daemon=True, name="sweep worker")
    with _environment({name: str(len(processors)) for name in _THREADS}):
        process.start()
    theirs.close()
    return _Child(process, ours)


def serve(connection: Connection, processors: list[int]) -> None:
    """A worker's life: jobs come in, events go out, until the parent closes the connection or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    os.sched_setaffinity(0, processors)
    _die_with_parent()
    from sast_deploy.sweep.execute import execute

    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        name = job.run.name

        def report(stage: str, name: str = name) -> None:
            connection.send(Event(name, STAGE, stage))

        kind, text = execute(job.run, job.runs, check=job.check, device=job.device, report=report)
        connection.send(Event(name, kind, text))


def shares(processors: list[int], jobs: int) -> list[list[int]]:
    """The processors of each of `jobs` workers: dealt out in turn, one each where there are fewer."""
    if jobs > len(processors):
        return [[processors[job % len(processors)]] for job in range(jobs)]
    return [processors[job::jobs] for job in range(jobs)]


def _die_with_parent() -> None:
    """End this process at once when the parent ends, even by SIGKILL: a run left alone would stay locked."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes started within; numeric libraries read them as they load."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
