"""What a person sees of a sweep: bars with the time left on a terminal, one line per event when piped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn
from rich.text import Text

from sast_deploy.base.errors import DataError
from sast_deploy.base.progress import Words
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.text import printable
from sast_deploy.studies.sweep.jobs import BUSY, FAILED, FINISHED, Event
from sast_deploy.studies.sweep.study import Run
from sast_deploy.training.state import METRICS_BYTES

METRICS = Expected("a training's lines", DataError)


class Display:
    """Counts the runs and shows those at work, each with its epochs, read from its metrics.jsonl.

    runs: those to do. before: how many others were finished before.
    """

    def __init__(self, runs: Iterable[Run], folder: Path, console: Console, before: int = 0) -> None:
        self.folder, self.console, self.before = folder, console, before
        self.todo = {run.name: run for run in runs}
        self.done: dict[str, str] = {}  # name -> FINISHED or FAILED
        self.start = time.monotonic()
        self.begun = {name: self._epochs(name) for name in self.todo}
        self.working: dict[str, TaskID] = {}
        self.bars = Progress(
            Words("  {task.description}"), BarColumn(30), Words("{task.fields[stage]}"),
            TimeElapsedColumn(), console=console,
        )  # fmt: skip
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=2)

    def __enter__(self) -> Display:
        if self.console.is_terminal and self.todo:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def started(self, name: str) -> None:
        """A run goes to a worker."""
        epochs = self.todo[name].recipe.recipe.epochs
        self.working[name] = self.bars.add_task(name, total=epochs, stage="")

    def show(self, event: Event) -> None:
        """An event: a stage on its bar; an end as a line that stays."""
        if event.kind in (FINISHED, FAILED, BUSY):
            task = self.working.pop(event.run, None)
            if task is not None:
                self.bars.remove_task(task)
        elif event.run in self.working:
            self.bars.update(self.working[event.run], stage=event.text)
        if event.kind in (FINISHED, FAILED):
            self.done[event.run] = event.kind
            number = f"{len(self.done)}/{len(self.todo)}"
            left = f"  (left {self._left()})" if len(self.done) < len(self.todo) else ""
            style = "red" if event.kind == FAILED else ""
            line = f"{number} {event.kind} {event.run}: {event.text}{left}"
            self.console.print(Text(printable(line), style=style), soft_wrap=True)

    def refresh(self) -> None:
        """Read how far the trainings are."""
        if self.console.is_terminal:
            for name, task in self.working.items():
                self.bars.update(task, completed=self._epochs(name))

    def _epochs(self, name: str) -> int:
        """Finished epochs of a run."""
        try:
            path = self.folder / name / "metrics.jsonl"
            return read_bytes(path, METRICS, METRICS_BYTES).count(b"\n")
        except DataError:
            return 0

    def _render(self) -> Group:
        failed = sum(kind == FAILED for kind in self.done.values())
        finished, runs = self.before + len(self.done) - failed, self.before + len(self.todo)
        parts = [f"{finished} of {runs} runs finished, {len(self.working)} running"]
        if failed:
            parts.append(f"{failed} FAILED")
        if len(self.done) < len(self.todo):
            parts.append(f"left {self._left()}")
        return Group(Text(", ".join(parts), style="bold"), self.bars)

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
