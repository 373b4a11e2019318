"""Builds the frames of a data set into the cache: read, check, count, checksum, a chunk at a time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import DataError, OwnTestSplitError
from sast_deploy.base.progress import task
from sast_deploy.base.threads import in_order
from sast_deploy.data.cache import (
    CHUNK,
    CODEC_VERSION,
    SPLITS,
    Entry,
    FrameCache,
    digest_of,
    frames_file,
    write_meta,
)
from sast_deploy.data.frames import Binner, Frames
from sast_deploy.data.options import FrameOptions
from sast_deploy.data.recordings import NAMES, Recording, Recordings
from sast_deploy.data.split import Holdout, stratified_split


def split_recordings(
    recordings: Recordings, split: Holdout, where: Path
) -> dict[str, tuple[Recording, ...]]:
    """The training and the test recordings.

    Raises:
        DataError: no test recordings and no holdout, or both; a fraction that holds nothing.
    """
    if recordings.test is not None:
        if split.fraction is not None:
            raise OwnTestSplitError(
                f"holdout {split.fraction:g} beside the data set's own test split of {len(recordings.test)}",
                where=where, todo="leave out --holdout",
            )
        return {"train": recordings.train, "test": recordings.test}
    if split.fraction is None:
        raise DataError(
            "there is no test split", where=where, expected="a Test folder, "
            "or --holdout 0.2 for a stratified fifth of the training recordings",
        )
    if not 0.0 < split.fraction < 1.0:
        raise DataError(f"--holdout {split.fraction:g}", expected="a share between 0 and 1, both excluded")
    parts = stratified_split([each.label for each in recordings.train], split.fraction, split.seed)
    return {
        name: tuple(recordings.train[i] for i in part) for name, part in zip(SPLITS, parts, strict=True)
    }


def build(
    cache: FrameCache, signature: str, recordings: Recordings, options: FrameOptions, split: Holdout,
    where: Path,
) -> Entry:
    """Build all frames and store them under `signature`; the opened entry. Raises DataError, OutputError."""
    parts = split_recordings(recordings, split, where)
    binner = Binner(recordings.sensor, options)
    options = replace(options, size=binner.shape[2:])
    content = hashlib.sha256()
    meta: dict[str, Any] = {"options": options.to_dict(), "classes": list(recordings.classes)}
    with cache.workspace() as folder:
        for name in SPLITS:
            meta[name] = _write_split(folder, name, parts[name], recordings, binner, content)
        shaping = {"codec": CODEC_VERSION, "options": meta["options"], **split.to_dict()}
        meta["digest"] = digest_of({**shaping, "content": content.hexdigest()})
        write_meta(folder, meta)
        return cache.store(signature, meta["digest"], folder)


def _write_split(
    folder: Path, name: str, samples: tuple[Recording, ...], recordings: Recordings, binner: Binner,
    content: Any,
) -> dict[str, Any]:
    n_events, checksums, shape = 0, [], (len(samples), *binner.shape)
    with frames_file(folder, name, shape) as file, task(f"{name} frames", len(samples)) as framed:
        for chunk, records in _framed_chunks(samples, recordings, binner):
            file.write(chunk.data)
            checksums.append(zlib.crc32(chunk.data))
            for sample, (events, digest) in records:
                n_events += events
                content.update(f"{name} {sample.id} {sample.label} ".encode(errors=NAMES) + digest)
            framed.advance(len(chunk))
    labels, ids = [sample.label for sample in samples], [sample.id for sample in samples]
    return {
        "shape": list(shape), "crc32": checksums, "labels": labels, "ids": ids, "n_events": n_events,
    }  # fmt: skip


Records = list[tuple[Recording, tuple[int, bytes]]]


def _framed_chunks(
    samples: tuple[Recording, ...], recordings: Recordings, binner: Binner
) -> Iterator[tuple[Frames, Records]]:
    """Frame the samples in chunks, in order; a few chunks at most are in memory at once."""

    def frame_chunk(start: int) -> tuple[Frames, Records]:
        part = samples[start : start + CHUNK]
        chunk = np.empty((len(part), *binner.shape), np.uint8)
        pairs = zip(part, chunk, strict=True)
        return chunk, [(sample, recordings.frame(sample, binner, out)) for sample, out in pairs]

    return in_order(frame_chunk, range(0, len(samples), CHUNK), recordings.threads)
