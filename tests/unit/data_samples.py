"""Small recordings for the data tests, and the frames of a recording derived a second, slow way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sast_deploy.data.events import EVENT, write_nmnist
from sast_deploy.data.options import FrameOptions


def random_events(seed: int, n: int = 200, sensor: tuple[int, int] = (34, 34), span_us: int = 300_000):
    """n events in order of time on a sensor (height, width)."""
    generator = np.random.default_rng(seed)
    events = np.empty(n, EVENT)
    events["x"] = generator.integers(0, sensor[1], n)
    events["y"] = generator.integers(0, sensor[0], n)
    events["t"] = np.sort(generator.integers(5, span_us, n))
    events["p"] = generator.integers(0, 2, n)
    return events


def write_folder(root: Path, counts: Mapping[str, Mapping[int, int]], seed: int = 0) -> Path:
    """N-MNIST's layout with counts = {"Train": {digit: number of recordings}}; returns root."""
    for split, digits in counts.items():
        for digit, number in digits.items():
            for i in range(number):
                name = root / split / str(digit) / f"{i + 1:05d}.bin"
                write_nmnist(name, random_events(seed + 1000 * digit + i + (500 if split == "Test" else 0)))
    return root


def slow_frames(events, sensor: tuple[int, int], options: FrameOptions) -> np.ndarray:
    """The frames by Python integers and np.add.at, straight from the words of FrameOptions."""
    height, width = options.size or sensor
    times = [int(t) for t in events["t"]]
    first = times[0]
    if options.duration_us is not None:
        times = [t for t in times if t < first + options.duration_us]
    n, steps = len(times), options.steps
    span = options.duration_us if options.duration_us is not None else times[-1] - first + 1
    by_time = [(t - first) * steps // span for t in times]
    step = by_time if options.binning == "time" else [k * steps // n for k in range(n)]
    row = [int(y) * height // sensor[0] for y in events["y"][:n]]
    column = [int(x) * width // sensor[1] for x in events["x"][:n]]
    frames = np.zeros((steps, 2, height, width), np.int64)
    np.add.at(frames, (step, events["p"][:n].astype(int), row, column), 1)
    return np.minimum(frames, options.clip).astype(np.uint8)
