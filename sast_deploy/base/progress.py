"""What long work says of itself while it goes on. Nobody listens unless somebody asks to: `observe`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")


class Observer:
    """Hears of everything and does nothing; derive from it and override what you want to hear.

    A task is a piece of work that advances in steps; tasks may lie within each other.

    >>> sast.Observer().say("nothing is printed")
    """

    def begin(self, what: str, total: int | None) -> Any:
        """A task begins, of `total` steps where that is known; what this returns stands for it later."""

    def advance(self, task: Any, steps: int) -> None:
        """So many more steps are done."""

    def tell(self, task: Any, text: str) -> None:
        """What the task is at just now."""

    def end(self, task: Any) -> None:
        """A task ends, finished or not."""

    def say(self, line: str) -> None:
        """A remark for people, one line."""


NOBODY = Observer()
_observer: ContextVar[Observer] = ContextVar("observer", default=NOBODY)


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """What is called within this block, in this thread, tells `observer` how far it is.

    >>> class Percent(sast.Observer):
    ...     def begin(self, what, total):
    ...         print(what, total)
    >>> with sast.observe(Percent()):
    ...     run = sast.simulate(net, frames)
    fast 2
    """
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@dataclass(frozen=True)
class Task:
    """A piece of work under way, and who hears of it."""

    observer: Observer
    handle: Any

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self.observer.advance(self.handle, steps)

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield `items` one by one, each a step of this task."""
        for item in items:
            yield item
            self.advance()

    def tell(self, text: str) -> None:
        """What the task is at just now."""
        self.observer.tell(self.handle, text)


@contextmanager
def task(what: str, total: int | None = None) -> Iterator[Task]:
    """A piece of work of `total` steps, until the block ends."""
    observer = _observer.get()
    handle = observer.begin(what, total)
    try:
        yield Task(observer, handle)
    finally:
        observer.end(handle)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` one by one, each a step of a task."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with task(what, total) as under_way:
        yield from under_way.each(items)


def say(line: str) -> None:
    """A remark for people, one line."""
    _observer.get().say(line)
