"""MNIST's idx files, plain or .gz.

Byte layout, all integers big-endian: 0 0 8 (unsigned bytes) n (number of axes), n lengths of 4 bytes each,
the values.
Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database, yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading import Expected, open_regular

Split = Literal["Train", "Test"]

_STEMS = {"Train": "train", "Test": "t10k"}
_UNSIGNED_BYTE = 8
MAX_BYTES = 1 << 30
MOST_PACKED = 1100  # deflate packs at most so many bytes into one
EXPECTED = Expected("an undamaged idx file", DataError)


def read_mnist(folder: Path, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) uint8 and labels (n,) uint8 of MNIST's `split` from the idx files in `folder`.

    Raises:
        DataError: a file is missing, truncated or no idx file of the right shape; counts that differ.
    """
    stem = _STEMS[split]
    images_path = _find(Path(folder), f"{stem}-images-idx3-ubyte")
    labels_path = _find(Path(folder), f"{stem}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (28, 28):
        size = " x ".join(map(str, images.shape[1:]))
        raise DataError(f"images of {size} pixels", where=images_path, expected="28 x 28")
    if len(images) != len(labels):
        raise DataError(f"{len(labels)} labels", where=labels_path, expected=f"{len(images)}, one an image")
    if labels.size and labels.max() > 9:
        raise DataError(f"label {labels.max()}", where=labels_path, expected="0 to 9")
    return images, labels


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """The values of an idx file of unsigned bytes with `axes` axes. Raises DataError.

    No more is unpacked than its header declares, and that is checked against the file's size before.
    """
    with open_regular(path, EXPECTED) as file:
        room = os.fstat(file.fileno()).st_size * (MOST_PACKED if path.suffix == ".gz" else 1)
        try:
            with gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file as stream:
                shape = _shape(stream.read(4 + 4 * axes), axes, path)
                size = math.prod(shape)
                if size > min(room, MAX_BYTES):
                    found = f"{size} values in a file of {room:,} bytes at most"
                    raise DataError(found, where=path, expected=f"at most {MAX_BYTES:,}, all of them there")
                data = stream.read(size + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"not a whole gzip file: {error}", where=path, expected=EXPECTED.what) from error
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    if len(data) != size:
        more = "more than " if len(data) > size else ""
        raise DataError(f"{more}{min(len(data), size)} values", where=path,
                        expected=f"{size} as the header says ({' x '.join(map(str, shape))})")  # fmt: skip
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(header: bytes, axes: int, path: Path) -> tuple[int, ...]:
    magic = bytes([0, 0, _UNSIGNED_BYTE, axes])
    if header[:4] != magic:
        raise DataError(f"starts with {header[:4].hex() or 'nothing'}", where=path,
                        expected=f"{magic.hex()}, an idx file of bytes with {axes} axes")  # fmt: skip
    if len(header) < 4 + 4 * axes:
        raise DataError(f"{len(header)} bytes", where=path, expected=f"a header of {4 + 4 * axes} bytes")
    return tuple(int(n) for n in np.frombuffer(header, ">u4", axes, 4))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{name}[.gz] not found", where=folder, expected="the four idx files of MNIST")
