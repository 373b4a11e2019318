"""The exception family: every message says where, what was found, what was expected and what to do.

`cli.py` turns any `SastError` into one line on stderr and the exit code of its class; nothing else
in the package prints errors or exits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import ClassVar

from sast_deploy.base.text import printable

LONGEST = 900  # letters of what is wrong, and of what is expected


class Exit(IntEnum):
    """What the exit code of a command says; the same for every command."""

    OK = 0
    CHECK_FAILED = 1  # engines disagree, a bound is violated, a limit is broken under --fail-on-limits
    BAD_INPUT = 2  # the user's options or files
    ENVIRONMENT = 3  # Lava, a missing package, memory, the disk
    RUNS_FAILED = 4  # some runs of a sweep
    INTERNAL = 70  # a defect of ours
    INTERRUPTED = 130


EXIT_CODES = {
    Exit.OK: "success",
    Exit.CHECK_FAILED: "a check failed: engines disagree, a bound is violated, a limit is broken under "
    "--fail-on-limits, simulated recordings are off",
    Exit.BAD_INPUT: "your input: options, files, data, an output that cannot be written",
    Exit.ENVIRONMENT: "Lava, a missing package, the machine: memory, disk, open files",
    Exit.RUNS_FAILED: "some runs of a sweep failed",
    Exit.INTERNAL: "internal error: a defect of sast-deploy",
    Exit.INTERRUPTED: "interrupted",
}


class SastError(Exception):
    """Base of all errors meant for the person at the keyboard.

    Args:
        what: what is wrong, with the offending value in it.
        where: the file, key, layer or option it was found in.
        expected: what would have been right.
        todo: the next thing to try, preferably a command.

    >>> try:
    ...     sast.load("nowhere.net")
    ... except sast.SastError as error:
    ...     print(error)
    nowhere.net: ...
    """

    exit_code: int = Exit.BAD_INPUT
    parts: ClassVar[tuple[str, ...]] = ("what", "where", "expected", "todo")

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        expected: str | None = None,
        todo: str | None = None,
    ) -> None:
        parts = [_cut(what), f"expected {_cut(expected)}" if expected else "", todo or ""]
        message = printable(" ".join("; ".join(filter(None, parts)).split()))
        super().__init__(f"{printable(where)}: {message}" if where is not None else message)
        self.what, self.expected, self.todo = what, expected, todo
        self.where = None if where is None else str(where)


def _cut(text: str) -> str:
    """Values in it may come from a file, and be of any length."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class UsageError(SastError):
    """Options that contradict each other or name nothing that exists."""


class DataError(SastError):
    """Event files, data sets or frame options that cannot be used."""


class OwnTestSplitError(DataError):
    """A test split to be held out of data that has one of its own."""


class CheckpointError(SastError):
    """A checkpoint that is missing, truncated, foreign, unsafe, too new or not finite."""


class ProfileError(SastError):
    """A hardware profile with unknown, missing or impossible keys."""


class CompileError(SastError):
    """A network that the profile's integers cannot represent."""


class NetFileError(SastError):
    """A .net file that is missing, corrupt, truncated, foreign or altered."""


class ExchangeError(SastError):
    """A network of another framework, or for one, that cannot be read or expressed."""


class OutputError(SastError):
    """An output that cannot be written: permissions, a full disk, a path that is a folder."""


class BusyError(SastError):
    """An output that another process is writing at this moment."""


class TrainingError(SastError):
    """Training that cannot go on: a loss that is not finite, a resume that does not fit."""


class LavaError(SastError):
    """Lava is missing, died, hung or refused the program (exit code 3)."""

    exit_code = Exit.ENVIRONMENT


class RtlError(SastError):
    """A simulator of hardware that is missing, or a circuit that cannot be built or hangs (exit code 3)."""

    exit_code = Exit.ENVIRONMENT


class InstallationError(SastError):
    """The installation lacks something the command needs (exit code 3)."""

    exit_code = Exit.ENVIRONMENT


@contextmanager
def about(where: str | Path | None, kind: type[SastError]) -> Iterator[None]:
    """Put what an error is about before it, most often the file; None: nothing."""
    try:
        yield
    except kind as error:
        if where is None:
            raise
        place = where if error.where is None else f"{printable(where)}: {error.where}"
        raise kind(error.what, where=place, expected=error.expected, todo=error.todo) from error
