from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import CheckpointError
from sast_deploy.calibration.data import training_parts
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.studies.analysis import thresholds
from sast_deploy.studies.analysis.predictions import predict
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.thresholds import tune_thresholds
from sast_deploy.training.batches import BatchFeeder
from sast_deploy.training.checkpoint import Checkpoint, load_network
from sast_deploy.training.evaluate import evaluate, score
from sast_deploy.training.network.network import NetworkSpec
from tests.tinydata import SHAPE, tiny_set
from tests.tinynets import CONV, random_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def labelled(checkpoint: Checkpoint, split: FrameSplit) -> FrameSplit:
    """The split with the network's own hard-spike predictions for labels."""
    data = dataclasses.replace(tiny_set(), test=split)
    return dataclasses.replace(split, labels=predict(checkpoint, data, device="cpu").hard)


def taught(checkpoint: Checkpoint) -> FrameSet:
    data = tiny_set()
    return dataclasses.replace(
        data, train=labelled(checkpoint, data.train), test=labelled(checkpoint, data.test)
    )


def rescaled(checkpoint: Checkpoint, layer: int, factor: float) -> Checkpoint:
    state = dict(checkpoint.state)
    state[f"theta_{layer}"] = state[f"theta_{layer}"] * np.float32(factor)
    return dataclasses.replace(checkpoint, state=state)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_doubled_threshold_is_found_and_halved(layer: int) -> None:
    teacher = random_checkpoint()
    data, wrong = taught(teacher), rescaled(teacher, layer, 2.0)
    result = tune_thresholds(wrong, data, factors=(0.5, 1.0), device="cpu")
    assert result.factors[layer] == 0.5
    assert result.validation_after.correct == result.validation_after.samples == 18  # 0.2 of 90
    assert result.validation_before.correct < 18
    assert result.test_before.correct == evaluate(wrong, data.test).hard_correct
    assert result.test.only_a - result.test.only_b == result.test_after.correct - result.test_before.correct
    assert json.loads(json.dumps(plain(result)))["factors"] == list(result.factors)


def test_the_validation_part_alone_decides() -> None:
    data, wrong = taught(random_checkpoint()), rescaled(random_checkpoint(), 0, 1.5)
    other_test = dataclasses.replace(data, test=dataclasses.replace(data.test, labels=1 - data.test.labels))
    one, two = (tune_thresholds(wrong, d, device="cpu") for d in (data, other_test))
    assert one.factors == two.factors
    assert one.validation_after == two.validation_after
    assert one.test_after != two.test_after


@pytest.mark.parametrize("spec", [random_checkpoint().network, CONV], ids=["fc", "conv"])
def test_kept_currents_change_nothing(spec, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = random_checkpoint(spec)
    kept = tune_thresholds(checkpoint, tiny_set(), factors=(0.8, 1.0, 1.3), device="cpu")
    monkeypatch.setattr(thresholds, "CACHE_BYTES", 0)
    assert tune_thresholds(checkpoint, tiny_set(), factors=(0.8, 1.0, 1.3), device="cpu") == kept
    assert kept.tried >= 3 + 2  # three for the first layer, two new ones for the second


def test_ties_go_to_the_lower_loss() -> None:
    checkpoint = random_checkpoint(NetworkSpec("fc", SHAPE, (12,), 3))
    state = {**checkpoint.state, "readout.bias": np.float32([50, 0, 0])}  # always class 0, whatever spikes
    fixed = dataclasses.replace(checkpoint, state=state)
    losses = {}
    for factor in (0.5, 1.0, 2.0):
        data = tiny_set()
        network = load_network(rescaled(fixed, 0, factor))
        feeder = BatchFeeder(data.train.frames, data.train.labels, 4, torch.device("cpu"))
        losses[factor] = score(network, feeder, training_parts(fixed, data)[1], hard=True)[1]
    result = tune_thresholds(fixed, tiny_set(), factors=(0.5, 1.0, 2.0), device="cpu")
    assert result.validation_before.correct == result.validation_after.correct == 6
    assert result.factors == (min(losses, key=lambda factor: losses[factor]),)
    assert result.validation_after.loss == pytest.approx(min(losses.values()), rel=1e-6)
    assert len(set(losses.values())) == 3


def test_where_nothing_matters_thresholds_stay() -> None:
    checkpoint = random_checkpoint()
    state = {**checkpoint.state, "readout.weight": np.zeros((3, 8), np.float32)}
    result = tune_thresholds(dataclasses.replace(checkpoint, state=state), tiny_set(), device="cpu")
    assert result.factors == (1.0, 1.0)
    assert result.validation_before == result.validation_after


def test_a_checkpoint_that_does_not_say_what_it_was_validated_on() -> None:
    with pytest.raises(CheckpointError, match="validation part"):
        tune_thresholds(dataclasses.replace(random_checkpoint(), metrics={}), tiny_set())
