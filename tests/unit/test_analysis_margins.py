from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sast_deploy.base.errors import UsageError
from sast_deploy.calibration.data import training_parts
from sast_deploy.data.split import stratified_split
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.predictions import predict
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.stream import batch_size, open_stream
from sast_deploy.training.checkpoint import load_network
from sast_deploy.training.evaluate import evaluate
from tests.tinydata import tiny_set
from tests.tinynets import CONV, FC, random_checkpoint, states_by_numpy

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_margins_count_every_state_of_the_equations_in_numpy(reset: str) -> None:
    checkpoint = random_checkpoint(dataclasses.replace(FC, reset=reset), scale=12.0)
    test = tiny_set().test
    result = margins(open_stream(checkpoint, test, device="cpu"))
    assert result.samples == 30
    for layers, hard in ((result.surrogate, False), (result.hard, True)):
        for counts, u in zip(layers, states_by_numpy(checkpoint, test.frames, hard), strict=True):
            d = u - 1.0
            assert counts.states == d.size == 30 * 4 * u.shape[-1]
            assert counts.within == (np.abs(d) <= 0.2).sum()
            assert (counts.mean, counts.sd) == pytest.approx((d.mean(), d.std()), abs=1e-5)
            expected, _ = np.histogram(d, bins=160, range=(-4.0, 4.0))
            assert np.abs(counts.histogram - expected).sum() <= 2  # float32 beside an edge
            assert counts.histogram.sum() + counts.below + counts.above == d.size
            assert (counts.below, counts.above) == ((d < -4).sum(), (d > 4).sum())
    assert result.hard_share != result.surrogate_share
    assert min(result.hard[0].below, result.hard[0].above) > 0


def test_the_band_is_where_the_histogram_says() -> None:
    result = margins(open_stream(random_checkpoint(), tiny_set().test, device="cpu"))
    for counts in result.hard:
        assert counts.histogram[76:84].sum() == counts.within  # 8 bins of 0.05 around 0
        assert counts.below + counts.above < counts.states


def test_samples_are_chosen_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, test = random_checkpoint(), tiny_set().test
    whole = plain(margins(open_stream(checkpoint, test, device="cpu")))
    monkeypatch.setattr("sast_deploy.studies.analysis.stream.LARGEST_BATCH", 7)
    small = plain(margins(open_stream(checkpoint, test, device="cpu")))
    assert small["hard"][1]["histogram"] == whole["hard"][1]["histogram"]
    half = margins(open_stream(checkpoint, test, indices=np.arange(15), device="cpu"))
    assert half.samples == 15
    assert half.hard[0].states * 2 == whole["hard"][0]["states"]
    json.dumps(whole)


def test_convolutions_have_margins_of_every_position() -> None:
    result = margins(open_stream(random_checkpoint(CONV), tiny_set().test, device="cpu"))
    assert [layer.states for layer in result.hard] == [30 * 4 * n for n in (5 * 3 * 3, 4 * 3 * 3)]


def test_predictions_are_those_of_evaluate() -> None:
    checkpoint, data = random_checkpoint(), tiny_set()
    test = data.test
    found, counted = predict(checkpoint, data, device="cpu"), evaluate(checkpoint, test)
    assert (found.hard == found.labels).sum() == counted.hard_correct
    assert (found.surrogate == found.labels).sum() == counted.surrogate_correct
    assert found.ids == test.ids


def test_the_validation_part_is_the_trainers() -> None:
    data = tiny_set()
    assert (
        training_parts(random_checkpoint(), data)[1] == stratified_split(data.train.labels, 0.2, 0)[1]
    ).all()


def test_batches_fit_into_memory() -> None:
    network = load_network(random_checkpoint())
    assert batch_size(network, 4) == 256
    assert batch_size(network, 10_000_000) == 1


def test_nothing_to_analyse_is_refused() -> None:
    with pytest.raises(UsageError, match="0 frames"):
        open_stream(random_checkpoint(), tiny_set().test, indices=np.arange(0))
    other = dataclasses.replace(tiny_set().test, frames=np.zeros((30, 5, 2, 6, 6), np.uint8))
    with pytest.raises(UsageError, match="expected one or more of shape"):
        open_stream(random_checkpoint(), other)
