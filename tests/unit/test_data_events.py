from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.data.events import (
    EVENT,
    MAX_TIME_US,
    decode_nmnist,
    encode_nmnist,
    read_nmnist,
    write_nmnist,
)
from tests.unit.data_samples import random_events


def events_of(*rows):
    return np.array(list(rows), EVENT)  # (x, y, t, p)


def test_the_bytes_of_three_events():
    events = events_of((3, 33, 0, 0), (33, 0, 0x123456, 1), (1, 2, MAX_TIME_US, 1))
    assert encode_nmnist(events) == bytes.fromhex("0321000000 2100923456 0102ffffff")


def test_the_events_of_three_times_five_bytes():
    events = decode_nmnist(bytes.fromhex("0321000000 2100923456 0102ffffff"), "here")
    assert events.dtype == EVENT
    assert events.tolist() == [(3, 33, 0, 0), (33, 0, 0x123456, 1), (1, 2, MAX_TIME_US, 1)]


def test_writing_then_reading_gives_the_same_events(tmp_path):
    events = random_events(seed=1)
    write_nmnist(tmp_path / "a" / "00001.bin", events)
    assert np.array_equal(read_nmnist(tmp_path / "a" / "00001.bin"), events)


def test_an_overflow_mark_is_no_event_and_makes_all_later_ones_8192_us_later(tmp_path):
    path = tmp_path / "1.bin"
    path.write_bytes(bytes([1, 1, 0, 0, 7, 9, 240, 0, 0, 0, 2, 2, 128, 0, 5, 0, 240, 0, 0, 0, 3, 3, 0, 0, 1]))
    assert read_nmnist(path).tolist() == [(1, 1, 7, 0), (2, 2, 8192 + 5, 1), (3, 3, 16384 + 1, 0)]


@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_tonic_bit_for_bit_overflow_marks_included(tmp_path, seed):
    from tonic.io import read_mnist_file

    raw = bytearray(encode_nmnist(random_events(seed, n=400)))
    for event in (50, 51, 300):
        raw[5 * event + 1] = 240
    path = tmp_path / "1.bin"
    path.write_bytes(raw)
    theirs = read_mnist_file(path, dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
    ours = decode_nmnist(bytes(raw), path)
    assert len(ours) == 397
    for name in "xytp":
        assert np.array_equal(ours[name], theirs[name])


def test_every_real_test_recording_decodes_as_tonic_does(shared_data):
    from tonic.io import read_mnist_file

    files = sorted((shared_data / "nmnist_small10" / "Test").rglob("*.bin"))
    assert len(files) == 100
    for path in files:
        theirs = read_mnist_file(path, dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
        ours = read_nmnist(path)
        assert all(np.array_equal(ours[name], theirs[name]) for name in "xytp"), path
        assert encode_nmnist(ours) == path.read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0" * 7, "7 bytes leave 2 over; expected a length divisible by 5"),
        (b"", "has no events; expected at least one"),
        (bytes([0, 240, 0, 0, 0]), "has no events"),
        (bytes([1, 1, 0, 0, 0, 34, 1, 0, 0, 0]), "event 1 has x = 34; expected 0 to 33"),
        (bytes([1, 200, 0, 0, 0]), "event 0 has y = 200; expected 0 to 33"),
        (bytes([1, 1, 0, 0, 9, 1, 1, 0, 0, 8]), "time runs backwards: event 1 has t = 8 us; expected at"),
    ],
)
def test_a_bad_file_is_named_with_value_and_limit(tmp_path, data, message):
    path = tmp_path / "00007.bin"
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        read_nmnist(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_nmnist(tmp_path / "1.bin")
    with pytest.raises(DataError, match="is a folder"):
        read_nmnist(tmp_path)


def test_times_beyond_23_bits_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"times from 0 to 8388608 us; expected 0 to 8388607 us"):
        write_nmnist(tmp_path / "1.bin", events_of((0, 0, 0, 0), (0, 0, 2**23, 0)))
    assert list(tmp_path.iterdir()) == []
