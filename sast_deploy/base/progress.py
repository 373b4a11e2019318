"""Progress bars with the time left, shown on a terminal only; piped output stays plain."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from sast_deploy.base.text import printable

Item = TypeVar("Item")
NUMBERS = 60  # columns for everything but the bar
NARROW = 28  # for the numbers alone


class Words(TextColumn):
    """A column of a bar's texts, names above all, shown as they are."""

    def __init__(self, template: str, width: int | None = None) -> None:
        super().__init__(template, markup=False, table_column=Column(max_width=width, no_wrap=width is None))

    def render(self, task: Task) -> Text:
        """The text on one line, its control characters escaped."""
        return Text(printable(self.text_format.format(task=task)))


def progress_bar() -> Progress:
    """A rich progress bar on stderr that disappears when stderr is not a terminal."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    room = console.width - NUMBERS  # the numbers stay whole: the bar gives way, and what passed
    return Progress(
        Words("{task.description}", width=max(8, console.width - NARROW)),
        *([BarColumn(min(room, 40))] if room > 0 else []),
        MofNCompleteColumn(),
        *([TimeElapsedColumn()] if room > 0 else []),
        Words("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def say(bar: Progress, line: str) -> None:
    """Print a line to stderr: above the bar, where there is one."""
    if bar.disable:
        print(printable(line), file=sys.stderr, flush=True)
    else:
        bar.console.print(Text(printable(line)), soft_wrap=True)


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` one by one while a bar shows how many are done and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)
