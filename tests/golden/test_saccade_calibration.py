"""Simulated against real N-MNIST, by image number: every checked quantity within 10 %."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.camera.likeness import Likeness, Row, compare
from sast_deploy.data.camera.matching import matched_recordings
from sast_deploy.data.camera.path import KNOTS
from sast_deploy.data.camera.pixelmodel import EVENT, PixelModel, simulate_recording
from sast_deploy.data.camera.saccade import simulate_mnist
from sast_deploy.data.camera.statistics import statistics
from sast_deploy.show.camera import draw, likeness_table
from tools.camera.fitting import measure_noise
from tools.camera.register import measure_path

CHECKED = ["events per recording", "ON / OFF events", "frame density, T=10 (%)",
           *(f"events in bin {k} of 10" for k in range(1, 11))]  # fmt: skip


def toy_events():
    """Five events over 100 us: bins 0, 0, 0, 5 and 9."""
    return np.array([(1, 2, 0, 1), (1, 2, 9, 1), (3, 2, 9, 0), (1, 2, 50, 0), (33, 33, 99, 1)], dtype=EVENT)


def test_statistics_of_five_events():
    found = statistics([toy_events()])
    assert found.counts.tolist() == [5]
    assert found.on_off == pytest.approx(3 / 2)
    assert found.per_bin.tolist() == [3, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert found.density == pytest.approx(4 / (10 * 2 * 34 * 34))
    assert found.occupancy[:3] * 23120 == pytest.approx([3, 1, 0])
    assert found.largest == 2
    assert found.rate[0].tolist() == [2, 3]
    assert found.intervals_us[3] == pytest.approx((9 + 41) / 2)


def test_a_row_fails_beyond_ten_percent_and_only_if_checked():
    assert Row("x", 100.0, 109.9, True).ok
    assert not Row("x", 100.0, 110.2, True).ok
    assert not Row("x", 100.0, 89.8, True).ok
    assert not Row("x", 0.0, 1.0, True).ok
    assert Row("x", 100.0, 200.0, False).ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "split", "limit"),
    # The pixel was fitted on each fourth training recording of small10, the late path on each 15th of 6789,
    # the test path on the odd test recordings: most of what is compared here is held out.
    [("nmnist_small10", "Train", 400), ("nmnist_small10", "Test", 100), ("nmnist_6789", "Train", 400)],
)
def test_real_and_simulated_agree_within_ten_percent(shared_data, folder, split, limit):
    found = compare(shared_data / folder, mnist_dir=shared_data / "mnist", split=split, limit=limit)
    assert [row.quantity for row in found.rows if row.checked] == CHECKED
    assert found.ok, found.verdict()
    assert found.matched_cosine > 0.85
    assert found.count_correlation > 0.97
    assert found.map_correlation > 0.95


def test_the_verdict_can_fail_and_says_where(shared_data):
    blunt = PixelModel(threshold_on=0.6)
    found = compare(shared_data / "nmnist_small10", mnist_dir=shared_data / "mnist", model=blunt, limit=20)
    assert not found.ok
    assert found.verdict()[1].startswith("OUTSIDE 10 %: events per recording, ON / OFF events")


@pytest.mark.slow
def test_inverted_polarity_fails_the_frame_cosine(shared_data):
    matches = matched_recordings(shared_data / "nmnist_small10", shared_data / "mnist", "Train")[:20]
    for match in matches:
        real = statistics([match.events()]).frames[0].astype(float)
        simulated = statistics([simulate_recording(match.other, seed=0)]).frames[0].astype(float)
        assert (real * simulated).sum() > 1.5 * (real * simulated[:, ::-1]).sum()


@pytest.mark.slow
def test_the_path_and_the_noise_are_what_the_recordings_say(shared_data):
    matches = matched_recordings(shared_data / "nmnist_small10", shared_data / "mnist", "Train")[1::20]
    recordings = [match.events() for match in matches]
    path = np.array(measure_path(recordings, [match.other for match in matches]))
    assert np.abs(path[:63] - np.array(KNOTS)).max() < 0.5
    on, off = measure_noise(statistics(recordings))
    assert on == pytest.approx(PixelModel().noise_on_hz, rel=0.3)
    assert off < 0.02


@pytest.mark.slow
def test_a_simulated_folder_compares_like_its_images(shared_data, tmp_path):
    out = simulate_mnist(shared_data / "mnist", tmp_path / "out", 12, 5)
    arguments = {"split": "Test", "limit": None}
    real = shared_data / "nmnist_small10"
    from_folder = compare(real, out, **arguments)
    assert from_folder.numbers == (1, 2, 3, 4, 5)
    direct = compare(real, mnist_dir=shared_data / "mnist", **arguments)
    assert from_folder.simulated.counts.tolist() == direct.simulated.counts[:5].tolist()
    with pytest.raises(DataError, match="no camera data; expected real recordings"):
        compare(out, mnist_dir=shared_data / "mnist", **arguments)
    picture = tmp_path / "picture.png"
    draw(from_folder, picture)
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_nothing_to_compare_is_refused(shared_data, tmp_path):
    real, mnist = shared_data / "nmnist_small10", shared_data / "mnist"
    with pytest.raises(DataError, match="give either"):
        compare(real)
    with pytest.raises(DataError, match="give either"):
        compare(real, tmp_path, mnist_dir=mnist)
    with pytest.raises(DataError, match="no folder Train"):
        compare(tmp_path, mnist_dir=mnist)
    with pytest.raises(DataError, match="limit 0"):
        compare(real, mnist_dir=mnist, limit=0)
    with pytest.raises(DataError, match="the same folder twice"):
        compare(real, real)
    only = tmp_path / "only" / "Test" / "7"
    only.mkdir(parents=True)
    (only / "09999.bin").write_bytes(b"\1\1\1\1\1")
    with pytest.raises(DataError, match="no image number of Test is in"):
        compare(real, tmp_path / "only", split="Test")


def test_a_label_that_mnist_contradicts_is_refused(shared_data, tmp_path):
    wrong = tmp_path / "Train" / "4"
    wrong.mkdir(parents=True)
    (wrong / "00001.bin").write_bytes(b"\1\1\1\1\1")
    with pytest.raises(DataError, match="label 4; expected 5, MNIST's label of image 1"):
        compare(tmp_path, mnist_dir=shared_data / "mnist")


def test_the_table_is_aligned():
    empty = statistics([toy_events()])
    rows = (Row("short", 1.0, 1.05, True), Row("a longer name", 2000.0, 1000.0, True))
    table = Likeness(rows, "title", empty, empty, (1,), (5,))
    head, _, *lines = likeness_table(table).lines(80)
    assert [head, *lines] == [
        "quantity         real  simulated  ratio  within 10 %",
        "short          1.0000     1.0500  1.050          yes",
        "a longer name  2000.0     1000.0  0.500           NO",
    ]
    assert not table.ok
    assert dataclasses.replace(table, rows=rows[:1]).ok
