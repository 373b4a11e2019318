from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from sast_deploy.base.errors import DataError
from sast_deploy.data.recordings import whole_of, window_id
from sast_deploy.data.split import held_per_class, split_by_recording, stratified_split


def test_which_samples_are_held_is_fixed_for_ever():
    kept, held = stratified_split([0] * 5 + [1] * 5, 0.4, seed=7)
    assert held.tolist() == [0, 2, 5, 6]
    assert kept.tolist() == [1, 3, 4, 7, 8, 9]


@pytest.mark.parametrize(
    ("sizes", "fraction", "held"),
    [
        ([1500, 1500], 0.2, [300, 300]),
        ([5, 5], 0.2, [1, 1]),
        ([7, 7, 7], 0.25, [2, 2, 1]),  # 1.75 each, 5.25 in all: 5, the lower classes first
        ([3, 4], 0.5, [2, 2]),  # 1.5 + 2.0 = 3.5, rounded to even: 4
        ([2, 100], 0.01, [1, 1]),  # a class of two or more gives at least one
        ([2, 2], 0.9, [1, 1]),  # and keeps at least one
        ([1, 10], 0.5, [0, 5]),  # one sample alone is kept for training
    ],
)
def test_how_many_of_each_class_are_held(sizes, fraction, held):
    assert held_per_class(np.array(sizes), fraction).tolist() == held


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**32)
)
def test_a_split_is_a_repeatable_partition_that_leaves_no_class_untrained(labels, fraction, seed):
    if max(np.bincount(labels)) < 2:
        return
    kept, held = stratified_split(labels, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert {labels[i] for i in kept} == set(labels)
    assert np.array_equal(held, stratified_split(labels, fraction, seed)[1])


def test_the_seed_decides():
    labels = np.repeat(np.arange(10), 20)
    assert not np.array_equal(stratified_split(labels, 0.2, 0)[1], stratified_split(labels, 0.2, 1)[1])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(DataError, match="expected a number between 0 and 1"):
        stratified_split([0, 0, 1, 1], fraction, 0)


def test_impossible_labels_and_seeds_are_refused():
    with pytest.raises(DataError, match="a vector of at least one integer"):
        stratified_split([], 0.5, 0)
    with pytest.raises(DataError, match="float64"):
        stratified_split([0.0, 1.0], 0.5, 0)
    with pytest.raises(DataError, match="holds nothing"):
        stratified_split([0, 1, 2], 0.5, 0)
    with pytest.raises(DataError, match="split seed -1"):
        stratified_split([0, 0], 0.5, -1)


def test_windows_go_with_their_recording():
    sizes = [1, 4, 2, 3, 1, 5, 2, 2, 1, 6]
    ids = [window_id(f"r{r}", 10 * k, 20) for r, n in enumerate(sizes) for k in range(n)]
    labels = [r % 2 for r, n in enumerate(sizes) for _ in range(n)]
    kept, held = split_by_recording(labels, ids, 0.4, 7)
    assert sorted([*kept, *held]) == [*range(len(ids))]
    of = [{whole_of(ids[i]) for i in part} for part in (kept, held)]
    assert not of[0] & of[1]
    wanted = stratified_split([r % 2 for r in range(10)], 0.4, 7)[1]
    assert of[1] == {f"r{r}" for r in wanted}


def test_without_windows_it_is_the_split_of_samples():
    labels, names = [0, 1] * 20, [f"Train/{k}@5us.bin" for k in range(40)]
    for ours, theirs in zip(
        split_by_recording(labels, names, 0.3, 1), stratified_split(labels, 0.3, 1), strict=True
    ):
        assert ours.tolist() == theirs.tolist()
