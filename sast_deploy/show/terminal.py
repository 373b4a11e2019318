"""Progress as people see it: bars with the time left on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sast_deploy.base.progress import Observer
from sast_deploy.base.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Terminal(Observer):
    """Bars while tasks are under way, and lines above them; on stderr, or on the console given.

    console: of rich, for bars and lines; None for stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console, self._tasks = console, 0
        self._bars: Progress | None = None

    def begin(self, what: str, total: int | None) -> Any:
        """A bar; the first one loads rich, which `--help` has no use for."""
        if self._bars is None:
            from sast_deploy.show.bars import progress_bar

            self._bars = progress_bar(self._console)
            self._bars.start()
        self._tasks += 1
        return self._bars.add_task(what, total=total, text="")

    def advance(self, task: Any, steps: int) -> None:
        """The bar grows."""
        if self._bars is not None:
            self._bars.advance(task, steps)

    def tell(self, task: Any, text: str) -> None:
        """The text beside the bar."""
        if self._bars is not None:
            self._bars.update(task, text=text)

    def end(self, task: Any) -> None:
        """The last bar stays as it is; one within another vanishes."""
        if self._bars is None:
            return
        self._tasks -= 1
        if self._tasks:
            self._bars.remove_task(task)
        else:
            self._bars.stop()
            self._bars = None

    def say(self, line: str) -> None:
        """A line above the bars."""
        if self._console is not None:
            from rich.text import Text

            self._console.print(Text(printable(line)), soft_wrap=True)
        elif self._bars is None or self._bars.disable:
            print(printable(line), file=sys.stderr, flush=True)
        else:
            from rich.text import Text

            self._bars.console.print(Text(printable(line)), soft_wrap=True)
