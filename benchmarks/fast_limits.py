"""What the machine can do at best: products, additions of weight rows, copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch

from sast_deploy.engines.fast.events import ROWS, add_rows
from sast_deploy.engines.fast.neurons import BINARY
from sast_deploy.engines.fast.plan import SpikingPlan

SQUARE = 2048


def limits(plan: SpikingPlan, rows: float, threads: int) -> dict[str, Callable[[], float]]:
    """Rates per second, each measured by a call: multiply-accumulates, additions, bytes.

    plan: the layer with most additions; rows: nonzero inputs of one of its neurons in one step, on average.
    """
    inputs, lanes = plan.synapses.weight.shape
    shapes = ((SQUARE, SQUARE, SQUARE), (1280, inputs - inputs % 8, lanes))
    return {
        "int8 GEMM": lambda: max(product_rate(*shape, torch.int8) for shape in shapes),
        "fp32 GEMM": lambda: max(product_rate(*shape, torch.float32) for shape in shapes),
        "gather-add": gather_rate(plan, max(1, round(rows)), threads),
        "memory copy": copy_rate,
    }


def product_rate(m: int, k: int, n: int, kind: torch.dtype) -> float:
    a, b = (torch.ones(shape, dtype=kind) for shape in ((m, k), (k, n)))
    multiply = torch._int_mm if kind == torch.int8 else torch.mm
    return m * k * n / best(lambda: multiply(a, b))


def gather_rate(plan: SpikingPlan, rows: int, threads: int) -> Callable[[], float]:
    """Additions of the fast engine's own kernel, the fastest known here, on lists that are ready."""
    rng = np.random.default_rng(0)
    count = 1 + 4_000_000 // (rows * plan.synapses.weight.shape[1])
    lists = np.zeros((count, rows + ROWS), plan.index_type)
    lists[:, :rows] = np.sort(rng.integers(0, len(plan.synapses.weight) - 1, (count, rows)), axis=1)
    binary = int(plan.rules[BINARY])
    values = np.ones(rows + ROWS, plan.widths.partial)
    useful = len(plan.layer.weight)
    synapses = plan.synapses
    arguments = (rows, synapses.weight, synapses.partial, synapses.limit, binary)

    def work(_: int) -> None:
        add_lists(lists, values, *arguments)

    def rate() -> float:
        with ThreadPoolExecutor(threads) as pool:
            return threads * count * rows * useful / best(lambda: list(pool.map(work, range(threads))))

    return rate


@numba.njit(nogil=True, error_model="numpy")
def add_lists(lists, values, n, weight, partial, limit, binary):
    sums, total = np.empty(weight.shape[1], partial.dtype), np.empty(weight.shape[1], np.int32)
    rows = np.empty(lists.shape[1], lists.dtype)
    for one in range(len(lists)):
        rows[:] = lists[one]
        add_rows(rows, values, n, weight, sums, total, 0, limit, binary)


def copy_rate() -> float:
    source = np.ones(64 << 20, np.uint8)
    target = np.empty_like(source)
    return source.nbytes / best(lambda: np.copyto(target, source))


def best(act: Callable[[], object], repeat: int = 5) -> float:
    act()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)
