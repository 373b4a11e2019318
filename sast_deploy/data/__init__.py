"""Event recordings to frames: one call, any data set, cached on disk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from sast_deploy.data.cache import CODEC_VERSION, SPLITS, Entry, FrameCache, digest_of
from sast_deploy.data.frameset import DataInfo, FrameSet, FrameSplit, SplitSummary, describe
from sast_deploy.data.options import FrameOptions, RecordingOptions
from sast_deploy.data.readers.sources import FOLDER, find_source
from sast_deploy.data.recordings import Source
from sast_deploy.data.split import Holdout, stratified_split

__all__ = [
    "DataInfo",
    "FrameOptions",
    "FrameSet",
    "FrameSplit",
    "RecordingOptions",
    "SplitSummary",
    "describe",
    "load_frames",
    "stratified_split",
]


def load_frames(
    dataset: str,
    options: FrameOptions,
    *,
    data_root: Path | None = None,
    holdout: float | None = None,
    holdout_seed: int = 0,
    cache_dir: Path | None = None,
    download: bool = True,
    splits: Collection[str] = SPLITS,
    recordings: RecordingOptions | None = None,
) -> FrameSet:
    """Frames of a data set, from the cache where they are there, else built, checked and cached.

    Args:
        dataset: "nmnist" (real, never anything else), "auto" (real N-MNIST where it is on the disk, else
            "digits-saccade"), "digits-saccade", "nmnist-simulated", "dvsgesture", "cifar10dvs",
            "tonic:<ClassName>" for any tonic set of (x, y, t, p) events with class labels, or "folder:PATH"
            for recordings of your own (docs/recordings.md).
        options: see FrameOptions.
        data_root: folder of the recordings; default $SAST_DATA_ROOT, else ./data.
        holdout: fraction of each class held out as test split, for data sets without one.
        holdout_seed: its seed.
        cache_dir: default $SAST_CACHE_DIR, else ~/.cache/sast-deploy.
        download: fetch recordings that are nowhere; False where a file, not a person, names the data set.
        splits: whose frames are wanted; another one has labels and ids, and no frames.
        recordings: how those of a folder are read and cut; None: as RecordingOptions().

    Raises:
        DataError: no such data set, recordings that cannot be used, no test split.
        OutputError: the cache cannot be written.

    >>> sast.load_frames("digits-saccade", sast.FrameOptions()).info.n_test
    449
    """
    cache = FrameCache(cache_dir)
    source = find_source(dataset, data_root, cache.folder, download, recordings)
    if options.size is None:
        options = replace(options, size=source.default_size)
    split = Holdout(holdout, holdout_seed)
    signature = _signature(source, options, split)
    entry = cache.find(signature, splits) or _built(cache, signature, source, options, split)
    if dataset.startswith(FOLDER) and recordings is None:
        recordings = RecordingOptions()
    return _frame_set(dataset, source, entry, split, recordings)


def _built(
    cache: FrameCache, signature: str, source: Source, options: FrameOptions, split: Holdout
) -> Entry:
    """The frames, built by this process, or by one that did it just now. Raises DataError, OutputError."""
    from sast_deploy.data.build import build  # compiles kernels; not needed for cached frames

    with cache.alone(source.dataset, source.root) as waited:
        if waited:  # for one that may have downloaded the recordings
            signature = _signature(source, options, split)
        entry = cache.find(signature)
        if entry is None:
            recordings = source.open()
            if source.downloads:  # before a recording is read
                signature = _signature(source, options, split)
            entry = build(cache, signature, recordings, options, split, source.place)
    return entry


def _signature(source: Source, options: FrameOptions, split: Holdout) -> str:
    shaping = {"codec": CODEC_VERSION, "options": options.to_dict(), **split.to_dict()}
    return digest_of({"dataset": source.dataset, "files": source.signature(), **shaping})


def _frame_set(
    requested: str, source: Source, entry: Entry, split: Holdout, recordings: RecordingOptions | None
) -> FrameSet:
    train, test = (_frame_split(entry, name) for name in SPLITS)
    classes = tuple(entry.meta["classes"])
    trained = set(train.labels.tolist())
    info = DataInfo(
        requested=requested,
        dataset=source.dataset,
        provenance="; ".join(filter(None, (source.provenance, entry.meta.get("remark")))),
        simulated=source.simulated,
        root=str(source.root.absolute()),
        n_train=len(train),
        n_test=len(test),
        classes=classes,
        missing_classes=tuple(name for label, name in enumerate(classes) if label not in trained),
        holdout=split.fraction,
        holdout_seed=split.seed if split.fraction is not None else None,
        frame_digest=entry.meta["digest"],
        recordings=recordings,
    )
    options = FrameOptions.from_dict(entry.meta["options"])
    channels, height, width = entry.meta["test"]["shape"][2:]
    return FrameSet(train, test, options, info, (channels, height, width))


def _frame_split(entry: Entry, name: str) -> FrameSplit:
    record = entry.meta[name]
    labels = np.asarray(record["labels"], np.int64)
    labels.setflags(write=False)
    frames = entry.frames.get(name, np.empty((0, *record["shape"][1:]), np.uint8))
    return FrameSplit(frames, labels, tuple(record["ids"]), record["n_events"])
