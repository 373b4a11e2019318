"""Writing files so that a reader sees the whole new file or the old one, never a part.

What is written lands where `output_target` says: never in place of a link, a pipe or a device. A file that
`watch` has been told of lands only where nothing has changed since, or where its check allows it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sast_deploy.base.errors import BusyError, OutputError, SastError
from sast_deploy.base.reading import Expected, open_regular
from sast_deploy.base.reading.files import HDF5_MARK, NPY_MARK, ZIP_MARK, irregular

MOST_LINKS = 40  # that the kernel follows
PROC = Path("/proc")  # where /dev/stdout and /dev/fd lead
LOCK_FILE = ".lock"
LOCK_TRIES = 100
HOLD_SECONDS = 10.0  # that another process may take for a rename
STALE_SECONDS = 24 * 3600
NAME_LETTERS = 40  # of a file that are in the name of its temporary one
HOLDER = re.compile(rb"\d+ on .*\n?")  # what is in a lock file
State = tuple[int, int, int, int]  # device, inode, bytes, time of change


@dataclass
class _Watched:
    """A file to be written: what was at its name when that was allowed, and what asks again."""

    seen: State | None
    check: Callable[[], None]


_watched: dict[str, _Watched] = {}  # by real path


def default_cache_dir() -> Path:
    """$SAST_CACHE_DIR, else ~/.cache/sast-deploy."""
    named = os.environ.get("SAST_CACHE_DIR")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "sast-deploy"


def state_of(path: Path) -> State | None:
    """What tells a file, not what it leads to, from another or a changed one; None where there is none."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def watch(target: Path, seen: State | None, check: Callable[[], None]) -> None:
    """From now on `target` is written only where it still is as `seen`, or `check` does not raise."""
    _watched[os.path.realpath(target)] = _Watched(seen, check)


def has_changed(target: Path) -> bool:
    """Whether there is something else at `target` than when it was watched first."""
    found = _watched.get(os.path.realpath(target))
    return found is not None and state_of(target) not in (None, found.seen)


def forget_watched() -> None:
    """Before a new command line is run: what the last one looked at is of no consequence."""
    _watched.clear()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Where `path` is a symbolic link, the file it leads to is replaced and the link stays. Missing parent
    folders are made. The content is flushed to the disk before the rename.

    Raises:
        OutputError: the folder or file cannot be written, the disk is full, `path` is a folder, a pipe, a
            socket or a device; or it is watched, has changed, and must not be replaced any more.
    """
    path = Path(path)
    target = output_target(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(target)
        name = f".{target.name[:NAME_LETTERS]}."
        handle, name = tempfile.mkstemp(prefix=name, suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        os.chmod(temporary, 0o666 & ~_umask())
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        _land(temporary, target)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {_reason(error, path)}",
            where=path,
            expected="a writable folder with free space",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _land(temporary: Path, target: Path) -> None:
    """Rename to `target`, which may have become a folder, a pipe, or somebody's file. Raises OutputError."""
    watched = _watched.get(os.path.realpath(target))
    if watched is None:
        os.replace(temporary, output_target(target))
        return
    with turn(target.parent):
        for _ in range(LOCK_TRIES):
            now = state_of(target)
            if now not in (None, watched.seen):
                watched.check()
            if now is None and _is_new(temporary, target):
                break
            if now is not None and state_of(target) == now:
                os.replace(temporary, output_target(target))
                break
        else:
            raise OutputError("cannot be written: it changes again and again", where=target)
        watched.seen = state_of(target)


def _is_new(temporary: Path, target: Path) -> bool:
    """Rename where nothing is at `target` at that very moment; False where something is. Raises OSError."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: an empty file keeps the name meanwhile
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            return False
        os.replace(temporary, target)
    return True


@contextmanager
def turn(
    folder: Path, seconds: float = HOLD_SECONDS, busy: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """One process at a time looks at what is in a folder and renames; the kernel ends it with the process.

    busy: called once where another one holds it. Raises BusyError after so many seconds; OSError: there is no
    such folder.
    """
    handle, until, told = -1, time.monotonic() + seconds, False
    try:
        with suppress(PermissionError):  # a folder that may be written to but not read
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        while handle >= 0:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BusyError("another process holds it", where=folder, todo="try again") from None
                if not told:
                    busy()
                told = True
                time.sleep(0.01)
            except OSError:  # a file system that locks no folders; new names are safe there all the same
                break
        yield
    finally:
        if handle >= 0:
            os.close(handle)


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
    name = re.compile(rf"\.{re.escape(path.name[:NAME_LETTERS])}\.[a-z0-9_]{{8}}\.tmp")
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


def output_target(path: Path) -> Path:
    """Where writing to `path` lands: itself, or what its symbolic links lead to.

    Raises OutputError: a folder, a pipe, a socket, a device or a stream of a process; links in a circle or
    into a folder that is not there; a name that the system refuses.
    """
    target = path = Path(path)
    if str(path) == "-":
        raise OutputError("is no name here", where="-", expected="that of a file or folder")
    try:
        for _ in range(MOST_LINKS):
            if PROC in (folder := target.parent.resolve()).parents or folder == PROC:
                raise OutputError(f"cannot be written: it leads into {PROC}", where=path)
            if not target.is_symlink():
                break
            target = target.parent / os.readlink(target)
        else:
            raise OutputError("is a link that leads in a circle", where=path)
        if target != path and not target.parent.is_dir():
            raise OutputError(f"is a link into a folder that is not there, {target.parent}", where=path)
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except (OSError, RuntimeError) as error:  # Python 3.12 and older: RuntimeError for folders in a circle
        reason = _reason(error, path) if isinstance(error, OSError) else str(error)
        raise OutputError(f"cannot be written: {reason}", where=path) from error
    if not stat.S_ISREG(mode):
        raise OutputError(f"is {irregular(mode)}", where=path, expected="the name of a file")
    return target


def check_folder(folder: Path, where: Path) -> None:
    """Refuse a folder, there or yet to be made, in which nothing can be written; `where`: for what.

    Raises OutputError.
    """
    folder = Path(folder).absolute()
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    reason = ""
    if there.is_dir():
        try:
            tempfile.TemporaryFile(dir=there).close()  # permissions alone do not say it: a read-only system
            return
        except OSError as error:
            reason = f": {_reason(error, where)}"
    raise OutputError(
        f"cannot be written{reason}", where=where, expected=f"a writable folder in place of {there}"
    )


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where it is missing, against other processes that hold it.

    The kernel lets go of it when the process ends, however that happens. What was made for the lock is
    removed again.

    Raises:
        BusyError: another process holds it; names the process. OutputError: it cannot be written, or a file
            of the lock's name is there that is no lock.
    """
    path = Path(folder) / LOCK_FILE
    made = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
    handle = _locked(path)
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: see _locked
        os.close(handle)
        with suppress(OSError):
            for each in made:
                each.rmdir()


def _locked(path: Path) -> int:
    """A handle of the lock file at `path` that this process alone holds. Raises BusyError, OutputError."""
    for _ in range(LOCK_TRIES):
        handle = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                if (content := os.pread(handle, 300, 0)) and not HOLDER.fullmatch(content):
                    raise OutputError("is no lock of ours", where=path, todo="choose another -o, or move it")
                return handle
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            todo = "wait for it, or choose another -o"
            raise BusyError(f"process {holder} is at work here", where=path.parent, todo=todo) from None
        except OutputError:
            os.close(handle)
            raise
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            if not _has_just_gone(error):
                raise OutputError(f"cannot be locked: {_reason(error, path)}", where=path) from error
        else:
            os.close(handle)
    raise OutputError("cannot be written: it vanishes again and again", where=path.parent)


def _has_just_gone(error: OSError) -> bool:
    """Whether the holder before us has just removed its lock, or a folder that it had made for it."""
    if isinstance(error, FileExistsError):  # `mkdir` found a folder, and then none when it looked again
        try:
            return stat.S_ISDIR(os.lstat(error.filename).st_mode)
        except FileNotFoundError:
            return True
    return isinstance(error, FileNotFoundError)


def _holder(handle: int) -> str:
    """Who wrote the lock file; it may just be writing."""
    for _ in range(20):
        if text := os.pread(handle, 200, 0).decode(errors="replace").strip():
            return text
        time.sleep(0.01)
    return "(unknown)"


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically. Raises OutputError."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path` atomically. Raises OutputError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits. Raises SastError: no regular file."""
    with open_regular(path, Expected("a file", SastError)) as file:
        sha = hashlib.sha256()
        while block := file.read(1 << 20):
            sha.update(block)
        return sha.hexdigest()


def _reason(error: OSError, path: Path) -> str:
    """What went wrong, and where if that is a folder on the way to `path`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    elsewhere = error.filename is not None and Path(error.filename) in path.parents
    return f"{reason} ({error.filename})" if elsewhere else reason


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def input_digest(path: Path) -> str | None:
    """SHA-256 of an input; None where it is no file of a kind that is read, which its reader says better."""
    if not path.is_file():
        return None
    with open_regular(path, Expected("a file", SastError)) as file:
        head = file.read(len(HDF5_MARK))
    return file_digest(path) if head.startswith((HDF5_MARK, NPY_MARK, ZIP_MARK)) else None
