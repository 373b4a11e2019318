"""What a command line asked for beside its work: a traceback, silence, or JSON; and the JSON documents.

A command calls `answer(facts)` once it knows them. With --json that is one line on standard output,

    {"schema": "sast-deploy/<command>", "version": 1, "sast_deploy": "<package>", ...facts}

which sast_deploy/schemas/<command>.json describes and docs/json.md explains. `classify` answers once for each
recording. What goes wrong is a document, too: schema "sast-deploy/error", and still one line on stderr.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy import __version__
from sast_deploy.base.errors import SastError

if TYPE_CHECKING:
    from rich.console import Console

    from sast_deploy.show.terminal import Terminal

VERSIONS: Mapping[str, int] = {}  # of schemas that are not the first any more
FLAGS = {
    "debug": "Show the traceback behind an error.",
    "json": "One line of JSON on standard output, nothing else there: docs/json.md.",
    "quiet": "Nothing for people but errors.",
}


class Asked:
    """The flags of the command line that runs; set while click parses it."""

    debug = json = quiet = False

    @classmethod
    def forget(cls, arguments: Iterable[str] = ()) -> None:
        """Before a new command line is parsed. --json holds even where parsing fails."""
        cls.debug = cls.quiet = False
        cls.json = "--json" in arguments

    @classmethod
    def silent(cls) -> bool:
        """Whether people get neither text nor progress."""
        return cls.quiet


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


def terminal(console: Console | None = None) -> Terminal:
    """Progress for people, unless they want none; with --json on stderr, whatever the console."""
    from sast_deploy.show.terminal import Terminal

    return Terminal(None if Asked.json else console, Asked.silent)


def answer(facts: Mapping[str, Any]) -> None:
    """With --json, print what the running command found, as one line."""
    if Asked.json:
        words = click.get_current_context().command_path.split()[1:]
        _print("-".join(words), facts)


def answer_error(error: BaseException, message: str, code: int) -> None:
    """With --json, print what went wrong."""
    if not Asked.json:
        return
    parts = {name: getattr(error, name) for name in SastError.parts} if isinstance(error, SastError) else {}
    told = {name: parts.get(name) for name in SastError.parts}
    kind = type(error).__name__
    _print("error", {"message": message, "kind": kind, **told, "exit_code": int(code)})


def _print(name: str, facts: Mapping[str, Any]) -> None:
    head = {
        "schema": f"sast-deploy/{name}", "version": VERSIONS.get(name, 1), "sast_deploy": __version__
    }  # fmt: skip
    click.echo(json.dumps(plain({**head, **facts}), ensure_ascii=True, allow_nan=False))


def plain(value: Any) -> Any:
    """What JSON has: NumPy's numbers as Python's, tuples as lists, paths as text, null for NaN and inf."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
