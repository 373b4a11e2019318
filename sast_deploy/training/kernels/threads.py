"""Parts of one piece of work on several processors, for kernels that let go of Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

from sast_deploy.base.threads import processors

MAX_THREADS = 8  # more only wait for each other on work of this size
LEAST = 1 << 16  # elementary operations that are worth waking a thread for


def share(items: int, work: Callable[[int, int], Any], cost: float = LEAST) -> None:
    """Call work(low, high) for consecutive parts of range(items), one per thread.

    cost: elementary operations of an item, such as additions of one number; little work is not shared. The
    parts must not depend on each other, and no result on where one ends.
    """
    threads = min(_threads(), items, max(1, int(items * cost) // LEAST))
    if threads <= 1:
        work(0, items)
        return
    first, *parts = pairwise(items * part // threads for part in range(threads + 1))
    others = [_pool(threads - 1).submit(work, *part) for part in parts]
    try:
        work(*first)
    finally:
        for each in others:
            each.result()


def _threads() -> int:
    """The processors this process may use, not torch's threads: those spin while they wait, these sleep."""
    return min(processors(), MAX_THREADS)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "training")
