"""Arrays of numbers in .npy files, mapped into memory instead of read."""

from __future__ import annotations

import io
import os
import tokenize
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sast_deploy.base.reading.files import NPY_MARK, Expected, open_regular
from sast_deploy.base.text import first_line

DIMENSIONS, LONGEST_REASON = 32, 100  # NumPy 1 knows no more dimensions; and characters
HEAD = 1 << 16  # bytes; NumPy itself refuses headers of more than 10,000
NUMBERS = "buif"  # NumPy's kinds of dtype: bool, unsigned, signed, float
# What NumPy raises for a header that is none: it evaluates Python's literals.
BROKEN = (
    ValueError, OSError, EOFError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip


def read_npy(path: Path, expected: Expected, *, records: bool = False) -> npt.NDArray[Any]:
    """The array of a .npy file, read-only, mapped: its bytes are read when they are used.

    records: of numbers under names, too.

    Raises `expected.error`: no .npy file, objects or records instead of numbers, a header that promises more
    than the file holds.
    """
    with open_regular(path, expected) as file:
        if file.read(len(NPY_MARK)) != NPY_MARK:
            expected.refuse_kind(path)
        file.seek(0)
        # Of this much, however long the header says that it is: NumPy makes room for that first.
        head = io.BytesIO(file.read(HEAD))
        try:
            shape, fortran, dtype = _header(head)
        except BROKEN as error:
            expected.refuse(f"has no readable header ({first_line(error)[:LONGEST_REASON]})", path)
        offset, size = head.tell(), os.fstat(file.fileno()).st_size
        if not (holds_numbers(dtype) or (records and holds_records(dtype))):
            frames = "make frames of them first: counts (samples, time, C, H, W)" if dtype.names else None
            expected.refuse(f"holds {_named(dtype)}, not numbers", path, frames)
        if len(shape) > DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
            expected.refuse(f"has shape {str(shape)[:LONGEST_REASON]}", path)
        wanted = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if wanted > size - offset:
            expected.refuse(f"is cut off: {size - offset:,} of {wanted:,} bytes of numbers", path)
        if not wanted:
            return np.zeros(shape, dtype)
        order: Any = "F" if fortran else "C"
        return np.memmap(file, dtype, "r", offset, shape, order)


def holds_numbers(dtype: np.dtype[Any]) -> bool:
    """Whether a value of this type is one number."""
    return dtype.kind in NUMBERS and not dtype.names and not dtype.hasobject


def holds_records(dtype: np.dtype[Any]) -> bool:
    """Whether a value of this type is numbers under names."""
    return bool(dtype.names) and all(holds_numbers(dtype[name]) for name in dtype.names or ())


def _header(file: BinaryIO) -> Any:
    """(shape, whether in Fortran's order, dtype)."""
    form: Any = np.lib.format
    version = form.read_magic(file)
    return (form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0)(file)


def _named(dtype: np.dtype[Any]) -> str:
    if dtype.names:
        return f"records of {', '.join(dtype.names[:4])}"
    return "Python objects" if dtype.hasobject else f"values of type {dtype}"
