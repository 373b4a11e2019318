"""What parent, child and actors share: memory-mapped .npy files, and which samples a time step stands for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program
from sast_deploy.program.record import ROWS, SpikeRecord, Trace

FrameSource = dict[str, Any]


@dataclass(frozen=True)
class BatchClock:
    """`samples` samples from the `first` on, of `steps` steps each, `batch` samples at once."""

    samples: int
    steps: int
    batch: int
    first: int = 0

    @property
    def lava_steps(self) -> int:
        """How many Lava time steps the whole run takes; the last batch may be partly empty."""
        return -(-self.samples // self.batch) * self.steps

    def at(self, time_step: int) -> tuple[slice, int]:
        """The samples and their step (0..steps-1) at a Lava time step, which counts from 1."""
        batch, step = divmod(time_step - 1, self.steps)
        start, end = batch * self.batch, min((batch + 1) * self.batch, self.samples)
        return slice(self.first + start, self.first + end), step


@dataclass(frozen=True, eq=False)
class Results:
    """What the actors fill in. beats: int64 (2,), how many Lava time steps are finished and how many there
    are.
    """

    record: SpikeRecord
    beats: npt.NDArray[np.int64]


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


def create_record(run_dir: Path, program: Program, samples: int, steps: int, trace: bool) -> None:
    """Every array of a run's record, now, so that a full disk is found now. Raises OSError."""
    for number, (index, _) in enumerate(program.spiking()):
        neurons = math.prod(program.shapes()[index + 1])
        create_shared(run_dir / f"counts{number}.npy", np.int32, (samples, neurons))
        if trace:
            create_shared(run_dir / f"membrane{number}.npy", np.int32, (samples, steps, neurons))
            create_shared(run_dir / f"spikes{number}.npy", np.uint8, (samples, steps, neurons))
    create_shared(run_dir / "logits.npy", np.int64, (samples, len(program.classes)))


def open_record(run_dir: Path, program: Program, trace: bool, writable: bool) -> SpikeRecord:
    """The record as maps; they outlive the folder, since a mapped file keeps its blocks."""

    def of_layers(name: str) -> list[npt.NDArray[Any]]:
        files = (run_dir / f"{name}{number}.npy" for number, _ in enumerate(program.spiking()))
        return [open_shared(file, writable) for file in files]

    traces = tuple(map(Trace, of_layers("membrane"), of_layers("spikes"))) if trace else None
    return SpikeRecord(tuple(of_layers("counts")), open_shared(run_dir / "logits.npy", writable), traces)


def share_frames(run_dir: Path, frames: Frames, kind: npt.DTypeLike = np.uint8) -> FrameSource:
    """Where another process finds these frames as `kind`: where they are mapped from, or a copy."""
    shared = {"dtype": np.dtype(kind).name, "shape": frames.shape}
    if isinstance(frames, np.memmap) and frames.dtype == kind and frames.flags.c_contiguous:
        root = frames
        while isinstance(root.base, np.memmap):
            root = root.base
        if _holds_its_file(root):
            skipped = frames.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            return {"path": str(root.filename), "offset": root.offset + skipped, **shared}
    path = run_dir / "frames.bin"
    with open(path, "wb") as file:
        for start in range(0, len(frames), ROWS):
            np.ascontiguousarray(frames[start : start + ROWS], kind).tofile(file)
    return {"path": str(path), "offset": 0, **shared}


def map_frames(source: FrameSource) -> npt.NDArray[Any]:
    """The frames that `share_frames` described, mapped read-only."""
    return np.memmap(source["path"], source["dtype"], "r", source["offset"], tuple(source["shape"]))


def _holds_its_file(mapped: np.memmap[Any, Any]) -> bool:
    """Whether the file holds what the array holds: a copy-on-write map may differ from its file."""
    return mapped.mode in ("r", "r+") and mapped.filename is not None and Path(mapped.filename).is_file()
