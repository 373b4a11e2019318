"""Standard output and error that end no run: closed, without a reader, or without the letters of a name."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

from sast_deploy.base.errors import OutputError

OUT, ERR = 1, 2


def prepare_streams() -> None:
    """Give this process standard streams that work; call once, before anything is printed.

    A closed one becomes /dev/null, so that no file of ours is opened under its number. Where the reader goes
    away, as in `| head -1`, the run goes on unheard. What an encoding lacks is printed as \\xe9 or \\u2026.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _mute(number)
    sys.stdout, sys.stderr = _tolerant(sys.stdout, OUT), _tolerant(sys.stderr, ERR)


class _Raw(io.FileIO):
    """The file behind a stream: a failing write leads to /dev/null from then on."""

    def write(self, data: Any, /) -> int:
        """Bytes written or, once the reader has gone, thrown away. Raises OutputError for a full disk."""
        try:
            return super().write(data)
        except OSError as error:
            number = self.fileno()
            _mute(number)
            if number == OUT and error.errno != errno.EPIPE:
                raise OutputError(f"cannot be written: {error.strerror}", where="standard output") from error
            return memoryview(data).nbytes


def _tolerant(stream: TextIO | None, number: int) -> TextIO:
    lines = number == ERR or (stream is not None and stream.isatty())
    unbuffered = bool(getattr(stream, "write_through", False))
    encoding = stream.encoding if stream is not None else "utf-8"
    raw = _Raw(number, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines or unbuffered
    )


def _mute(number: int) -> None:
    """/dev/null under this number."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    else:
        os.set_inheritable(number, True)
