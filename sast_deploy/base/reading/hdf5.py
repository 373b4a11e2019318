"""HDF5 files of any origin: nothing in them may reach out of the file, or unpack to more than it can hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sast_deploy.base.reading.arrays import holds_records
from sast_deploy.base.reading.files import DAMAGED, HDF5_MARK, Expected, open_regular
from sast_deploy.base.text import first_line

OBJECTS = 100_000  # groups and datasets of one file
DEPTH = 8
# What all datasets together may unpack to: so much, and so many times the file's own size.
UNPACKED, RATIO = 64 << 20, 64
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}  # HDF5's registered numbers
KINDS = "buifS"  # NumPy's kinds of dtype that are read; and HDF5's texts of any length, a few at a time
FEW = 16


@contextmanager
def open_hdf5(
    path: Path, expected: Expected, roots: tuple[str, ...], *, records: bool = False, texts: int = FEW
) -> Iterator[h5py.File]:
    """Open an HDF5 file whose groups `roots`, where they are there, are safe to read.

    records: of numbers under names, too. texts: so many of any length one dataset may have; more than a few
    of them are measured one by one. What h5py raises for a damaged file while it is open becomes
    `expected.error`, too.

    Raises `expected.error`: not a regular HDF5 file (says what it is instead), truncated, locked, links or
    datasets that lead out of the file or in circles, filters that are not HDF5's own, datasets that unpack to
    more than the file can hold.
    """
    with open_regular(path, expected) as file:
        if file.read(len(HDF5_MARK)) != HDF5_MARK:
            expected.refuse_kind(path)
        size = os.fstat(file.fileno()).st_size
    try:
        with h5py.File(path, "r") as opened:
            _Survey(path, expected, size, records, texts).check(opened, roots)
            yield opened
    except BlockingIOError:
        expected.refuse("is locked: another process has it open for writing", path)
    except DAMAGED as error:
        expected.refuse(_reason(error), path)


def read_dataset(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """The values of a dataset. Raises KeyError, ValueError where it is missing, a group, or empty space."""
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name} is no dataset of values")
    return np.asarray(dataset[()])


class _Survey:
    """A walk over groups and datasets that reads no values."""

    def __init__(self, path: Path, expected: Expected, size: int, records: bool, texts: int) -> None:
        self.path, self.expected, self.records, self.texts = path, expected, records, texts
        self.room, self.left, self.size = UNPACKED + RATIO * size, OBJECTS, size

    def check(self, file: h5py.File, roots: tuple[str, ...]) -> None:
        for name in roots:
            if file.get(name, getlink=True) is not None:
                self._entry(file, name, 1)

    def _entry(self, group: h5py.Group, name: str, depth: int) -> None:
        where, link = f"{group.name.rstrip('/')}/{name}", group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            self._refuse(f"{where} is a link to elsewhere")
        self.left -= 1
        if self.left < 0 or depth > DEPTH:
            self._refuse(f"{where} is nested too deeply, or one of too many")
        found = group[name]
        if isinstance(found, h5py.Group):
            for each in found:
                self._entry(found, each, depth + 1)
        elif isinstance(found, h5py.Dataset):
            self._dataset(found, where)
        else:
            self._refuse(f"{where} is neither a group nor a dataset")

    def _dataset(self, found: h5py.Dataset, where: str) -> None:
        if found.is_virtual or found.external:
            self._refuse(f"{where} keeps its values in another file")
        layout = found.id.get_create_plist()
        for number in (layout.get_filter(n)[0] for n in range(layout.get_nfilters())):
            if number not in FILTERS:
                self._refuse(f"{where} is packed by filter {number}, none of {', '.join(FILTERS.values())}")
        text = h5py.check_string_dtype(found.dtype)
        few_texts = text is not None and found.size is not None and found.size <= self.texts
        plain = found.dtype.kind in KINDS and not found.dtype.hasobject
        if few_texts and found.size > FEW:
            self._measure(found, where)
        elif not (few_texts or plain or (self.records and holds_records(found.dtype))):
            self._refuse(f"{where} holds {found.dtype}, neither numbers nor text")
        values = int(np.prod([int(n) for n in found.shape or ()], dtype=object))
        self._take(values * found.dtype.itemsize, where)

    def _measure(self, found: h5py.Dataset, where: str) -> None:
        """Many may be one and the same long text in the file."""
        for index in np.ndindex(*found.shape):
            self._take(len(found[index]), where)

    def _take(self, amount: int, where: str) -> None:
        self.room -= amount
        if self.room < 0:
            self._refuse(f"its {self.size:,} bytes unpack to far more, {where} among them")

    def _refuse(self, found: str) -> None:
        self.expected.refuse(f"is not safe to read: {found}", self.path)


def _reason(error: Exception) -> str:
    text = first_line(error)
    if isinstance(error, OSError) and ("lock file" in text or error.errno in (errno.EAGAIN, errno.EACCES)):
        return "is locked: another process has it open for writing"
    if "truncated" in text:
        return "is truncated: the end of the file is missing"
    return f"is damaged ({text})"
