"""What a command says of its results: to people by `warn`, to machines by `answer`.

A command calls `answer(facts)` once it knows them. With --json that is one line on standard output,

    {"schema": "sast-deploy/<command>", "version": 1, "sast_deploy": "<package>", ...facts}

which sast_deploy/schemas/<command>.json describes and docs/json.md explains. `classify` answers once for each
recording. What goes wrong is a document, too: schema "sast-deploy/error", and still one line on stderr.
Whatever people should know of results is told by `warn`, and stands in the document, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from sast_deploy import __version__
from sast_deploy.base.errors import SastError
from sast_deploy.base.plain import plain
from sast_deploy.base.progress import say
from sast_deploy.commands.flags import Asked

if TYPE_CHECKING:
    from sast_deploy.show.terminal import Terminal

VERSIONS: Mapping[str, int] = {}  # of schemas that are not the first any more


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
