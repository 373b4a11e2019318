"""Measured in turns: every path once, then every path again, so that a busy machine slows all alike."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Path(NamedTuple):
    """Something to be timed: a call that takes `samples` samples, the threads that torch may use in it, and
    what has to happen before, untimed.
    """

    act: Callable[[], object]
    samples: int = 1
    threads: int = 1
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Cost:
    """Seconds a sample: by the clock, and of all processors together; of each the least of all turns.

    On a busy machine only `processor` means anything, and of torch only with one thread, since its threads
    wait for each other by computing.
    """

    clock: float
    processor: float


def in_turns(paths: Mapping[Key, Path], repeat: int, warm_up: int = 1) -> dict[Key, Cost]:
    """The cost of every path, from `repeat` turns behind those that warm up."""
    found = {key: Cost(math.inf, math.inf) for key in paths}
    for turn in range(warm_up + repeat):
        for key, path in paths.items():
            spent, least = cost(path), found[key]
            if turn >= warm_up:
                found[key] = Cost(min(least.clock, spent.clock), min(least.processor, spent.processor))
    return found


def cost(path: Path) -> Cost:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(path.threads)
    if path.before is not None:
        path.before()
    began = time.perf_counter(), processor_seconds()
    path.act()
    ended = time.perf_counter(), processor_seconds()
    return Cost((ended[0] - began[0]) / path.samples, (ended[1] - began[1]) / path.samples)


def processor_seconds() -> float:
    """Of this process and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
