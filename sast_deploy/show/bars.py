"""Rich's progress bars as we draw them: names are never markup, numbers stay whole."""

from __future__ import annotations

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

NUMBERS = 60  # columns for everything but the bar
NARROW = 28  # for the numbers alone


class Words(TextColumn):
    """A column of a bar's texts, names above all, shown as they are."""

    def __init__(self, template: str, width: int | None = None) -> None:
        super().__init__(template, markup=False, table_column=Column(max_width=width, no_wrap=width is None))

    def render(self, task: Task) -> Text:
        """The text on one line, its control characters escaped."""
        return Text(printable(self.text_format.format(task=task)))


def progress_bar(console: Console | None = None) -> Progress:
    """Bars that are drawn on a terminal only; console: None for stderr."""
    if console is None:
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    room = console.width - NUMBERS  # the numbers stay whole: the bar gives way, and what passed
    return Progress(
        Words("{task.description}", width=max(8, console.width - NARROW)),
        *([BarColumn(min(room, 40))] if room > 0 else []),
        MofNCompleteColumn(),
        *([TimeElapsedColumn()] if room > 0 else []),
        Words("left"),
        TimeRemainingColumn(),
        Words("{task.fields[text]}", width=max(1, room)),
        console=console,
        disable=not console.is_terminal,
    )
