"""Frames as event lists: the same frames, and nothing that is none can be made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames


def same(a: EventFrames, b: EventFrames) -> bool:
    """Equal shape and events, of equal types."""
    pairs = ((a.starts, b.starts), (a.index, b.index), (a.count, b.count))
    return a.shape == b.shape and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


@st.composite
def dense_frames(draw: Any) -> Any:
    """Arrays of any shape and density; counts up to 255, empty rows, no samples."""
    shape = tuple(draw(st.integers(low, high)) for low, high in ((0, 4), (0, 3), (1, 3), (1, 6), (1, 6)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest, density = draw(st.sampled_from((1, 4, 255))), draw(st.sampled_from((0.0, 0.1, 1.0)))
    return (generator.integers(1, largest + 1, shape) * (generator.random(shape) < density)).astype(np.uint8)


@given(dense_frames())
def test_there_and_back(frames):
    events = EventFrames.from_dense(frames)
    assert np.array_equal(events.dense(), frames)
    assert np.asarray(events).dtype == np.uint8
    checked = EventFrames(events.shape, events.starts, events.index, events.count)
    assert same(checked, events)
    assert len(events.index) == np.count_nonzero(frames)
    assert (len(events), events.ndim, events.dtype) == (len(frames), 5, np.uint8)
    assert events.max() == frames.max(initial=0)
    assert events.nbytes == 8 * len(events.starts) + 3 * len(events.index)


@given(dense_frames(), st.data())
def test_choosing_samples_is_an_arrays(frames, data):
    events, n = EventFrames.from_dense(frames), len(frames)
    ends = st.none() | st.integers(-n - 2, n + 2)
    part = slice(data.draw(ends), data.draw(ends), data.draw(st.sampled_from((None, 1, 2, -1))))
    assert same(events[part], EventFrames.from_dense(frames[part]))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    assert same(events[mask], EventFrames.from_dense(frames[mask]))
    if n:
        chosen = np.array(data.draw(st.lists(st.integers(-n, n - 1), max_size=6)), np.int64)
        assert same(events[chosen], EventFrames.from_dense(frames[chosen]))
        assert np.array_equal(events[-1], frames[-1])
    with pytest.raises(IndexError):
        events[n]
    with pytest.raises(IndexError):
        events[np.array([n])]


def some() -> EventFrames:
    frames = np.zeros((2, 2, 1, 2, 3), np.uint8)
    frames[0, 1, 0] = [[0, 2, 1], [1, 0, 1]]
    frames[1, 0, 0, 0, 0] = 255
    return EventFrames.from_dense(frames)


def test_events_of_equal_count_lie_together():
    events = some()
    assert events.starts.tolist() == [0, 0, 4, 5, 5]
    assert events.index.tolist() == [2, 3, 5, 1, 0]
    assert events.count.tolist() == [1, 1, 1, 2, 255]


def test_a_slice_copies_no_events():
    whole = some()
    part = whole[1:]
    assert part.index.tolist() == [0]
    assert part.starts.tolist() == [0, 1, 1]
    assert np.shares_memory(part.index, whole.index)
    assert np.shares_memory(part.count, whole.count)


def test_positions_are_as_narrow_as_they_can_be():
    widest = np.zeros((1, 1, 1, 1, (1 << 16) + 1), np.uint8)
    widest[..., -1] = 3
    events = EventFrames.from_dense(widest)
    assert events.index.dtype == np.int32
    assert np.array_equal(events.dense(), widest)
    narrow = EventFrames.from_dense(widest[..., 1:])
    assert narrow.index.dtype == np.uint16
    assert narrow.index.tolist() == [(1 << 16) - 1]


def test_many_threads_give_the_same(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 5, (7, 3, 2, 4, 5)).astype(np.uint8)
    alone = EventFrames.from_dense(frames)
    monkeypatch.setattr("sast_deploy.base.eventframes.PART", 10)
    monkeypatch.setattr("sast_deploy.base.eventframes.processors", lambda: 4)
    assert same(EventFrames.from_dense(frames), alone)
    assert np.array_equal(alone.dense(), frames)
    swapped = alone.index.copy()
    swapped[-2:] = swapped[:-3:-1]
    with pytest.raises(DataError, match="sample 6, step 2: event"):
        EventFrames(alone.shape, alone.starts, swapped, alone.count)


def test_dense_into_a_used_array():
    out = np.full((2, 2, 1, 2, 3), 9, np.uint8)
    assert some().dense(out) is out
    assert np.array_equal(out, some().dense())
    with pytest.raises(ValueError, match="out of uint8"):
        some().dense(out[:1])
    with pytest.raises(ValueError, match="only by being expanded"):
        np.array(some(), copy=False)
    assert np.asarray(some(), np.int64).sum() == 260


def test_nothing_in_it_can_be_changed():
    events = some()
    for array in (events.starts, events.index, events.count):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        events.shape = (1, 1, 1, 1, 1)  # type: ignore[misc]


def test_copies_are_checked_and_as_fixed_as_the_first():
    for again in (copy.deepcopy(some()), pickle.loads(pickle.dumps(some()))):
        assert same(again, some())
        assert not any(each.flags.writeable for each in (again.starts, again.index, again.count))
    crafted = some()
    object.__setattr__(crafted, "index", crafted.index + np.uint16(6))
    with pytest.raises(DataError, match="index"):
        pickle.loads(pickle.dumps(crafted))


def test_whoever_made_the_lists_cannot_change_them_later():
    events = some()
    index = events.index.copy()
    made = EventFrames(events.shape, events.starts, index, events.count)
    index[:] = 60_000
    assert same(made, events)


def test_only_parts_of_one_shape_are_joined():
    for shape in ((1, 2, 1, 2, 4), (1, 3, 1, 2, 3)):
        other = EventFrames.from_dense(np.ones(shape, np.uint8))
        with pytest.raises(DataError, match=r"event frames: parts of .*expected samples of one shape"):
            EventFrames.joined([some(), other])


WRONG = {
    "starts from 1 to 5": ("starts", 0, 1),
    "starts from 0 to 4": ("starts", -1, 4),
    "sample 0, step 0: starts 0, then 6": ("starts", 1, 6),
    "sample 1, step 0: event 4 has index 6; expected 0 to 5": ("index", 4, 6),
    "sample 0, step 1: event 1 is out of order": ("index", 1, 1),
    "sample 0, step 1: two events with one index": ("index", 3, 3),
    "sample 1, step 0: event 4 has count 0": ("count", 4, 0),
    "sample 0, step 1: event 3 is out of order": ("count", 2, 3),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_no_list_of_events_is_refused(message):
    events = some()
    name, place, value = WRONG[message]
    fields = {each: getattr(events, each).copy() for each in ("starts", "index", "count")}
    fields[name][place] = value
    with pytest.raises(DataError, match=f"^event frames.*{message}") as caught:
        EventFrames(events.shape, **fields)
    assert "\n" not in str(caught.value)


def test_many_rows_of_the_same_positions_are_sound():
    frames = np.zeros((600, 1, 1, 1, 2), np.uint8)
    frames[::2, ..., 0], frames[::3, ..., 1] = 1, 2
    events = EventFrames.from_dense(frames)
    assert same(EventFrames(events.shape, events.starts, events.index, events.count), events)
    index = events.index.copy()
    index[events.starts[595] - 1] = 0
    with pytest.raises(DataError, match="sample 594, step 0: two events with one index"):
        EventFrames(events.shape, events.starts, index, events.count)


def test_what_does_not_fit_is_refused():
    events = some()
    for shape in ((2, 2, 1, 2), (2, -2, 1, 2, 3), (3, 2, 1, 2, 3), None, "abcde", (2, 2, 1, 2, 3.0)):
        with pytest.raises(DataError, match="event frames: "):
            EventFrames(shape, events.starts, events.index, events.count)  # type: ignore[arg-type]
    for nothing in (None, 5):
        with pytest.raises(DataError, match="event frames: "):
            EventFrames(events.shape, events.starts, nothing, events.count)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="index of int64"):
        EventFrames(events.shape, events.starts, events.index.astype(np.int64), events.count)
    with pytest.raises(DataError, match=r"count of uint8 \(4,\)"):
        EventFrames(events.shape, events.starts, events.index, events.count[:4])
    with pytest.raises(DataError, match="frames of int64"):
        EventFrames.from_dense(np.zeros((1, 1, 1, 1, 1), np.int64))  # type: ignore[arg-type]
