"""Builds the frames of a data set into the cache: read, check, count, checksum, a chunk at a time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import DataError, OwnTestSplitError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.progress import task
from sast_deploy.base.threads import in_order
from sast_deploy.data.cache import (
    ARRAY,
    CHUNK,
    CODEC_VERSION,
    EVENTS,
    LISTS,
    SPLITS,
    Entry,
    FrameCache,
    checksum,
    digest_of,
    event_files,
    growing_file,
    open_frames,
    write_meta,
)
from sast_deploy.data.frames import Binner
from sast_deploy.data.options import FrameOptions
from sast_deploy.data.recordings import NAMES, Recording, Recordings
from sast_deploy.data.split import Holdout, stratified_split

SCRATCH = 1 << 19  # bytes of frames that become events while they are in a core's cache


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
    whole: dict[str, list[Recording]] = {}  # parts of a recording are never on both sides
    for each in recordings.train:
        whole.setdefault(each.source or each.id, []).append(each)
    groups = list(whole.values())
    parts = stratified_split([group[0].label for group in groups], split.fraction, split.seed)
    return {
        name: tuple(each for i in part for each in groups[i])
        for name, part in zip(SPLITS, parts, strict=True)
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
        if recordings.remark:
            meta["remark"] = recordings.remark
        meta["digest"] = digest_of({**shaping, "content": content.hexdigest()})
        write_meta(folder, meta)
        return cache.store(signature, meta["digest"], folder)


def _write_split(
    folder: Path, name: str, samples: tuple[Recording, ...], recordings: Recordings, binner: Binner,
    content: Any,
) -> dict[str, Any]:
    """Write the frames of a split as events, or as an array where that takes less room; its part of meta."""
    shape, n_events = (len(samples), *binner.shape), 0
    checksums: list[int] = []
    with task(f"{name} frames", len(samples)) as framed, event_files(folder, name, shape) as append:
        for chunk, found, records in _framed_chunks(samples, recordings, binner):
            append(chunk)
            checksums.append(found)
            for sample, (events, digest) in records:
                n_events += events
                content.update(f"{name} {sample.id} {sample.label} ".encode(errors=NAMES) + digest)
            framed.advance(len(chunk))
    labels, ids = [sample.label for sample in samples], [sample.id for sample in samples]
    record = {
        "shape": list(shape), "coding": EVENTS, "crc32": checksums, "labels": labels, "ids": ids,
        "n_events": n_events,
    }  # fmt: skip
    size = sum((folder / f"{name}.{each}.npy").stat().st_size for each in LISTS)
    return record if size < prod(shape) else _as_array(folder, name, record)


def _as_array(folder: Path, name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Write the frames as an array in place of the lists; their part of meta."""
    lists, checksums = open_frames(folder, name, record), []
    with growing_file(folder / f"{name}.npy", np.uint8, tuple(record["shape"][1:])) as append:
        for start in range(0, len(lists), CHUNK):
            chunk = np.asarray(lists[start : start + CHUNK])
            append(chunk)
            checksums.append(checksum(chunk))
    for each in LISTS:
        (folder / f"{name}.{each}.npy").unlink()
    return {**record, "coding": ARRAY, "crc32": checksums}


Records = list[tuple[Recording, tuple[int, bytes]]]


def _framed_chunks(
    samples: tuple[Recording, ...], recordings: Recordings, binner: Binner
) -> Iterator[tuple[EventFrames, int, Records]]:
    """Frames of the samples in chunks, in order, with their checksums; few chunks are in memory at once."""
    room = max(1, min(CHUNK, SCRATCH // prod(binner.shape)))
    kept = threading.local()  # memory that is new is slow: the kernel clears each page of it

    def frame_chunk(start: int) -> tuple[EventFrames, int, Records]:
        if not hasattr(kept, "scratch"):
            kept.scratch = np.empty((room, *binner.shape), np.uint8)
        scratch, parts, records = kept.scratch, [], []
        end = min(start + CHUNK, len(samples))
        for first in range(start, end, room):
            part = samples[first : min(first + room, end)]
            pairs = zip(part, scratch, strict=False)
            records += [(sample, recordings.frame(sample, binner, out)) for sample, out in pairs]
            parts.append(EventFrames.from_dense(scratch[: len(part)]))
        chunk = EventFrames.joined(parts)
        return chunk, checksum(chunk), records

    return in_order(frame_chunk, range(0, len(samples), CHUNK), recordings.threads)
