"""Folders of N-MNIST recordings for the benchmarks: links to real ones, or made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sast_deploy.data.events import EVENT, write_nmnist
from sast_deploy.data.readers.nmnist import find_nmnist

MEAN_EVENTS = 4110  # of the real recordings


def folder(place: Path, data_root: Path | None, train: int, test: int = 0) -> Path:
    """`place` with so many recordings in Train and Test, those of `data_root`'s Train again and again.

    Without data_root made-up ones of as many events as the real ones have. Raises SystemExit: no recordings.
    """
    if data_root is None:
        sources = made_up(place / "made-up", min(max(train, test), 2000))
    else:
        root = find_nmnist(data_root)
        sources = sorted((root or data_root).absolute().glob("Train/*/*.bin"))
        if not sources:
            raise SystemExit(f"no N-MNIST recordings in {data_root}")
    spread = np.random.default_rng(0).permutation(len(sources))
    for split, count in (("Train", train), ("Test", test)):
        for i in range(count):
            source = sources[spread[i % len(sources)]]
            link = place / "root" / split / source.parent.name / f"{i:06d}.bin"
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(source, link)
    return place / "root"


def made_up(root: Path, samples: int) -> list[Path]:
    generator, paths = np.random.default_rng(0), []
    for i in range(samples):
        events = np.zeros(MEAN_EVENTS, EVENT)
        events["x"], events["y"] = generator.integers(0, 34, (2, MEAN_EVENTS))
        events["t"] = np.sort(generator.integers(0, 300_000, MEAN_EVENTS))
        events["p"] = generator.integers(0, 2, MEAN_EVENTS)
        paths.append(root / str(i % 10) / f"{i:05d}.bin")
        write_nmnist(paths[-1], events)
    return paths
