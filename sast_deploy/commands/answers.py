"""What a command line asked for beside its work: a traceback, silence, or JSON; and the JSON documents.

A command calls `answer(facts)` once it knows them. With --json that is one line on standard output,

    {"schema": "sast-deploy/<command>", "version": 1, "sast_deploy": "<package>", ...facts}

which sast_deploy/schemas/<command>.json describes and docs/json.md explains. `classify` answers once for each
recording. What goes wrong is a document, too: schema "sast-deploy/error", and still one line on stderr.
Whatever people should know of results is told by `warn`, and stands in the document, too.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

import click

from sast_deploy import __version__
from sast_deploy.base.errors import SastError
from sast_deploy.base.progress import say
from sast_deploy.base.text import encodable

if TYPE_CHECKING:
    from sast_deploy.show.terminal import Terminal

VERSIONS: Mapping[str, int] = {}  # of schemas that are not the first any more
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


def _noted(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    Asked.command = "-".join(context.command_path.split()[1:])
    if value:  # the group may have it, or the command
        setattr(Asked, str(parameter.name), True)


def terminal() -> Terminal:
    """Progress for people, unless they want none."""
    from sast_deploy.show.terminal import Terminal

    return Terminal(silent=Asked.silent)


def warn(*lines: str) -> None:
    """Tell people, with --json on stderr, what they should know of the results; and the document."""
    from sast_deploy.show.blocks import Out

    Asked.warnings += lines
    if Asked.json:
        for line in lines:
            say(line)
    elif not Asked.quiet:
        Out().print(*lines)


def answer(facts: Mapping[str, Any]) -> None:
    """With --json, print what the running command found, as one line; what it has warned of stands last."""
    if Asked.json:
        known = facts.get("warnings", ())
        _print(Asked.command, {**facts, "warnings": [*known, *Asked.warnings]})


def answer_error(error: BaseException, message: str, code: int) -> None:
    """With --json, print what went wrong."""
    if not Asked.json:
        return
    own = isinstance(error, SastError)
    told = {name: getattr(error, name) if own else None for name in SastError.parts}
    told = told if own else {**told, "what": message}
    facts = {"kind": type(error).__name__, "message": message, **told, "exit_code": int(code)}
    _print("error", {"command": Asked.command or None, "error": facts})


def _print(name: str, facts: Mapping[str, Any]) -> None:
    head = {
        "schema": f"sast-deploy/{name}", "version": VERSIONS.get(name, 1), "sast_deploy": __version__
    }  # fmt: skip
    text = json.dumps(plain({**head, **facts}), ensure_ascii=True, allow_nan=False)
    click.echo(text, file=Asked.out)


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
    if isinstance(value, (str, Path)):
        return encodable(str(value))
    if hasattr(value, "tolist"):  # NumPy's
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
