"""Writing files so that a reader sees the whole new file or the old one, never a part."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from sast_deploy.errors import OutputError, SastError
from sast_deploy.reading import Expected, open_regular

HEAD_BYTES = 256  # of a file that say what it is
STALE_SECONDS = 24 * 3600
HDF5_MARK = b"\x89HDF\r\n"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Missing parent folders are made. The content is flushed to the disk before the rename.

    Raises:
        OutputError: the folder or file cannot be written, the disk is full, `path` is a folder.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        os.chmod(temporary, 0o666 & ~_umask())
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {_reason(error, path)}",
            where=path,
            expected="a writable folder with free space",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def new_folder(parent: Path, prefix: str, suffix: str = "") -> Path:
    """A new folder of that name with eight letters of chance in it, as open to others as any new folder.

    Raises OSError.
    """
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(4)}{suffix}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder


@lru_cache(maxsize=256)  # once in a process is enough
def sweep_leftovers(path: Path) -> None:
    """Remove what a killed process left beside `path` a day ago or earlier: its temporary names."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.tmp")
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            if name.fullmatch(entry.name):
                remove_stale(Path(entry.path))


def remove_stale(path: Path) -> None:
    """Remove a file or folder that is a day old; nothing where it is younger, or gone in the meantime."""
    with suppress(OSError):
        state = path.lstat()
        if time.time() - state.st_mtime > STALE_SECONDS:
            if stat.S_ISDIR(state.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def check_output(path: Path, kind: str, *marks: bytes) -> None:
    """Refuse, before anything is computed, an output that cannot be written or is another kind of file.

    An existing file is only replaced by one of its own kind: its first bytes hold one of `marks`.

    Raises OutputError.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError("is a folder", where=path, expected=f"the name of a {kind}")
    parent = next(each for each in path.absolute().parents if each.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError("cannot be written", where=path, expected=f"a writable folder in place of {parent}")
    if path.exists():
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
        if head and not any(mark in head for mark in marks):
            todo = f"choose another name for the {kind}"
            raise OutputError("is a file of another kind", where=path, todo=todo)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically. Raises OutputError."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path` atomically. Raises OutputError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits. Raises SastError: no regular file."""
    with open_regular(path, Expected("a file", SastError)) as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else hashlib.sha256(file.read()).hexdigest()
        )


def _reason(error: OSError, path: Path) -> str:
    """What went wrong, and where if that is a folder on the way to `path`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    elsewhere = error.filename is not None and Path(error.filename) in path.parents
    return f"{reason} ({error.filename})" if elsewhere else reason


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
