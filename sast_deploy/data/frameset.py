"""The frames of a data set, split into training and test samples, with the record of where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.progress import track
from sast_deploy.base.rules import COUNT, FRACTION, SEED, Items, Maybe, Text
from sast_deploy.base.settings import Nested, Settings
from sast_deploy.data.options import MAX_CLASSES, FrameOptions, RecordingOptions

DESCRIBE_CHUNK = 512  # samples looked at in one go, so that a large set never sits in memory


@dataclass(frozen=True, eq=False)
class FrameSplit:
    """Samples of one split.

    Fields:
        frames: (n, T, 2, H, W) unsigned bytes, 0..clip, memory-mapped and read-only: as events, or as an
            array where that takes less room; `np.asarray` of samples chosen from either is an array. None,
            (0, T, 2, H, W), where only the other split was wanted.
        labels: (n,) int64 class indices into DataInfo.classes, read-only.
        ids: n names such as "Train/7/00123.bin", unique within the data set.
        n_events: events in all its recordings, before clipping and dropping.

    >>> data.test.frames.shape[1:]
    (4, 2, 6, 6)
    """

    frames: NDArray[np.uint8] | EventFrames
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    n_events: int

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: NDArray[np.int64]) -> FrameSplit:
        """These samples alone, in this order; their events in proportion: recordings are not read again."""
        frames, labels = self.frames[indices], self.labels[indices]
        labels.setflags(write=False)
        if isinstance(frames, np.ndarray):
            frames.setflags(write=False)
        events = round(self.n_events * len(indices) / len(self))
        return FrameSplit(frames, labels, tuple(self.ids[i] for i in indices), events)


@dataclass(frozen=True)
class DataInfo(Settings, called="data info", error=DataError, later={"recordings": None}):
    """Where the frames come from; written into checkpoints, .net files and reports.

    Fields:
        requested: the name that was asked for, e.g. "auto".
        dataset: what it stands for, e.g. "nmnist" or "digits-saccade".
        provenance: one honest sentence; begins with "SIMULATED:" where no camera was involved.
        simulated: True where no camera was involved.
        root: the folder they were read from; given as data_root, it leads there again.
        n_train, n_test: numbers of samples.
        classes: names of all classes; labels index this.
        missing_classes: names of the classes without a training sample.
        holdout, holdout_seed: fraction and seed of the test split taken from the training recordings;
            None where the data set has its own test split.
        frame_digest: SHA-256 over the recordings' content and everything else that shapes the frames.
        recordings: how recordings of one's own were read and cut; None for all other data sets.

    >>> data.info.dataset
    'tiny'
    """

    requested: Annotated[str, Text(1024)]
    dataset: Annotated[str, Text(1024)]
    provenance: Annotated[str, Text(16384)]
    simulated: bool
    root: Annotated[str, Text()]
    n_train: Annotated[int, COUNT]
    n_test: Annotated[int, COUNT]
    classes: Annotated[tuple[str, ...], Items(Text(1024), 1, MAX_CLASSES)]
    missing_classes: Annotated[tuple[str, ...], Items(Text(1024), 0, MAX_CLASSES)]
    holdout: Annotated[float | None, Maybe(FRACTION)]
    holdout_seed: Annotated[int | None, Maybe(SEED)]
    frame_digest: Annotated[str, Text(128)]
    recordings: Annotated[RecordingOptions | None, Maybe(Nested(RecordingOptions))] = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without `recordings` where there are none, as before there were any."""
        values = super().to_dict()
        return {key: each for key, each in values.items() if key != "recordings" or each is not None}

    def unlike(self, trained: DataInfo) -> str | None:
        """None for the very frames of `trained`, both splits alike; else what that means for a test."""
        if self.frame_digest == trained.frame_digest:
            return None
        if self.dataset != trained.dataset:
            return f"trained on another data set, {trained.dataset}"
        if self.holdout is not None:
            return "not the recordings and the split of training: training samples may be among these"
        return "not the recordings of training: training samples may be among these"

    def warning(self, trained: DataInfo) -> tuple[str, ...]:
        """What a person is told where these are not the very frames of `trained`; nothing else."""
        unlike = self.unlike(trained)
        return (f"WARNING: {unlike}",) if unlike else ()

    def summary(self) -> str:
        """One line that says which data set this is, how it was obtained and how large it is."""
        parts = [f"{self.dataset}: {self.provenance}; {self.n_train} training and {self.n_test} test samples"]
        if self.holdout is not None:
            parts.append(f"test split held out ({self.holdout:g} of each class, seed {self.holdout_seed})")
        if self.missing_classes:
            parts.append(f"no training samples of {', '.join(self.missing_classes)}")
        return "; ".join(parts)


@dataclass(frozen=True, eq=False)
class FrameSet:
    """A data set as frames.

    Fields:
        train, test: the two splits, without a common sample.
        options: as used: `size` is filled in.
        info: where the samples come from.
        sensor: (C, H, W) of the frames, C = 2 polarities.

    >>> data.sensor
    (2, 6, 6)
    """

    train: FrameSplit
    test: FrameSplit
    options: FrameOptions
    info: DataInfo
    sensor: tuple[int, int, int]


@dataclass(frozen=True)
class SplitSummary:
    """One row of `describe`: what a split holds.

    Fields:
        split: "train" or "test".
        samples: number of samples.
        per_class: samples of each class, in the order of DataInfo.classes.
        mean_events: events per recording, before clipping and dropping.
        density: fraction of frame entries that are not zero.
        mean_count: sum of all frame entries per sample.
        max_count: largest entry.
        clipped: fraction of the nonzero entries that stand at the clip value.
    """

    split: str
    samples: int
    per_class: tuple[int, ...]
    mean_events: float
    density: float
    mean_count: float
    max_count: int
    clipped: float


def describe(frame_set: FrameSet) -> tuple[SplitSummary, SplitSummary]:
    """Figures of the training and the test split; reads every frame once, in chunks, under a bar."""
    n_classes, clip = len(frame_set.info.classes), frame_set.options.clip
    train = _describe("train", frame_set.train, n_classes, clip)
    return train, _describe("test", frame_set.test, n_classes, clip)


def _describe(name: str, split: FrameSplit, n_classes: int, clip: int) -> SplitSummary:
    starts = range(0, len(split), DESCRIBE_CHUNK)
    histogram = np.zeros(256, np.int64)
    for start in track(starts, f"looking at {name} frames"):
        histogram += _histogram(split.frames[start : start + DESCRIBE_CHUNK])
    entries, nonzero = int(histogram.sum()), int(histogram[1:].sum())
    return SplitSummary(
        split=name,
        samples=len(split),
        per_class=tuple(int(n) for n in np.bincount(split.labels, minlength=n_classes)),
        mean_events=split.n_events / len(split),
        density=nonzero / entries,
        mean_count=float(histogram @ np.arange(256)) / len(split),
        max_count=int(np.flatnonzero(histogram)[-1]),
        clipped=float(histogram[clip]) / nonzero if nonzero else 0.0,
    )


def _histogram(chunk: NDArray[np.uint8] | EventFrames) -> NDArray[np.int64]:
    """How often each of 256 values occurs; pairs of bytes are counted, which takes half the time."""
    if isinstance(chunk, EventFrames):
        listed = np.bincount(chunk.count, minlength=256)
        listed[0] = prod(chunk.shape) - len(chunk.count)
        return listed
    flat = chunk.reshape(-1)
    even = len(flat) & ~1
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    found: NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    found[flat[even:]] += 1
    return found
