"""The limits of a child process, and what notices that a reader opened or ran something it must not."""

from __future__ import annotations

import ctypes
import os
import resource
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sast_deploy.data.readers.decoding import DECODER
from tools.fuzzing import marker

MEMORY = 2 << 30  # bytes beyond what the process has before its first input
OUTPUT = 256 << 20  # bytes of a file
IN_OPEN, IN_NONBLOCK = 0x20, 0x800
# What no reader has a reason to do, by the names of Python's audit events.
NEVER = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"),
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind"),
    *("os.chown", "os.symlink", "urllib.Request", "ftplib.connect"),
}
# Modules of what plain tensors are made of, and of compiled kernels, which numba keeps pickled.
UNPICKLED = ("torch", "numpy", "collections", "_codecs", "numba", "copyreg")


class Watch:
    """Violations noted while an input is being read."""

    def __init__(self, allowed: tuple[Path, ...], secrets: tuple[Path, ...]) -> None:
        """allowed: folders in which files may be opened, beside those of the installation."""
        found = {
            *site.getsitepackages(),
            *filter(None, sys.path),
            *sysconfig.get_paths().values(),
            sys.prefix,
            sys.base_prefix,
        }
        roots = {
            *found,
            str(Path(__file__).resolve().parents[2]),
            "/dev",
            "/proc",
            "/sys",
            "/usr",
            "/etc/ssl",
        }
        self.allowed = tuple(f"{os.path.realpath(root)}/" for root in (*roots, *allowed)) + tuple(
            f"{root}/" for root in roots
        )
        self.temporary = f"{tempfile.gettempdir()}/tmp"
        self.active, self.found = False, list[str]()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(IN_NONBLOCK)
        for secret in secrets:
            self._libc.inotify_add_watch(self._inotify, os.fsencode(secret), IN_OPEN)
        sys.addaudithook(self._hook)

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        """Within it everything is noted; yields the list."""
        self._opened()
        marker.hits.clear()
        self.found.clear()
        self.active = True
        try:
            yield self.found
        finally:
            self.active = False
            self.found += marker.hits
            if self._opened():
                self.found.append("another file was opened, by its name in the input")

    def _opened(self) -> bool:
        try:
            return bool(os.read(self._inotify, 1 << 16))
        except BlockingIOError:
            return False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open" or (event == "ctypes.dlopen" and "/" in str(arguments[0])):
            self._check_open(arguments[0])
        elif event == "pickle.find_class":
            if not str(arguments[0]).startswith(UNPICKLED) and arguments != ("builtins", "object"):
                self.found.append(f"unpickles {arguments[0]}.{arguments[1]}")
        elif event == "os.link":  # how an output gets its name where nothing is
            self._check_open(arguments[0])
            self._check_open(arguments[1])
        elif event == "subprocess.Popen" and list(arguments[1]) == DECODER:
            return  # the process in which faery decodes
        elif event in NEVER:
            self.found.append(f"calls {event}")
            if event.startswith(("socket", "os.system", "os.exec", "subprocess", "os.posix")):
                raise PermissionError(f"{event} while reading a file")

    def _check_open(self, name: Any) -> None:
        if isinstance(name, int) or name is None:
            return
        path = f"{os.path.abspath(os.fsdecode(name))}/"
        if not path.startswith((*self.allowed, self.temporary)):
            real = f"{os.path.realpath(path)}/"
            if not real.startswith((*self.allowed, self.temporary)):
                self.found.append(f"opens {path}")


def limit() -> None:
    """Limit memory, the size of files and core dumps of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
