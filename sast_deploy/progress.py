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
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def progress_bar() -> Progress:
    """A rich progress bar on stderr that disappears when stderr is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def say(bar: Progress, line: str) -> None:
    """Print a line to stderr: above the bar, where there is one."""
    if bar.disable:
        print(line, file=sys.stderr, flush=True)
    else:
        bar.console.print(line, soft_wrap=True, markup=False, highlight=False)


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` one by one while a bar shows how many are done and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)
