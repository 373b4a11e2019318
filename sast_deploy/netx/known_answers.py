"""Known-answer vectors in a .net file: a few inputs and what the executable specification makes of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.reading.hdf5 import read_dataset
from sast_deploy.base.rules import shown
from sast_deploy.netx.program_group import EXPECTED, refuse
from sast_deploy.program.program import Program

GROUP = "known_answers"


@dataclass(frozen=True, eq=False)
class KnownAnswers:
    """Inputs and their answers, by the reference.

    frames: uint8 (samples, time, C, H, W). counts: int32 (samples, neurons) per spiking layer. logits:
    int64 (samples, classes). digests: one per sample, SHA-256 over, layer by layer, all its membrane
    potentials (time, neurons) as little-endian int32, then all its spikes (time, neurons) as bytes 0 or 1.
    """

    frames: npt.NDArray[np.uint8]
    counts: tuple[npt.NDArray[np.int32], ...]
    logits: npt.NDArray[np.int64]
    digests: tuple[str, ...]

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for _, array in _arrays(self):
            array.flags.writeable = False


def write_known(sast: h5py.Group, known: KnownAnswers | None) -> None:
    """Add the group; without vectors it says that it holds none."""
    group = sast.create_group(GROUP)
    group.create_dataset("samples", data=0 if known is None else len(known.frames))
    if known is None:
        return
    for name, array in _arrays(known):
        group.create_dataset(name, data=array, compression="gzip", shuffle=True)
    group.create_dataset("trace_digests", data=np.bytes_(json.dumps(known.digests)))
    checksums = {name: _checksum(array) for name, array in _arrays(known)}
    checksums["trace_digests"] = hashlib.sha256(json.dumps(known.digests).encode()).hexdigest()
    group.create_dataset("checksums", data=np.bytes_(json.dumps(checksums, sort_keys=True)))


def read_known(sast: h5py.Group, program: Program, path: Path) -> KnownAnswers | None:
    """The vectors of a program's file, or None where it holds none.

    Raises:
        NetFileError: a dataset, named, is not what was written, or not of this program.
    """
    group = sast[GROUP]
    number = read_dataset(group, "samples")
    if number.shape != () or number.dtype.kind not in "iu":
        refuse(path, f"/sast/{GROUP}/samples is {number.dtype} {number.shape}, not one integer")
    if not number:
        return None
    sizes = [math.prod(program.shapes()[index + 1]) for index, _ in program.spiking()]
    digests = bytes(read_dataset(group, "trace_digests")[()])
    known = KnownAnswers(
        _array(group, "frames", np.uint8, (None, program.steps, *program.input_shape), path),
        tuple(_array(group, f"counts/{n}", np.int32, (None, size), path) for n, size in enumerate(sizes)),
        _array(group, "logits", np.int64, (None, len(program.classes)), path),
        _digests(digests, path),
    )
    checksums = parse_json(bytes(read_dataset(group, "checksums")[()]), f"{path} /sast/{GROUP}", EXPECTED)
    found = {name: _checksum(array) for name, array in _arrays(known)}
    found["trace_digests"] = hashlib.sha256(digests).hexdigest()
    for name, checksum in found.items():
        if checksums[name] != checksum:
            refuse(path, f"was altered: /sast/{GROUP}/{name} does not match its checksum")
    samples = {len(array) for _, array in _arrays(known)} | {len(known.digests)}
    if samples != {int(number)} or known.frames.max() > program.input_max:
        refuse(path, f"/sast/{GROUP} holds vectors that are none of this program")
    return known


def _digests(content: bytes, path: Path) -> tuple[str, ...]:
    place = f"/sast/{GROUP}/trace_digests"
    found = parse_json(content, f"{path} {place}", EXPECTED)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        refuse(path, f"{place} is {shown(found)}, not a list of digests")
    return tuple(found)


def _array(
    group: h5py.Group, name: str, dtype: Any, shape: tuple[int | None, ...], path: Path
) -> npt.NDArray[Any]:
    """A dataset of known type and shape; None stands for any length."""
    found = read_dataset(group, name)
    right = found.dtype == dtype and found.ndim == len(shape) and found.size
    if not right or any(want not in (None, size) for want, size in zip(shape, found.shape, strict=True)):
        wanted = ", ".join("samples" if want is None else str(want) for want in shape)
        is_what = f"{found.dtype} {found.shape}, not {np.dtype(dtype)} ({wanted})"
        refuse(path, f"/sast/{GROUP}/{name} is {is_what}")
    return found


def _arrays(known: KnownAnswers) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield "frames", known.frames
    for number, counts in enumerate(known.counts):
        yield f"counts/{number}", counts
    yield "logits", known.logits


def _checksum(array: npt.NDArray[Any]) -> str:
    """SHA-256 over the values, little-endian, C order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()
