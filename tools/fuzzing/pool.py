"""Forked workers that read inputs within limits, and a parent that notices how they die or hang."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import signal
import struct
import time
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.fuzzing.inputs import Input, Place, Target, clear, make
from tools.fuzzing.judge import blame
from tools.fuzzing.seeds import Seeds
from tools.fuzzing.targets import TARGETS, warm_training, warm_up
from tools.fuzzing.values import Rng
from tools.fuzzing.watch import Watch, limit

SECONDS = 5.0  # that an input may take
STARVED = 30.0  # where the machine is busy with others: so long in all, as long as it computes less than that
STATE = struct.Struct("<qdq1000s")  # number, when it was begun, 1 while it is read, what it is
POLL = 0.1


@dataclass(frozen=True)
class Task:
    """An input by its name: the same one everywhere. only: see `make`."""

    target: str
    seed: int
    number: int
    only: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Finding:
    """What became of an input.

    verdict: refused, accepted, unmade, failed. kind: of a failure, else "". seconds: of processor time.
    """

    task: Task
    verdict: str
    kind: str
    labels: tuple[str, ...]
    detail: str
    seconds: float


def generators(task: Task) -> list[Rng]:
    """For the choice of the seed and, one each, for one to three mutations."""
    base = (task.seed, zlib.crc32(task.target.encode()), task.number)
    choice = np.random.default_rng((*base, 0))
    count = 1 + int(choice.random() < 0.35) + int(choice.random() < 0.15)
    return [np.random.default_rng((*base, index)) for index in range(count + 1)]


def try_input(target: Target, task: Task, place: Place, watch: Watch, state: _State) -> Finding:
    """Make and read one input."""
    rngs = generators(task)
    state.begin(task.number, reading=False)
    made = make(target, rngs, place, task.only)
    state.begin(task.number, reading=True, labels=(made.seed, *made.labels))
    start, detail, kind, verdict = time.process_time(), "", "", "failed"
    with watch.on() as violations:
        try:
            verdict = target.probe(rngs[0], made, place)
        except (Exception, KeyboardInterrupt) as error:
            found = blame(error)
            kind, detail = found.kind, found.detail
    kind, detail = _more(target, made, verdict, kind, detail, violations)
    labels = (made.seed, *made.labels)
    return Finding(
        task, "failed" if kind else verdict, kind, labels, _ends(detail), time.process_time() - start
    )


def _ends(detail: str) -> str:
    return detail if len(detail) < 3000 else f"{detail[:1000]} ... {detail[-2000:]}"


def _more(
    target: Target, made: Input, verdict: str, kind: str, detail: str, violations: list[str]
) -> tuple[str, str]:
    """What else is wrong with an answer."""
    if target.names_files:
        violations = [each for each in violations if not each.startswith("opens ")]
    if violations:
        return sorted(violations)[0], "\n".join(violations)
    if not kind and made.forbidden and verdict != "refused" and not target.rebuilds:
        return f"accepted: {made.forbidden}", detail
    strays = os.listdir(".")
    if strays:
        for name in strays:
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
        return kind or f"leaves {strays[0]} in the current folder", detail
    return kind, detail


class _State:
    """What a worker is doing, in memory that the parent sees."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, STATE.size)

    def begin(self, number: int, *, reading: bool, labels: tuple[str, ...] = ()) -> None:
        about = json.dumps([label[:100] for label in labels]).encode()
        about = about if len(about) < 1000 else b"[]"
        self.memory[: STATE.size] = STATE.pack(number, time.monotonic(), int(reading), about)

    def read(self) -> tuple[int, float, int, tuple[str, ...]]:
        number, since, reading, about = STATE.unpack(self.memory[: STATE.size])
        try:
            labels = tuple(json.loads(about.rstrip(b"\0") or b"[]"))
        except ValueError:  # it is being written
            labels = ()
        return number, since, reading, labels


class Worker:
    """A child process that works through tasks; started again behind one that killed it."""

    def __init__(self, index: int, base: Path, seeds: Seeds, tasks: list[Task]) -> None:
        self.place = Place(base, base / f"worker-{index}", seeds)
        self.results = base / f"results-{index}.jsonl"
        self.tasks, self.next, self.state, self.found = tasks, 0, _State(), list[Finding]()
        self.process, self.restarts, self.idle, self.since = 0, 0, 0, (-1, 0.0)

    def start(self) -> None:
        """Fork."""
        self.state.begin(-1, reading=False)
        self.process = os.fork()
        if self.process == 0:
            code = 1
            try:
                self._work()
                code = 0
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)

    def _work(self) -> None:
        cwd = self.place.folder / "cwd"
        cwd.mkdir(parents=True, exist_ok=True)
        os.chdir(cwd)
        os.environ["SAST_CACHE_DIR"] = str(self.place.folder / "cache")
        _own_cache(self.place)
        clear(self.place)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        log = os.open(self.place.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        secrets = (self.place.base / "secret.raw", self.place.base / "secret.h5")
        if any(task.target == "resume" for task in self.tasks[self.next :]):
            warm_training(self.place)
        kernels = Path(os.environ["NUMBA_CACHE_DIR"])
        known = (self.place.folder, self.place.base / "data", self.place.base / "cache", kernels)
        watch = Watch(known, secrets)
        limit()
        with open(self.results, "a", encoding="utf-8") as file:
            for task in self.tasks[self.next :]:
                target = TARGETS[task.target]
                clear(self.place)
                _own_cache(self.place)
                found = try_input(target, task, self.place, watch, self.state)
                file.write(json.dumps(_plain(found)) + "\n")
                file.flush()
                self.state.begin(-1, reading=False)

    def collect(self) -> None:
        """Take in what the child has written since."""
        if not self.results.exists():
            return
        with open(self.results, encoding="utf-8") as file:
            lines = file.readlines()
        fresh = [_finding(json.loads(line)) for line in lines if line.endswith("\n")]
        self.found = fresh
        self.next = len(fresh)

    def check(self) -> bool:
        """Whether there is more to do; kills a child that hangs, and starts another one."""
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if not ended:
            if self._hangs():
                os.kill(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
                self._died(f"hangs over {SECONDS:g} s")
            return self.process != 0
        if os.waitstatus_to_exitcode(status) == 0:
            self.collect()
            return False
        code = os.waitstatus_to_exitcode(status)
        self._died(
            f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code} of the process"
        )
        return self.process != 0

    def _hangs(self) -> bool:
        number, since, _, _ = self.state.read()
        passed = time.monotonic() - since
        if number < 0 or passed < SECONDS:
            self.idle = 0
            return False
        self.idle = 0 if self._runs() else self.idle + 1
        return passed > STARVED or self._busy() > 0.8 * SECONDS or self.idle > 10

    def _busy(self) -> float:
        """Seconds of processor time since this was asked first for the input under way."""
        number = self.state.read()[0]
        used = sum(map(int, _stat(f"/proc/{self.process}/stat")[11:13])) / os.sysconf("SC_CLK_TCK")
        if self.since[0] != number:
            self.since = (number, used)
        return used - self.since[1]

    def _runs(self) -> bool:
        """Whether any of its threads computes, or waits for the disk or a processor."""
        tasks = f"/proc/{self.process}/task"
        with contextlib.suppress(OSError):  # threads end
            return any(_stat(f"{tasks}/{each}/stat")[0] in "RD" for each in os.listdir(tasks))
        return True

    def _died(self, how: str) -> None:
        self.collect()
        number, _, reading, labels = self.state.read()
        self.restarts += 1
        if number < 0 or self.restarts > 2000:
            log = (self.place.folder / "log.txt").read_text(errors="replace")
            raise RuntimeError(f"a worker {how} before its first input or between two:\n{log[-3000:]}")
        task = self.tasks[self.next]
        detail = "" if reading else "while the input was being made"
        # What kills the library that makes an input says nothing of its readers.
        found = Finding(
            task, "failed" if reading else "unmade", how if reading else "", labels, detail, SECONDS
        )
        with open(self.results, "a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(found)) + "\n")
        self.collect()
        self.process = 0
        if self.next < len(self.tasks):
            self.start()


def _stat(path: str) -> list[str]:
    """The fields of a process or thread from its state on."""
    return Path(path).read_text().rpartition(")")[2].split()


def _own_cache(place: Place) -> None:
    """The worker's cache of frames, as it was at the start."""
    target = place.folder / "cache"
    if not target.exists():
        shutil.copytree(place.base / "cache", target)


def _plain(found: Finding) -> list[Any]:
    task = found.task
    only = None if task.only is None else list(task.only)
    return [
        [task.target, task.seed, task.number, only],
        found.verdict,
        found.kind,
        list(found.labels),
        found.detail,
        round(found.seconds, 4),
    ]


def _finding(values: list[Any]) -> Finding:
    (target, seed, number, only), verdict, kind, labels, detail, seconds = values
    task = Task(target, seed, number, None if only is None else tuple(only))
    return Finding(task, verdict, kind, tuple(labels), detail, seconds)


def run_tasks(tasks: list[Task], base: Path, seeds: Seeds, jobs: int, until: float) -> Iterator[None]:
    """Work through `tasks` in `jobs` processes; yields now and then. `findings` tells what was found."""
    _warm(base, seeds)
    workers = [Worker(i, base, seeds, tasks[i::jobs]) for i in range(jobs)]
    for worker in workers:
        worker.results.unlink(missing_ok=True)
        if worker.tasks:
            worker.start()
    active = [worker for worker in workers if worker.tasks]
    while active:
        time.sleep(POLL)
        active = [worker for worker in active if worker.check()]
        if time.monotonic() > until:
            for worker in active:
                os.kill(worker.process, signal.SIGKILL)
                os.waitpid(worker.process, 0)
            break
        yield
    for worker in workers:
        worker.collect()


def _warm(base: Path, seeds: Seeds) -> None:
    """What every worker needs, before they are forked."""
    place = Place(base, base / "worker-main", seeds)
    (place.folder / "cwd").mkdir(parents=True, exist_ok=True)
    os.chdir(place.folder / "cwd")
    os.environ["SAST_CACHE_DIR"] = str(base / "cache")
    clear(place)
    warm_up(place)


def findings(base: Path) -> list[Finding]:
    """What became of all inputs."""
    found = []
    for path in sorted(base.glob("results-*.jsonl")):
        found += [_finding(json.loads(line)) for line in path.read_text().splitlines()]
    return found
