"""A process of its own in which faery decodes: `python -m` this module, with a question a line on stdin.

faery is compiled code: what a file of any origin makes it do (panic, ask for all memory, never end) must not
happen in the process of the person at the keyboard. This one may take so much memory and no more.

    question   {"path": ..., "kind": "aedat" | "evt" | "es"}
    answer     {"events": n, "sensor": [H, W]}, a new line, then the columns t, x, y, p of all events, one
               behind the other; or {"error": ...}
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from sast_deploy.data.readers.columns import MAX_EVENTS

MEMORY = 6 << 30  # bytes of address space
UNKNOWN = (65535, 65535)  # (W, H) where the file does not say it
COLUMNS = (("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "u1"))


def decode(path: str, kind: Any) -> Iterator[bytes]:
    """The answer's parts."""
    import faery

    stream = faery.events_stream_from_file(path, file_type=kind, dimensions_fallback=UNKNOWN)
    parts, total = [], 0
    for part in stream:
        parts.append(part)
        total += len(part)
        if total > MAX_EVENTS:
            raise ValueError(f"more than {MAX_EVENTS:,} events")
    width, height = stream.dimensions()
    sensor = None if (width, height) == UNKNOWN else [height, width]
    yield json.dumps({"events": total, "sensor": sensor}).encode() + b"\n"
    for name, dtype in COLUMNS:
        for part in parts:
            yield np.ascontiguousarray(part[name], dtype).tobytes()


def answer(question: dict[str, str], out: BinaryIO) -> None:
    """Write the answer; a panic of faery's, which is no Exception, is an error like others."""
    try:
        parts = list(decode(question["path"], question["kind"]))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        parts = [json.dumps({"error": reason}).encode() + b"\n"]
    for part in parts:
        out.write(part)
    out.flush()


def main() -> None:
    """Answer until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks ends, and with it stdin
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints
    for line in sys.stdin.buffer:
        answer(json.loads(line), out)


if __name__ == "__main__":
    main()
