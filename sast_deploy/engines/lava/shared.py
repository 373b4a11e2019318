"""Arrays that parent, child and actors share: memory-mapped .npy files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FrameSource = dict[str, Any]


def create_shared(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """A .npy file of zeros with its blocks reserved: writing to a map of a full disk would be a SIGBUS.

    Raises:
        OSError: no space, not writable.
    """
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # type: ignore[no-untyped-call]
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def open_shared(path: Path, writable: bool) -> npt.NDArray[Any]:
    """Map a .npy file; what is written is seen by every process that mapped it."""
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r+" if writable else "r")
    return array


def share_frames(run_dir: Path, frames: npt.NDArray[Any]) -> FrameSource:
    """Where another process finds these frames: in the file they are mapped from, else in a copy."""
    shared = {"dtype": frames.dtype.name, "shape": frames.shape}
    root = frames
    while isinstance(root, np.memmap) and isinstance(root.base, np.memmap):
        root = root.base
    if isinstance(root, np.memmap) and frames.flags.c_contiguous and _holds_its_file(root):
        skipped = frames.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return {"path": str(root.filename), "offset": root.offset + skipped, **shared}
    path = run_dir / "frames.bin"
    with open(path, "wb") as file:
        np.ascontiguousarray(frames).tofile(file)
    return {"path": str(path), "offset": 0, **shared}


def map_frames(source: FrameSource) -> npt.NDArray[Any]:
    """The frames that `share_frames` described, mapped read-only."""
    return np.memmap(source["path"], source["dtype"], "r", source["offset"], tuple(source["shape"]))


def _holds_its_file(mapped: np.memmap[Any, Any]) -> bool:
    """Whether the file holds what the array holds: a copy-on-write map may differ from its file."""
    return mapped.mode in ("r", "r+") and mapped.filename is not None and Path(mapped.filename).is_file()
