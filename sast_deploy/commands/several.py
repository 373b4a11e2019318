"""Options of one or more values: `--hidden 256 128`, `--hidden 256 --hidden 128`, or `--seeds 0,1`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from sast_deploy.commands.options import Function, Titled


class Several(Titled):
    """All words up to the next option are its values, so its command takes nothing but options."""


def several(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """As `option`, of a tuple of values."""
    return click.option(*names, cls=Several, multiple=True, metavar="N ...", **settings)


def listed(one: Any) -> Any:
    """The type of values with commas, each once, each as click's type `one` takes it."""

    def read(value: str | tuple[Any, ...]) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(one.convert(each.strip(), None, None) for each in value.split(",")))

    return click.types.FuncParamType(read)


def spread(parameters: Iterable[click.Parameter], words: list[str]) -> list[str]:
    """A command line's words as click reads them, with an option's name before each of its values."""
    names = {name for each in parameters if isinstance(each, Several) for name in each.opts}
    found: list[str] = []
    name, first = "", False  # the option whose values come, and whether the first of them does
    for word in words:
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            name, first = (name if name in names else ""), not equals
        elif name:
            found += [] if first else [name]
            first = False
        found.append(word)
    return found
