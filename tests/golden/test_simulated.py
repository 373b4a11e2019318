"""Simulated recordings are, byte by byte, what an earlier version made of the same seeds (simulated.json).

The digests are those of commit 70eba8f. They may change only together with `GENERATOR_VERSION`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.camera.pixelmodel import IMAGE, PixelModel, simulate_recording
from sast_deploy.data.camera.sessions import session_model

DIGESTS = json.loads((Path(__file__).parent / "files" / "simulated.json").read_text())
SEEDS = ((0, 1), (7, 2), (2**70 + 3, 99))  # and the recording's number


def images() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:IMAGE, :IMAGE] - 13.5
    generator = np.random.Generator(np.random.PCG64(0))
    return {
        "disc": np.where(np.abs(np.hypot(x, y) - 7) < 1.5, 255, 0).astype(np.uint8),
        "paper": np.zeros((IMAGE, IMAGE), np.uint8),
        "noise": generator.integers(0, 256, (IMAGE, IMAGE)).astype(np.uint8),
        "corner": np.pad(np.full((3, 3), 200, np.uint8), ((0, 25), (25, 0))),
        "full": np.full((IMAGE, IMAGE), 255, np.uint8),
    }


def models() -> dict[str, PixelModel]:
    model = PixelModel()
    return {
        "default": model,
        "late": session_model(model, 16_500, "Train"),
        "test": session_model(model, 3, "Test"),
        "wide": dataclasses.replace(model, blur_px=3.0, magnification=1.15),
        "small": dataclasses.replace(model, blur_px=0.2, magnification=0.25),
        "fast": dataclasses.replace(
            model, threshold_on=0.1, threshold_off=0.12, refractory_us=0, noise_on_hz=5.0, noise_off_hz=2.0
        ),
        "blind": dataclasses.replace(model, refractory_us=4321, mismatch=0.5, threshold_noise=0.5),
        "exact": dataclasses.replace(
            model, mismatch=0.0, threshold_noise=0.0, jitter_us=(0, 0, 0), magnification=1.0,
            noise_on_hz=0.0, noise_off_hz=0.0,
        ),
        "far": dataclasses.replace(model, path=tuple((9 - 18 * k / 62, 18 * k / 62 - 9) for k in range(63))),
    }  # fmt: skip


def test_there_is_a_digest_for_each() -> None:
    assert sorted(DIGESTS) == sorted(f"{model} {image}" for model in models() for image in images())
    assert len(set(DIGESTS.values())) > 35


@pytest.mark.parametrize("name", models())
def test_the_same_bytes_as_ever(name: str) -> None:
    for kind, image in images().items():
        sha = hashlib.sha256()
        for seed, number in SEEDS:
            try:
                events = simulate_recording(image, seed=seed, number=number, model=models()[name])
                sha.update(events.tobytes())
            except DataError as error:  # too many events
                sha.update(str(error).encode())
        assert sha.hexdigest() == DIGESTS[f"{name} {kind}"], kind
