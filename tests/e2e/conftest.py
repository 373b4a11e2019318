"""A small, separable data set in N-MNIST's layout, and the whole chain run on it once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sast_deploy.cli import run
from sast_deploy.data.events import EVENT, write_nmnist

CLASSES = 4


def banded_events(digit: int, seed: int, n: int = 300) -> np.ndarray:
    """Events in a horizontal band that depends on the digit, plus noise all over."""
    rng = np.random.default_rng([digit, seed])
    events = np.empty(n, EVENT)
    noise = rng.random(n) < 0.2
    events["x"] = rng.integers(0, 34, n)
    events["y"] = np.where(noise, rng.integers(0, 34, n), 8 * digit + rng.integers(0, 8, n))
    events["t"] = np.sort(rng.integers(0, 300_000, n))
    events["p"] = rng.integers(0, 2, n)
    return events


def write_bands(root: Path, train: int = 12, test: int = 5) -> Path:
    for split, number in (("Train", train), ("Test", test)):
        for digit in range(CLASSES):
            for i in range(number):
                seed = i + (1000 if split == "Test" else 0)
                write_nmnist(root / split / str(digit) / f"{i + 1:05d}.bin", banded_events(digit, seed))
    return root


@pytest.fixture(scope="session")
def bands(tmp_path_factory) -> Path:
    return write_bands(tmp_path_factory.mktemp("bands"))


@pytest.fixture(scope="session")
def chain(bands, tmp_path_factory) -> Path:
    """A folder with runs/sast/ckpt.pt and its two exports; tests copy what they damage."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        recipe = ["--epochs", "12", "--batch", "8", "--lr", "0.003", "--rho", "0.05"]
        arguments = ["--dataset", "nmnist", "--recipe", "paper", "--data-root", str(bands), *recipe]
        assert run(["train", *arguments, "-o", "runs/sast/ckpt.pt"]) == 0
        assert run(["compile", "runs/sast/ckpt.pt", "--profile", "loihi-int4"]) == 0
        assert run(["compile", "runs/sast/ckpt.pt", "--profile", "loihi-int8"]) == 0
    return folder
