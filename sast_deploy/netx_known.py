"""Known-answer vectors in a .net file: a few inputs and what the executable specification makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sast_deploy.errors import NetFileError

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


def read_known(sast: h5py.Group, layers: int, path: Path) -> KnownAnswers | None:
    """The vectors of a file whose program has that many spiking layers, or None where it holds none.

    Raises:
        NetFileError: a dataset, named, is not what was written.
    """
    group = sast[GROUP]
    if not int(group["samples"][()]):
        return None
    known = KnownAnswers(
        group["frames"][()],
        tuple(group[f"counts/{number}"][()] for number in range(layers)),
        group["logits"][()],
        tuple(json.loads(bytes(group["trace_digests"][()]))),
    )
    checksums = json.loads(bytes(group["checksums"][()]))
    found = {name: _checksum(array) for name, array in _arrays(known)}
    found["trace_digests"] = hashlib.sha256(bytes(group["trace_digests"][()])).hexdigest()
    for name, checksum in found.items():
        if checksums[name] != checksum:
            raise NetFileError(
                f"was altered: /sast/{GROUP}/{name} does not match its checksum",
                where=path,
                todo="compile the checkpoint again",
            )
    return known


def _arrays(known: KnownAnswers) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield "frames", known.frames
    for number, counts in enumerate(known.counts):
        yield f"counts/{number}", counts
    yield "logits", known.logits


def _checksum(array: npt.NDArray[Any]) -> str:
    """SHA-256 over the values, little-endian, C order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()
