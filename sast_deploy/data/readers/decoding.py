"""AEDAT 4, Prophesee EVT 2 and 3, Event Stream: read by faery, in a process of its own (decoder.py)."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.children import child_environment, python_command, stops_held
from sast_deploy.base.errors import DataError, InstallationError
from sast_deploy.base.reading import open_regular
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.cameras import header_lines
from sast_deploy.data.readers.columns import Columns
from sast_deploy.data.readers.decoder import COLUMNS
from sast_deploy.data.readers.numbers import RECORDING

LINE, HEAD = 4096, 1 << 16
SECONDS, SECONDS_PER_MB = 60.0, 2.0  # that one file may take
DECODER = python_command("sast_deploy.data.readers.decoder")
# (H, W) of Prophesee's sensors by the plugin that recorded, where the header does not say the size.
PLUGINS = {
    "gen41": (720, 1280), "gen4": (720, 1280), "imx636": (720, 1280), "gen31": (480, 640), "gen3": (480, 640),
}  # fmt: skip


class _Decoder:
    """That process; started when first needed, by whoever was forked again, and behind one that died."""

    def __init__(self) -> None:
        self.lock, self.owner = threading.Lock(), 0
        self.child: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, kind: str, seconds: float) -> tuple[dict[str, Any], list[bytes]]:
        """The head of the answer, and its columns. Raises EOFError: the process has died."""
        with self.lock:
            child = self._running()
            assert child.stdin is not None
            assert child.stdout is not None
            watch = threading.Timer(seconds, child.kill)
            watch.start()
            try:
                child.stdin.write(json.dumps({"path": path, "kind": kind}).encode() + b"\n")
                child.stdin.flush()
                line = child.stdout.readline(LINE)
                head = json.loads(line) if line.endswith(b"\n") else self._dead(child)
                sizes = [head.get("events", 0) * np.dtype(dtype).itemsize for _, dtype in COLUMNS]
                columns = [child.stdout.read(size) for size in sizes]
                if [len(each) for each in columns] != sizes:
                    self._dead(child)
            except BaseException as error:  # half an answer, which nobody may take for the next one's
                self.stop()
                if isinstance(error, BrokenPipeError):
                    raise EOFError from error
                raise
            finally:
                watch.cancel()
            return head, columns

    def _running(self) -> subprocess.Popen[bytes]:
        if self.child is None or self.owner != os.getpid() or self.child.poll() is not None:
            self.stop()
            pipe = subprocess.PIPE
            with stops_held():
                self.child = subprocess.Popen(
                    DECODER, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=child_environment()
                )
            self.owner = os.getpid()
        return self.child

    @staticmethod
    def _dead(child: subprocess.Popen[bytes]) -> Any:
        raise EOFError

    def stop(self) -> None:
        """End the process, if it is ours."""
        if self.child is not None and self.owner == os.getpid():
            self.child.kill()
            with contextlib.suppress(OSError):
                self.child.communicate()
        self.child = None


_decoder = _Decoder()
atexit.register(_decoder.stop)


def read_aedat4(path: Path, options: RecordingOptions) -> Columns:
    """The first stream of events of an AEDAT 4 file."""
    return _decoded(path, "aedat")


def read_event_stream(path: Path, options: RecordingOptions) -> Columns:
    """An Event Stream of DVS or ATIS events; faery counts y from the top, the file from the bottom."""
    return _decoded(path, "es")


def read_evt(path: Path, options: RecordingOptions) -> Columns:
    """A .raw file of EVT 2 or 3."""
    with open_regular(path, RECORDING) as file:
        head, size = file.read(HEAD), os.fstat(file.fileno()).st_size
    lines, start = header_lines(head, b"%", path)
    word = 2 if re.search(r"(?m)^% (evt 3|format EVT3)", lines) else 4
    if (size - start) % word:  # which faery passes over
        raise DataError(f"is cut off: {size - start:,} bytes of words of {word}", where=path)
    return _decoded(path, "evt", _named_sensor(lines))


def _named_sensor(head: str) -> tuple[tuple[int, int], str] | None:
    """The sensor that the header names without its size, and the name."""
    match = re.search(r"(?m)^% plugin_name (\S{1,60})\s*$", head)
    name = "" if match is None else match[1].lower()
    found = next((size for part, size in PLUGINS.items() if part in name), None)
    return None if found is None else (found, name)


def _decoded(path: Path, kind: str, named: tuple[tuple[int, int], str] | None = None) -> Columns:
    """Raises DataError: what faery cannot read. InstallationError: there is no faery."""
    if find_spec("faery") is None:
        todo = "pip install faery"
        raise InstallationError("reading it needs the package 'faery'", where=path, todo=todo)
    with open_regular(path, RECORDING) as file:  # a pipe or a device would have it wait
        seconds = SECONDS + SECONDS_PER_MB * os.fstat(file.fileno()).st_size / 1e6
    try:
        head, columns = _decoder.ask(os.path.abspath(path), kind, seconds)
    except EOFError as error:
        what = "damaged: its decoder died, or asked for more memory than it may have"
        raise DataError(what, where=path, expected="a sound recording") from error
    if "error" in head:
        raise DataError(f"cannot be decoded ({head['error']})", where=path, expected="a sound recording")
    t, x, y, p = (np.frombuffer(part, dtype) for part, (_, dtype) in zip(columns, COLUMNS, strict=True))
    if head["sensor"] is not None:
        height, width = head["sensor"]
        return Columns(x, y, t, p, (height, width), "us")
    if named is None:
        return Columns(x, y, t, p, None, "us")
    (height, width), name = named
    note = f"the file does not say the sensor's size; {height} x {width} as {name} has it"
    return Columns(x, y, t, p, (height, width), "us", (note,))
