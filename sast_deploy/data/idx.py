"""MNIST's idx files, plain or .gz.

Byte layout, all integers big-endian: 0 0 8 (unsigned bytes) n (number of axes), n lengths of 4 bytes each,
the values.
Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database, yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sast_deploy.errors import DataError

Split = Literal["Train", "Test"]

_STEMS = {"Train": "train", "Test": "t10k"}
_UNSIGNED_BYTE = 8


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
    """The values of an idx file of unsigned bytes with `axes` axes. Raises DataError."""
    data = _read(path)
    header = 4 + 4 * axes
    magic = bytes([0, 0, _UNSIGNED_BYTE, axes])
    if data[:4] != magic:
        raise DataError(f"starts with {data[:4].hex() or 'nothing'}", where=path,
                        expected=f"{magic.hex()}, an idx file of bytes with {axes} axes")  # fmt: skip
    if len(data) < header:
        raise DataError(f"{len(data)} bytes", where=path, expected=f"a header of {header} bytes")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    size = int(np.prod([int(n) for n in shape], dtype=object))
    if len(data) - header != size:
        raise DataError(f"{len(data) - header} values", where=path,
                        expected=f"{size} as the header says ({' x '.join(map(str, shape))})")  # fmt: skip
    values = np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    return values


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{name}[.gz] not found", where=folder, expected="the four idx files of MNIST")


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a whole gzip file: {error}", where=path, expected="an undamaged .gz") from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
