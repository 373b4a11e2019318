"""What is counted when simulated recordings are held against real ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.data.events import NMNIST_SENSOR, Events
from sast_deploy.data.frames import Binner
from sast_deploy.data.options import FrameOptions

STEPS = 10
RATE_MS = 320  # length of the curve of events per millisecond
_UNCLIPPED = 255
_QUANTILES = (1, 5, 25, 50, 75, 90)  # %


@dataclass(frozen=True, eq=False)
class EventStatistics:
    """Statistics of n recordings at T = 10 equal time bins of each recording's own span.

    Args:
        counts: (n,) int64, events of a recording.
        on_share: (n,) float64, share of ON events.
        per_bin: (10,) float64, mean events of a bin.
        density: mean share of nonzero (bin, polarity, row, column) entries of a frame.
        occupancy: (5,) float64, mean share of entries with exactly 1, 2, 3, 4 and with 5 or more events.
        largest: mean over the recordings of the largest entry.
        rate: (320, 2) float64, mean OFF and ON events in each millisecond.
        intervals_us: (6,) float64, 1, 5, 25, 50, 75, 90 % quantiles of the time between events of one pixel.
        frames: (n, 10, 2, 34, 34) uint8.
    """

    counts: NDArray[np.int64]
    on_share: NDArray[np.float64]
    per_bin: NDArray[np.float64]
    density: float
    occupancy: NDArray[np.float64]
    largest: float
    rate: NDArray[np.float64]
    intervals_us: NDArray[np.float64]
    frames: NDArray[np.uint8]

    @property
    def on_off(self) -> float:
        """ON events per OFF event over all recordings."""
        on = float((self.counts * self.on_share).sum())
        return on / max(float(self.counts.sum()) - on, 1.0)


def statistics(recordings: Iterable[Events]) -> EventStatistics:
    """The statistics of N-MNIST-like recordings (34 x 34). Raises DataError for none or a malformed one."""
    binner = Binner(NMNIST_SENSOR, FrameOptions(steps=STEPS, clip=_UNCLIPPED))
    counts, on_share, frames, gaps = [], [], [], []
    rate = np.zeros((RATE_MS, 2))
    for i, events in enumerate(recordings):
        frame = np.empty(binner.shape, np.uint8)
        counts.append(binner.from_events(events, frame, f"recording {i}"))
        frames.append(frame)
        on_share.append(events["p"].mean())
        at = np.minimum(events["t"] // 1000, RATE_MS - 1) * 2 + events["p"]
        rate += np.bincount(at, minlength=2 * RATE_MS).reshape(RATE_MS, 2)
        gaps.append(_intervals(events))
    if not counts:
        raise DataError("no recordings", expected="at least one")
    stack = np.stack(frames)
    used = [float((stack == k).mean()) for k in (1, 2, 3, 4)]
    density = float((stack > 0).mean())
    return EventStatistics(
        counts=np.array(counts, dtype=np.int64), on_share=np.array(on_share),
        per_bin=stack.sum(axis=(2, 3, 4), dtype=np.int64).mean(axis=0), density=density,
        occupancy=np.array([*used, density - sum(used)]),
        largest=float(stack.max(axis=(1, 2, 3, 4)).mean()), rate=rate / len(counts),
        intervals_us=np.percentile(np.concatenate(gaps), _QUANTILES).astype(np.float64), frames=stack,
    )  # fmt: skip


def _intervals(events: Events) -> NDArray[np.int64]:
    pixel = events["y"].astype(np.int64) * NMNIST_SENSOR[1] + events["x"]
    order = np.argsort(pixel, kind="stable")
    gaps: NDArray[np.int64] = np.diff(events["t"][order])[np.diff(pixel[order]) == 0]
    return gaps


def matched_cosine(real: EventStatistics, simulated: EventStatistics) -> float:
    """Mean cosine between the frames (10, 2, 34, 34) of recording i here and there; 1 is identical shape."""
    a = real.frames.reshape(len(real.frames), -1).astype(np.float32)
    b = simulated.frames.reshape(len(simulated.frames), -1).astype(np.float32)
    norms = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return float(((a * b).sum(axis=1) / norms).mean())
