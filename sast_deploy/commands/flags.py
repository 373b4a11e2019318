"""What a command line asks for beside its work: a traceback, silence, or JSON."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import ClassVar, TextIO

import click

FLAGS = {
    "debug": "Show the traceback behind an error.",
    "json": "One line of JSON on standard output, nothing else there: docs/json.md.",
    "quiet": "Nothing for people but errors.",
}


class Asked:
    """The flags of the command line that runs, set while click parses it; and what it has warned of."""

    debug = json = quiet = False
    command = ""  # its words, as in "data-info"
    warnings: ClassVar[list[str]] = []
    out: TextIO | None = None  # with --json where documents go, and nothing else

    @classmethod
    def forget(cls, arguments: Iterable[str] = ()) -> None:
        """Before a new command line is parsed. --json holds even where parsing fails."""
        cls.debug = cls.quiet = False
        cls.json = "--json" in itertools.takewhile(lambda word: word != "--", arguments)
        cls.command, cls.warnings, cls.out = "", [], sys.stdout

    @classmethod
    def silent(cls) -> bool:
        """Whether people get neither text nor progress."""
        return cls.quiet


@contextmanager
def documents_alone() -> Iterator[None]:
    """With --json whatever prints to standard output, a library above all, prints to stderr."""
    with redirect_stdout(sys.stderr) if Asked.json else nullcontext():
        yield


def flags(*names: str) -> list[click.Option]:
    """--debug, --json, --quiet, as options of any command."""
    short = {"quiet": ["-q"]}
    return [
        click.Option(
            [*short.get(name, []), f"--{name}"], is_flag=True, is_eager=True, expose_value=False,
            callback=_noted, help=FLAGS[name],
        )
        for name in names
    ]  # fmt: skip


def _noted(_context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:  # the group may have it, or the command
        setattr(Asked, str(parameter.name), True)
