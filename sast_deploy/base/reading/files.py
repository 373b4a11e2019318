"""Opening regular files only, and saying what a file is that is not the one expected."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from sast_deploy.base.errors import SastError

HEAD_BYTES = 512
HDF5_MARK, ZIP_MARK, NPY_MARK = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY"
GZIP_MARK, PICKLE_MARK = b"\x1f\x8b", b"\x80"
LFS_MARK = b"version https://git-lfs.github.com/spec/"
DAMAGED_HDF5 = "a truncated or damaged HDF5 file"
# What h5py raises for what is damaged inside a file that opens.
DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, IndexError, OverflowError)
CHECKPOINT, NET, STOCK = "a checkpoint", "a .net file of ours", "a stock NetX file"
FLOAT, NIR = "a network that `sast-deploy import` wrote", "a NIR graph"
# What to do with one of these where another kind of file is expected.
MENDING = {
    CHECKPOINT: "compile it first: sast-deploy compile {path}",
    FLOAT: "compile it first: sast-deploy compile {path}",
    NIR: "import it first: sast-deploy import {path} --from FRAMEWORK -o OUT",
    NET: "run it: sast-deploy simulate {path}",
    STOCK: "run it on an array: sast-deploy simulate {path} --input frames.npy",
    "a Git LFS pointer": "fetch the file itself: git lfs pull",
}
BROKEN_ZIP = (  # what reading a zip archive raises, damaged
    zipfile.BadZipFile, zlib.error, LookupError, RuntimeError, ValueError, OSError, EOFError,
)  # fmt: skip
TEXTS = ("a text", "of an unknown kind", "empty", "full of zeros")  # what a text may look like, and bad ones
MARKS = (
    (LFS_MARK, "a Git LFS pointer"),
    (NPY_MARK, "a NumPy array (.npy)"),
    (GZIP_MARK, "a gzip file"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (PICKLE_MARK, "a pickle"),
)


@dataclass(frozen=True)
class Expected:
    """What a reader expects, and the error that it raises where it gets something else.

    what: names the right kind of file, as in "a .net file that `sast-deploy compile` wrote". todo: the next
    thing to try. making: the same where there is no such file, or another kind of file; None: `todo`, too.
    """

    what: str
    error: type[SastError]
    todo: str | None = None
    making: str | None = None

    def refuse(self, found: str, path: Path | str, todo: str | None = None) -> NoReturn:
        """Raise the error: `found` says what is wrong with the file at `path`."""
        raise self.error(found, where=path, expected=self.what, todo=todo or self.todo)

    def refuse_kind(self, path: Path) -> NoReturn:
        """Raise the error: the file at `path` is of another kind, which is named."""
        kind = identify(path)
        self.refuse(f"is {kind}", path, MENDING[kind].format(path=path) if kind in MENDING else self.making)


def open_regular(path: Path | str, expected: Expected) -> BinaryIO:
    """Open a regular file for reading; links are followed. Never waits for a pipe or a device.

    Raises `expected.error`: missing, a folder, a pipe, a device, not readable.
    """
    return os.fdopen(_open(path, expected)[0], "rb")


def _open(path: Path | str, expected: Expected) -> tuple[int, int]:
    """The handle and the size of a regular file. Raises as `open_regular`."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        expected.refuse(_unopened(error), path, expected.making)
    except ValueError:
        expected.refuse("is no name of a file", path, expected.making)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        expected.refuse(f"is {irregular(found.st_mode)}", path, expected.making)
    return handle, found.st_size


def read_bytes(path: Path | str, expected: Expected, limit: int) -> bytes:
    """The whole content of a regular file of at most `limit` bytes, below 2 GiB. Raises `expected.error`."""
    handle, size = _open(path, expected)
    try:
        check_size(size, limit, path, expected)
        content = os.read(handle, size + 1)
    except OSError as error:
        expected.refuse(f"cannot be read: {os.strerror(error.errno or errno.EIO)}", path)
    finally:
        os.close(handle)
    if len(content) != size:
        expected.refuse("has changed while it was read", path)
    return content


def check_size(size: int, limit: int, path: Path | str, expected: Expected) -> None:
    """Raise `expected.error` for a file of more than `limit` bytes."""
    if size > limit:
        expected.refuse(f"has {size:,} bytes, more than the {limit:,} that such a file may have", path)


def identify(path: Path | str, expected: Expected | None = None) -> str:
    """What kind of file this is, from its first bytes and, in an archive, its members' names.

    Raises `expected.error`, or SastError: no regular file, or not readable.
    """
    with open_regular(path, expected or Expected("a file", SastError)) as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(HDF5_MARK):
            return identify_hdf5(Path(path))
        if head.startswith(ZIP_MARK):
            return _identify_zip(file)
    if not head.strip(b"\0"):
        return "full of zeros" if head else "empty"
    for mark, kind in MARKS:
        if head.startswith(mark):
            return kind
    return "a text" if looks_like_text(head) else "of an unknown kind"


def identify_hdf5(path: Path) -> str:
    """Which kind of HDF5 file this is, from the names in its root."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = set(file)
            if names & {"model_weights", "optimizer_weights"} or "keras_version" in file.attrs:
                return "a Keras model"
    except BlockingIOError:
        return "an HDF5 file that another process has open for writing"
    except DAMAGED:
        return DAMAGED_HDF5
    if "sast" in names or "sast_float" in names:
        return NET if "sast" in names else FLOAT
    if "node" in names:
        return NIR
    return STOCK if "layer" in names else f"an HDF5 file without /layer (it has {_listed(names)})"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "") if names else "nothing"


def _identify_zip(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a truncated or damaged archive (a checkpoint?)"
    if any(name.endswith("/data.pkl") for name in names):
        return CHECKPOINT
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return "a Keras model" if "model.weights.h5" in names else "a zip archive"


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file are letters."""
    try:
        whole = len(head) < HEAD_BYTES
        text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="strict" if whole else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _unopened(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "no such file"
    if error.errno == errno.ENXIO:
        return "is a socket or a pipe"
    return f"cannot be read: {error.strerror}"


def irregular(mode: int) -> str:
    """What a file is that is no regular one, by its mode."""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")
