"""Progress as people see it: bars with the time left on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sast_deploy.base.progress import Observer
from sast_deploy.base.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    Bar = tuple[Progress, TaskID]


class Terminal(Observer):
    """Bars while tasks are under way, and lines above them; on stderr, or on the console given.

    console: of rich, for bars and lines; None for stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console, self._tasks = console, 0
        self._bars: Progress | None = None

    def begin(self, what: str, total: int | None) -> Bar:
        """A bar; the first one loads rich, which `--help` has no use for."""
        if self._bars is None:
            from sast_deploy.show.bars import progress_bar

            self._bars = progress_bar(self._console)
            self._bars.start()
        self._tasks += 1
        return self._bars, self._bars.add_task(what, total=total, text="")

    def advance(self, task: Bar, steps: int) -> None:
        """The bar grows."""
        task[0].advance(task[1], steps)

    def tell(self, task: Bar, text: str) -> None:
        """The text beside the bar."""
        task[0].update(task[1], text=text)

    def end(self, task: Bar) -> None:
        """The last bar stays as it is; one within another vanishes."""
        self._tasks -= 1
        if self._tasks:
            task[0].remove_task(task[1])
        else:
            task[0].stop()
            self._bars = None

    def say(self, line: str) -> None:
        """A line above the bars."""
        console = self._console
        if console is None and self._bars is not None and not self._bars.disable:
            console = self._bars.console
        if console is None:
            print(printable(line), file=sys.stderr, flush=True)
        else:
            from rich.text import Text

            console.print(Text(printable(line)), soft_wrap=True)
