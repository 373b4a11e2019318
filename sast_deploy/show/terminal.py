"""Progress as people see it: bars with the time left on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sast_deploy.base.progress import Observer
from sast_deploy.base.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    Bar = tuple[Progress, TaskID]


class Terminal(Observer):
    """Bars while tasks are under way, and lines above them; on stderr, or on the console given.

    console: of rich, for bars and lines; None for stderr. silent: asked at each task and line whether there
    shall be none.
    """

    def __init__(self, console: Console | None = None, silent: Callable[[], bool] = lambda: False) -> None:
        self._console, self._tasks, self._silent = console, 0, silent
        self._bars: Progress | None = None

    def begin(self, what: str, total: int | None) -> Bar | None:
        """A bar; the first one loads rich, which `--help` has no use for."""
        if self._silent():
            return None
        if self._bars is None:
            from sast_deploy.show.bars import progress_bar

            self._bars = progress_bar(self._console)
            self._bars.start()
        self._tasks += 1
        return self._bars, self._bars.add_task(what, total=total, text="")

    def advance(self, task: Bar | None, steps: int) -> None:
        """The bar grows."""
        if task is not None:
            task[0].advance(task[1], steps)

    def tell(self, task: Bar | None, text: str) -> None:
        """The text beside the bar."""
        if task is not None:
            task[0].update(task[1], text=text)

    def end(self, task: Bar | None) -> None:
        """The last bar stays as it is; one within another vanishes."""
        if task is None:
            return
        self._tasks -= 1
        if self._tasks:
            task[0].remove_task(task[1])
        else:
            task[0].stop()
            self._bars = None

    def say(self, line: str) -> None:
        """A line above the bars."""
        if self._silent():
            return
        console = self._console
        if console is None and self._bars is not None and not self._bars.disable:
            console = self._bars.console
        if console is None:
            print(printable(line), file=sys.stderr, flush=True)
        else:
            from rich.text import Text

            console.print(Text(printable(line)), soft_wrap=True)
