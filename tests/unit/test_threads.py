"""Work over threads: results in order, few of them waiting, nothing begun after an error."""

from __future__ import annotations

import threading
import time

import pytest

from sast_deploy.base.threads import in_order, processors


def test_results_come_in_the_order_of_the_items():
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0.0)
        return item * item

    assert list(in_order(slow_first, range(20), 4)) == [n * n for n in range(20)]
    assert list(in_order(slow_first, [])) == []
    assert processors() >= 1


def test_no_more_wait_than_there_are_threads():
    begun = []
    results = in_order(begun.append, range(100), 3)
    next(results)
    time.sleep(0.02)
    assert len(begun) <= 4
    results.close()
    assert len(begun) <= 4


def test_several_work_at_once():
    meeting = threading.Barrier(3, timeout=10)
    assert sorted(in_order(lambda _: meeting.wait(), range(3), 3)) == [0, 1, 2]


def test_after_an_error_nothing_begins():
    begun = []

    def fail_at_two(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        list(in_order(fail_at_two, range(1000), 2))
    assert len(begun) < 8
