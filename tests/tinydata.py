"""A tiny made-up frame set on which a network learns in a second: class c lights up its own columns."""

from __future__ import annotations

import numpy as np

from sast_deploy.data import DataInfo, FrameOptions, FrameSet, FrameSplit

STEPS, SHAPE, CLASSES, CLIP = 4, (2, 6, 6), 3, 4


def tiny_split(samples: int, seed: int) -> FrameSplit:
    rng = np.random.default_rng(seed)
    labels = np.arange(samples, dtype=np.int64) % CLASSES
    frames = rng.binomial(2, 0.1, (samples, STEPS, *SHAPE)).astype(np.uint8)
    for frame, label in zip(frames, labels, strict=True):
        frame[..., 2 * label : 2 * label + 2] += rng.integers(1, 3, (STEPS, 2, 6, 2), dtype=np.uint8)
    return FrameSplit(
        frames, labels, tuple(f"Train/{c}/{i}.bin" for i, c in enumerate(labels)), int(frames.sum())
    )


def tiny_set(samples: int = 90, digest: str = "0" * 64) -> FrameSet:
    train, test = tiny_split(samples, 1), tiny_split(30, 2)
    info = DataInfo(
        requested="tiny",
        dataset="tiny",
        provenance="SIMULATED: stripes",
        simulated=True,
        root="",
        n_train=samples,
        n_test=30,
        classes=("a", "b", "c"),
        missing_classes=(),
        holdout=None,
        holdout_seed=None,
        frame_digest=digest,
    )
    return FrameSet(train, test, FrameOptions(steps=STEPS, clip=CLIP, size=SHAPE[1:]), info, SHAPE)
