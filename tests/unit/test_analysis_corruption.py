from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from sast_deploy.base.errors import DataError
from sast_deploy.data import FrameOptions, FrameSplit, load_frames
from sast_deploy.data.events import write_nmnist
from sast_deploy.studies.analysis.corruption import Level, _level
from sast_deploy.studies.analysis.drop import _drop, event_drop, unclipped
from sast_deploy.studies.analysis.noise import noise, weight_noise
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.stream import Stream, open_stream
from sast_deploy.training.augment import apply_changes, network_input
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.evaluate import EvaluationResult, evaluate
from tests.tinydata import tiny_set
from tests.tinynets import CONV, FC, random_checkpoint
from tests.unit.data_samples import random_events, write_folder

pytestmark = pytest.mark.usefixtures("one_thread")

KEYS = np.random.default_rng(5).integers(0, 2**63, 3, dtype=np.uint64)


def opened(checkpoint: Checkpoint, split: FrameSplit) -> Stream:
    return open_stream(checkpoint, split, device="cpu")


def is_of(level: Level, whole: EvaluationResult) -> bool:
    """Whether a level is one draw of what is undisturbed."""
    found = (level.surrogate_correct, level.hard_correct, level.hard, level.hard_sd)
    return found == ((whole.surrogate_correct,), (whole.hard_correct,), whole.hard_accuracy, None)


def test_means_and_spreads_are_over_the_draws() -> None:
    level = _level(0.1, {"surrogate": np.array([8, 9]), "hard": np.array([6, 8])}, 10)
    assert level.hard == pytest.approx(0.7)
    assert level.hard_sd == pytest.approx(np.sqrt(0.02))
    assert (level.surrogate_correct, level.draws) == ((8, 9), 2)


def test_events_are_dropped_one_by_one_and_clipped_afterwards() -> None:
    counts = np.full((3, 4, 2, 30, 30), 9, np.uint8)
    kept = np.round(apply_changes(counts, _drop(0.4, KEYS), 255) * 255)
    binomial = stats.binom(9, 0.6)
    share = np.bincount(kept.astype(int).ravel(), minlength=10) / kept.size
    assert share == pytest.approx(binomial.pmf(np.arange(10)), abs=0.01)  # 21,600 draws: sd up to 0.003
    clipped = np.round(apply_changes(counts, _drop(0.4, KEYS), 4) * 4)
    assert np.array_equal(clipped, np.minimum(kept, 4))
    assert clipped.mean() == pytest.approx(
        np.minimum(np.arange(10), 4) @ binomial.pmf(np.arange(10)), abs=0.02
    )


def test_what_is_lost_at_a_tenth_is_lost_at_two_tenths() -> None:
    counts = np.full((3, 4, 2, 5, 5), 20, np.uint8)
    some, fewer = (apply_changes(counts, _drop(p, KEYS), 255) for p in (0.1, 0.2))
    assert (some >= fewer).all()
    assert some.sum() > fewer.sum()


def test_no_drop_and_total_drop() -> None:
    checkpoint, test = random_checkpoint(), tiny_set().test
    result = event_drop(opened(checkpoint, test), probabilities=(0.0, 1.0), draws=2)
    whole = evaluate(checkpoint, test)
    assert is_of(result.levels[0], whole)
    dark = dataclasses.replace(test, frames=np.zeros_like(test.frames))
    nothing = evaluate(checkpoint, dark)
    assert result.levels[1].hard_correct == (nothing.hard_correct,) * 2
    assert result.samples == 30


def test_binary_frames_need_the_counts_too() -> None:
    binary = FrameOptions(steps=4, clip=1, encoding="binary", size=(6, 6))
    checkpoint = dataclasses.replace(random_checkpoint(), frames=binary)
    test = dataclasses.replace(tiny_set().test, frames=np.full((30, 4, 2, 6, 6), 8, np.uint8))
    result = event_drop(opened(checkpoint, test), probabilities=(0.0, 0.1))
    never, a_tenth = (level.hard_correct for level in result.levels)
    assert a_tenth == never * 3  # 8 events are never all lost at 0.1
    ones = dataclasses.replace(test, frames=np.ones_like(test.frames))
    assert result.levels[0].hard_correct[0] == evaluate(checkpoint, ones).hard_correct


def test_the_seed_decides_and_the_batch_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, test = random_checkpoint(), tiny_set().test

    def runs(seed: int) -> list[dict[str, object]]:
        stream = opened(checkpoint, test)
        return [
            plain(event_drop(stream, probabilities=(0.3, 0.5, 0.7), draws=4, seed=seed)),
            plain(weight_noise(stream, sigmas=(0.5,), draws=4, seed=seed)),
        ]

    before = runs(0)
    json.dumps(before)
    others = [row["levels"] for row in runs(1)]
    assert all(row["levels"] != other for row, other in zip(before, others, strict=True))
    monkeypatch.setattr("sast_deploy.studies.analysis.stream.LARGEST_BATCH", 7)
    assert runs(0) == before


@pytest.mark.parametrize("spec", [dataclasses.replace(FC, hidden=(200, 8)), CONV], ids=["fc", "conv"])
def test_noise_is_relative_to_each_layers_weights(spec) -> None:
    stream = opened(random_checkpoint(spec, scale=3.0), tiny_set().test)
    network = stream.network
    changed = dict(stream.altered(noise(0.1, (0, 0))).network.named_parameters())
    for name, before in network.named_parameters():
        added = (changed[name] - before).detach()
        if name.endswith("bias"):
            assert torch.count_nonzero(added) == 0
        else:
            ratio = float(added.square().mean().sqrt() / before.detach().square().mean().sqrt())
            assert ratio == pytest.approx(0.1, rel=5 / np.sqrt(2 * added.numel()))  # 5 standard errors
    twice = dict(stream.altered(noise(0.2, (0, 0))).network.named_parameters())
    weight = network.readout.weight
    ratio = (twice["readout.weight"] - weight) / (changed["readout.weight"] - weight)
    assert ratio.detach().numpy() == pytest.approx(2.0, rel=1e-3)


def test_noise_of_nothing_changes_nothing() -> None:
    checkpoint, test = random_checkpoint(), tiny_set().test
    result = weight_noise(opened(checkpoint, test), sigmas=(0.0,))
    whole = evaluate(checkpoint, test)
    assert len(result.levels) == 1
    assert is_of(result.levels[0], whole)


@pytest.mark.slow
def test_counts_come_unclipped_from_the_recordings(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"Train": {0: 2, 1: 2}, "Test": {0: 1, 1: 1}})
    data = load_frames("nmnist", FrameOptions(steps=1, size=(4, 4)), data_root=root, cache_dir=tmp_path / "c")
    assert data.test.frames.max() == 4
    counts = unclipped(data, tmp_path / "c")
    assert counts.frames.sum() == counts.n_events == 400  # 2 recordings of 200 events
    assert np.array_equal(np.minimum(counts.frames, 4), data.test.frames)
    x = network_input(data.test.frames, 4)
    assert np.array_equal(apply_changes(counts.frames, _drop(0.0, KEYS[:2]), 4), x)
    write_nmnist(root / "Test" / "0" / "00001.bin", random_events(77))
    with pytest.raises(DataError, match="recordings have changed"):
        unclipped(data, tmp_path / "c")


def test_unclipped_frames_are_taken_as_they_are(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"Train": {0: 2}, "Test": {0: 1}})
    options = FrameOptions(steps=2, clip=255)
    data = load_frames("nmnist", options, data_root=root, cache_dir=tmp_path / "c")
    assert unclipped(data) is data.test
