"""What a sweep tells of itself: its runs as tasks, each with its epochs, and a line for each that ends."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from sast_deploy.base.errors import DataError
from sast_deploy.base.progress import Task, say, task
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.studies.sweep.jobs import BUSY, FAILED, FINISHED, Event
from sast_deploy.studies.sweep.study import Run
from sast_deploy.training.state import METRICS_BYTES

METRICS = Expected("a training's lines", DataError)


class Display:
    """Counts the runs and follows those at work, whose epochs it reads from their metrics.jsonl.

    runs: those to do. before: how many others were finished before.
    """

    def __init__(self, runs: Iterable[Run], folder: Path, before: int = 0) -> None:
        self.folder, self.before = folder, before
        self.todo = {run.name: run for run in runs}
        self.done: dict[str, str] = {}  # name -> FINISHED or FAILED
        self.start = time.monotonic()
        self.begun = {name: self._epochs(name) for name in self.todo}
        self.working: dict[str, _Run] = {}
        self._tasks = ExitStack()

    def __enter__(self) -> Display:
        if self.todo:
            self.all = self._tasks.enter_context(task("runs", self.before + len(self.todo)))
            self.all.advance(self.before)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.working.values():
            each.stack.close()
        self._tasks.close()

    def started(self, name: str) -> None:
        """A run goes to a worker."""
        self.working[name] = _Run(name, self.todo[name].recipe.recipe.epochs)

    def show(self, event: Event) -> None:
        """An event: a stage on its bar; an end as a line that stays."""
        if event.kind in (FINISHED, FAILED, BUSY):
            if event.run in self.working:
                self.working.pop(event.run).stack.close()
        elif event.run in self.working:
            self.working[event.run].task.tell(event.text)
        if event.kind in (FINISHED, FAILED):
            self.done[event.run] = event.kind
            self.all.advance(event.kind == FINISHED)
            number = f"{len(self.done)}/{len(self.todo)}"
            left = f"  (left {self._left()})" if len(self.done) < len(self.todo) else ""
            say(f"{number} {event.kind} {event.run}: {event.text}{left}")

    def refresh(self) -> None:
        """Read how far the trainings are."""
        for name, each in self.working.items():
            each.reach(self._epochs(name))
        failed = sum(kind == FAILED for kind in self.done.values())
        left = f", left {self._left()}" if len(self.done) < len(self.todo) else ""
        self.all.tell(f"{len(self.working)} at work{f', {failed} FAILED' if failed else ''}{left}")

    def _epochs(self, name: str) -> int:
        """Finished epochs of a run."""
        try:
            path = self.folder / name / "metrics.jsonl"
            return read_bytes(path, METRICS, METRICS_BYTES).count(b"\n")
        except DataError:
            return 0

    def _left(self) -> str:
        """Time left, if the remaining passes over the data take as long each as those of this session."""
        whole = done = 0.0
        for name, run in self.todo.items():
            recipe = run.recipe.recipe
            weight = run.passes / recipe.epochs
            whole += weight * (recipe.epochs - self.begun[name]) + 1
            epochs = recipe.epochs if name in self.done else self._epochs(name)
            done += weight * (epochs - self.begun[name]) + (name in self.done)
        if done <= 0:
            return "?"
        seconds = round((time.monotonic() - self.start) * (whole - done) / done)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


class _Run:
    """A run at work, as a task of its epochs."""

    def __init__(self, name: str, epochs: int) -> None:
        self.stack, self.epochs = ExitStack(), 0
        self.task: Task = self.stack.enter_context(task(f"  {name}", epochs))

    def reach(self, epochs: int) -> None:
        self.task.advance(epochs - self.epochs)
        self.epochs = epochs
