"""The report: literal intervals, confusion, JSON and what a person reads."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sast_deploy.base.errors import OutputError
from sast_deploy.engines.reference import run_reference
from sast_deploy.program import record as record_module
from sast_deploy.program.record import SpikeRecord, allocate, evenly_spread, first_difference
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.run import Execution, make_report
from sast_deploy.show.blocks import Out
from sast_deploy.show.report import print_report
from tests.programs import fc_program, random_frames

FACTS = {
    "net": {"path": "a.net", "digest": "d", "program_digest": "p" * 64},
    "profile": "loihi-int4",
    "data": {
        "provenance": "SIMULATED: digits", "holdout": 0.2, "holdout_seed": 3,
        "test_samples": 20, "unlike_training": None, "dataset": "digits",
    },
    "checkpoint": {"digest": "c", "metrics": {"test": {"hard": 0.9, "surrogate": 0.95, "samples": 20}}},
    "versions": {"numpy": "2"},
}  # fmt: skip


@pytest.fixture
def report():
    program = fc_program(np.random.default_rng(0))
    frames = random_frames(np.random.default_rng(1), program, 20)
    record = run_reference(program, frames)
    labels = record.predictions.copy()
    labels[:5] = (labels[:5] + 1) % 3
    return make_report(program, frames, labels, record, Execution("lava", 1.5, 20, None, 5), FACTS)


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (81, 263, 0.25530, 0.36621), (1, 29, 0.00611, 0.17176)],
)
def test_wilson_interval_literally(correct, samples, low, high):
    """The last two rows: Newcombe (1998), table I, method 3: .2553-.3662 and .0061-.1718."""
    assert Accuracy(correct, samples).interval == pytest.approx((low, high), abs=2e-5)


def test_wilson_interval_is_scipys():
    for correct, samples in ((0, 1), (3, 3), (7, 11), (347, 360), (9_912, 10_000)):
        expected = stats.binomtest(correct, samples).proportion_ci(0.95, method="wilson")
        assert Accuracy(correct, samples).interval == pytest.approx(tuple(expected), abs=1e-14)


def test_numbers(report):
    assert (report.accuracy.correct, report.accuracy.samples) == (15, 20)
    assert report.confusion.sum() == 20
    assert np.trace(report.confusion) == 15
    assert report.synops == sum(layer.synops for layer in report.operations)
    values = json.loads(report.to_json())
    assert values["accuracy"]["value"] == 0.75
    assert values["synops_per_sample"]["total"] == report.synops
    run = {"backend": "lava", "seconds": 1.5, "checked": 20, "difference": None, "by_reference": 5}
    assert values["run"] == run
    assert list(values)[:4] == ["report_version", "net", "profile", "data"]


def test_what_a_person_reads(report):
    text = io.StringIO()
    print_report(report, Out(text))
    for expected in (
        "SIMULATED: digits", "20 samples, 20 % held out by seed 3",
        "75.00 % (15 of 20; 95 % interval 53.13 % to 88.81 %)",
        "90.00 % (18 of 20", "95.00 % (19 of 20",
        "20 samples replayed: spike counts, logits and predictions identical; all by the vectorised "
        "specification, 5 by the reference",
        "layer 0 (dense)", "SynOps", "p" * 64, "confusion",
    ):  # fmt: skip
        assert expected in text.getvalue()


def test_a_part_of_the_split_and_a_foreign_split_are_named(report):
    data = {**FACTS["data"], "test_samples": 100, "unlike_training": "not the split of training"}
    text = io.StringIO()
    changed = replace(report, run=replace(report.run, backend="reference"), facts={**FACTS, "data": data})
    print_report(changed, Out(text))
    for expected in (
        "20 of 100 samples, evenly spread, 20 % held out", "WARNING", "not the split of training",
        "this run is the reference's", "confusion of 20 of 100 test samples",
        "operations per sample, mean of 20 of 100 test samples",
    ):  # fmt: skip
        assert expected in text.getvalue()
    # The float accuracies are another test split's.
    assert "18 of 20" not in text.getvalue()
    assert text.getvalue().count("measured on another test split, so not shown") == 2
    assert "its start included" not in text.getvalue()


def test_an_accuracy_of_more_samples_is_not_shown_beside_this_one(report):
    text = io.StringIO()
    metrics = {"test": {"hard": 0.9, "surrogate": 0.95, "samples": 100}}
    data = {**FACTS["data"], "test_samples": 100}
    facts = {**FACTS, "data": data, "checkpoint": {"digest": "c", "metrics": metrics}}
    print_report(replace(report, run=replace(report.run, checked=1), facts=facts), Out(text))
    assert "90 of 100" not in text.getvalue()
    assert text.getvalue().count("measured on all 100 samples, so not shown beside 20 of them") == 2
    assert "1 sample replayed" in text.getvalue()


def test_what_the_reference_alone_replayed_is_said_to_be_its_own(report):
    text = io.StringIO()
    print_report(replace(report, run=Execution("vectorised", 1.5, 20, None, 20)), Out(text))
    assert "predictions identical; all by the reference\n" in text.getvalue()


def test_the_lowest_class_wins_a_tie():
    logits = np.array([[3, 3, 3], [-1, 0, 0], [2, 1, 2], [0, 1, 2]])
    assert SpikeRecord((), logits).predictions.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("samples", "count", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]), (5, 9, [0, 1, 2, 3, 4]), (10, 4, [0, 3, 6, 9]), (100, 1, [0]),
        (7, 0, []), (4, 3, [0, 2, 3]),
    ],
)  # fmt: skip
def test_evenly_spread(samples, count, expected):
    assert evenly_spread(samples, count).tolist() == expected


def test_evenly_spread_repeats_none():
    for samples in range(1, 40):
        for count in range(1, samples + 1):
            assert len(set(evenly_spread(samples, count).tolist())) == count


def test_first_difference_names_the_place():
    counts, logits = (np.zeros((2, 3), np.int32),), np.zeros((2, 4), np.int64)
    other = counts[0].copy()
    other[1, 2] = 5
    assert first_difference(SpikeRecord(counts, logits), SpikeRecord(counts, logits)) is None
    assert first_difference(SpikeRecord(counts, logits), SpikeRecord((other,), logits)) == (
        "sample 1, spiking layer 0, neuron 2: spike count 0 against 5"
    )
    changed = logits.copy()
    changed[0, 3] = -1
    assert first_difference(SpikeRecord(counts, logits), SpikeRecord(counts, changed)) == (
        "sample 0, class 3: logit 0 against -1"
    )
    replayed = np.array([40, 90])  # these were samples 40 and 90 of the whole run
    assert "sample 90, spiking" in str(
        first_difference(SpikeRecord(counts, logits), SpikeRecord((other,), logits), replayed)
    )


def test_lowest_index_wins_a_tie():
    assert SpikeRecord((), np.array([[3, 7, 7], [0, 0, 0]])).predictions.tolist() == [1, 0]


def test_large_records_live_in_a_file_that_nobody_sees(monkeypatch, tmp_path):
    monkeypatch.setattr(record_module, "IN_MEMORY", 1000)
    monkeypatch.setattr(record_module.tempfile, "tempdir", str(tmp_path))
    small, large = allocate((10, 25), np.int32), allocate((10, 26), np.int32)
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    large[:] = np.arange(260).reshape(10, 26)
    assert large.sum() == 259 * 130
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_a_large_record_is_one_line(monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_module, "IN_MEMORY", 0)
    monkeypatch.setattr(record_module.os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="no room for 4 MiB of results: No space left on device"):
        allocate((1 << 20,), np.int32)
