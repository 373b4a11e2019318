from __future__ import annotations

import itertools

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.events import EVENT, decode_nmnist, encode_nmnist
from sast_deploy.data.frames import Binner, frames_from_events
from sast_deploy.data.options import FrameOptions
from tests.unit.data_samples import random_events, slow_frames

SENSOR = (34, 34)


def frames_of(events, options, sensor=SENSOR):
    binner = Binner(sensor, options)
    out = np.full(binner.shape, 255, np.uint8)
    assert binner.from_events(events, out, "here") == len(events)
    return out


def test_four_events_by_hand():
    events = np.array([(0, 0, 100, 0), (1, 2, 109, 1), (1, 2, 110, 1), (3, 3, 119, 0)], EVENT)
    out = frames_of(events, FrameOptions(steps=2), sensor=(4, 4))
    expected = np.zeros((2, 2, 4, 4), np.uint8)
    expected[0, 0, 0, 0] = expected[0, 1, 2, 1] = expected[1, 1, 2, 1] = expected[1, 0, 3, 3] = 1
    assert np.array_equal(out, expected)


OPTIONS = [
    FrameOptions(steps=steps, binning=binning, clip=clip, encoding=encoding, size=size, duration_us=duration)
    for steps, binning, (encoding, clip), size, duration in itertools.product(
        (1, 7), ("time", "count"), (("count", 3), ("binary", 1)), (None, (17, 11)), (None, 40_000)
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_kernels_equal_the_slow_derivation(options):
    events = random_events(seed=options.steps, n=20_000)
    expected = slow_frames(events, SENSOR, options)
    assert np.array_equal(frames_of(events, options), expected)
    out = np.full(expected.shape, 255, np.uint8)
    assert Binner(SENSOR, options).from_nmnist(encode_nmnist(events), out, "here") == 20_000
    assert np.array_equal(out, expected)
    assert expected.max() == options.clip


def test_frames_of_bytes_with_overflow_marks_equal_the_frames_of_the_decoded_events():
    raw = bytearray(encode_nmnist(random_events(seed=5, n=1000)))
    raw[5 * 400 + 1] = raw[5 * 900 + 1] = 240
    events = decode_nmnist(bytes(raw), "here")
    out = np.zeros((10, 2, 34, 34), np.uint8)
    assert Binner(SENSOR, FrameOptions()).from_nmnist(bytes(raw), out, "here") == 998
    assert np.array_equal(out, slow_frames(events, SENSOR, FrameOptions()))


def test_128_to_48_gives_every_frame_pixel_two_or_three_sensor_rows():
    rows = np.bincount(np.arange(128) * 48 // 128)
    assert len(rows) == 48
    assert set(rows) == {2, 3}
    events = random_events(seed=3, n=20_000, sensor=(128, 128))
    options = FrameOptions(size=(48, 48), clip=255)
    out = frames_of(events, options, sensor=(128, 128))
    assert np.array_equal(out, slow_frames(events, (128, 128), options))
    assert out.sum() == 20_000


def test_counts_do_not_wrap_at_256():
    events = np.zeros(1000, EVENT)
    assert frames_of(events, FrameOptions(steps=1, clip=255))[0, 0, 0, 0] == 255


def test_a_sensor_that_is_not_square_keeps_rows_and_columns_apart():
    events = random_events(seed=8, n=500, sensor=(3, 9))
    assert np.array_equal(
        frames_of(events, FrameOptions(), sensor=(3, 9)), slow_frames(events, (3, 9), FrameOptions())
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0" * 6, "divisible by 5"),
        (b"", "has no events"),
        (bytes([0, 240, 0, 0, 0]), "has no events"),
        (bytes([34, 1, 0, 0, 0]), "event 0 has x = 34"),
        (bytes([3, 35, 0, 0, 0]), "event 0 has y = 35"),
        (bytes([1, 1, 0, 0, 9, 1, 1, 0, 0, 8]), "time runs backwards"),
    ],
)
def test_the_fast_path_refuses_what_the_reader_refuses(data, message):
    with pytest.raises(DataError, match=message):
        Binner(SENSOR, FrameOptions()).from_nmnist(data, np.zeros((10, 2, 34, 34), np.uint8), "here")


def test_frames_larger_than_the_sensor_are_refused():
    with pytest.raises(DataError, match="size = 35 x 34; expected at most the sensor's 34 x 34"):
        Binner(SENSOR, FrameOptions(size=(35, 34)))




@pytest.mark.parametrize(
    ("event", "kinds", "message"),
    [((65_536 + 1, 0, 5, 1), int, "event 0 has x = 65537; expected 0 to 65535"),
     ((0, -1, 5, 1), int, "event 0 has y = -1; expected 0 to 65535"),
     ((0, 0, 0.5, 1), float, "x of type float64; expected integers")],
)  # fmt: skip
def test_events_that_would_be_altered_in_silence_are_refused(event, kinds, message):
    events = np.array([event], [(name, kinds) for name in ("x", "y", "t", "p")])
    with pytest.raises(DataError, match=message):
        frames_from_events(events, (4, 4))


def test_events_without_one_of_the_fields_are_refused():
    events = np.zeros(2, [("x", int), ("y", int), ("t", int), ("polarity", int)])
    with pytest.raises(DataError, match="fields x, y, t, polarity; expected one row of x, y, t, p"):
        frames_from_events(events, (4, 4))
