"""The saccade simulator: physics of a pixel, determinism, order of events, bad parameters."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.camera.path import KNOT_US, KNOTS, LATE_KNOTS, TEST_KNOTS, image_path
from sast_deploy.data.camera.pixelmodel import IMAGE, SENSOR, PixelModel, simulate_recording
from sast_deploy.data.camera.sessions import session_model
from sast_deploy.data.events import EVENT, MAX_TIME_US, encode_nmnist

IDEAL = PixelModel(mismatch=0.0, threshold_noise=0.0, refractory_us=0, noise_on_hz=0.0, noise_off_hz=0.0,
                   jitter_us=(0, 0, 0), magnification=1.0)  # fmt: skip
RIGHT = tuple((0.1 * k, 0.0) for k in range(63))  # 6.2 pixels to the right in 310 ms
LEFT = tuple((6.2 - 0.1 * k, 0.0) for k in range(63))


def edge() -> np.ndarray:
    """Ink on the left half, columns 0 to 13."""
    image = np.zeros((IMAGE, IMAGE), dtype=np.uint8)
    image[:, :14] = 255
    return image


def disc() -> np.ndarray:
    """A ring-shaped stroke such as a zero."""
    y, x = np.mgrid[:IMAGE, :IMAGE] - 13.5
    return np.where(np.abs(np.hypot(x, y) - 7) < 1.5, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(("path", "polarity"), [(RIGHT, 0), (LEFT, 1)])
def test_covering_by_ink_is_off_and_uncovering_is_on(path, polarity):
    events = simulate_recording(edge(), seed=1, model=dataclasses.replace(IDEAL, path=path))
    inner = events[(events["x"] > 10) & (events["y"] > 4) & (events["y"] < 23)]
    assert len(inner) > 100
    # The random level that a pixel remembers at the start can give one event of the other kind at most.
    assert (inner["p"] == polarity).mean() > 0.97


def test_a_swept_pixel_fires_once_per_threshold_of_log_luminance():
    model = dataclasses.replace(IDEAL, path=RIGHT, threshold_off=0.25)
    events = simulate_recording(edge(), seed=3, model=model)
    fall = -math.log(model.ink_luminance)  # paper 1 to ink
    low, high = (fall - model.threshold_on) / 0.25, (fall + 0.25) / 0.25
    for row in range(6, 22):
        swept = int(((events["x"] == 16) & (events["y"] == row) & (events["p"] == 0)).sum())
        assert math.floor(low) <= swept <= math.floor(high)


def test_a_still_image_gives_nothing_but_background():
    still = dataclasses.replace(IDEAL, path=((0.0, 0.0),) * 63)
    assert len(simulate_recording(disc(), seed=0, model=still)) == 0
    noisy = dataclasses.replace(still, noise_on_hz=1.0, noise_off_hz=0.5)
    counts = [simulate_recording(disc(), seed=0, number=n, model=noisy)["p"] for n in range(1, 41)]
    expected_on = 1.0 * SENSOR**2 * 0.310
    on = np.array([p.sum() for p in counts])
    off = np.array([(1 - p).sum() for p in counts])
    assert on.mean() == pytest.approx(expected_on, abs=4 * math.sqrt(expected_on / 40))
    assert off.mean() == pytest.approx(expected_on / 2, abs=4 * math.sqrt(expected_on / 80))
    assert on.var() == pytest.approx(expected_on, rel=0.8)  # Poisson


def test_a_pixel_is_blind_after_an_event():
    model = dataclasses.replace(IDEAL, refractory_us=4000)
    events = simulate_recording(disc(), seed=0, model=model)
    pixel = events["y"].astype(int) * SENSOR + events["x"]
    order = np.argsort(pixel, kind="stable")
    gaps = np.diff(events["t"][order])[np.diff(pixel[order]) == 0]
    assert gaps.min() >= 3999  # both ends are cut to whole microseconds


def test_events_are_sorted_on_the_sensor_and_fit_the_file_format():
    events = simulate_recording(disc(), seed=5, number=9)
    assert events.dtype == EVENT
    assert (np.diff(events["t"]) >= 0).all()
    assert events["x"].max() < SENSOR
    assert events["y"].max() < SENSOR
    assert 0 <= events["t"][0] < 20_000
    assert 290_000 < events["t"][-1] < 320_000 < MAX_TIME_US
    assert len(encode_nmnist(events)) == 5 * len(events)
    assert len(np.unique(events["t"] % 1000)) > 500  # solved for, not rounded to the step of 1 ms


@pytest.mark.slow
def test_a_recording_depends_on_its_seed_and_number_and_on_nothing_else():
    def record(number):
        return simulate_recording(disc(), seed=2, number=number).tobytes()

    forward = [record(n) for n in range(1, 7)]
    backward = [record(n) for n in range(6, 0, -1)][::-1]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(record, range(1, 7)))
    assert forward == backward == threaded
    assert len(set(forward)) == 6
    assert simulate_recording(disc(), seed=3, number=1).tobytes() != forward[0]


def test_an_unreal_image_is_refused():
    for image in (np.zeros((8, 8), np.uint8), np.zeros((28, 28)), np.zeros((1, 28, 28), np.uint8)):
        with pytest.raises(DataError, match=r"an image of shape .* \(28, 28\) uint8"):
            simulate_recording(image, seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold_on", 0.0), ("threshold_off", math.nan), ("refractory_us", -1), ("ink_luminance", 0.0),
     ("blur_px", 9.0), ("mismatch", -0.1), ("jitter_us", (0, 0)), ("onset_us", (0, 0, 9000)),
     ("path", ((0.0, 0.0),)), ("path", ((0.0, 0.0), (99.0, 0.0)))],
)  # fmt: skip
def test_impossible_parameters_are_refused(name, value):
    with pytest.raises(DataError, match=r"pixel model: .*expected"):
        dataclasses.replace(PixelModel(), **{name: value})


def test_a_flood_of_events_is_refused():
    flooded = dataclasses.replace(IDEAL, threshold_on=0.01, threshold_off=0.01)
    with pytest.raises(DataError, match="more than 60000 events"):
        simulate_recording(disc(), seed=0, model=flooded)


def test_the_path_passes_through_its_knots():
    path = image_path(KNOTS)
    assert path.shape == (62 * KNOT_US // 1000 + 1, 2)
    np.testing.assert_allclose(path[::5], KNOTS, atol=1e-12)


def test_the_three_saccades_make_a_triangle():
    for knots in (KNOTS, LATE_KNOTS, TEST_KNOTS):
        start, first, second, end = (np.array(knots[k]) for k in (0, 18, 43, 62))
        assert first[1] - start[1] > 4.5  # down
        assert second[0] - first[0] > 2.5  # right
        assert first[1] - second[1] > 4.5  # and up
        assert second[0] - end[0] > 4.5  # back to the left
        assert np.abs(end - start).max() < 0.6


def test_sessions_move_the_onsets_and_the_path_of_the_default_model_only():
    model = PixelModel()
    assert session_model(model, 1, "Train") == model
    assert session_model(model, 14_450, "Train").onset_us == (0, 400, -1400)
    late = session_model(model, 16_500, "Train")
    assert late.onset_us == (0, 300, 4400)
    assert late.path == LATE_KNOTS
    assert session_model(model, 1, "Test").path == TEST_KNOTS
    assert session_model(IDEAL, 1, "Test").path == TEST_KNOTS
    assert session_model(dataclasses.replace(model, path=RIGHT), 1, "Test").path == RIGHT
