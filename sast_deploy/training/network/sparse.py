"""The first layer's product, skipping the zeros: event frames are 4 to 10 % dense."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sast_deploy.base.compiled import compiled

MAX_THREADS = 8  # more only wait for each other on products of this size
DENSEST = 0.25  # above this share of nonzero inputs the dense product is the faster one

Floats = NDArray[np.float32]
Rows = tuple[NDArray[np.int64], NDArray[np.int32], Floats]  # start of each row, columns, values


def event_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """y = x W^T + b, and its gradients for W and b, with work in proportion to the nonzero x.

    x (rows, in) needs no gradient; weight (out, in), bias (out,). Equal to `torch.nn.functional.linear` up to
    the order of summation, which is fixed: the result does not depend on the number of threads. The dense
    product is taken where this one does not apply: on a GPU, in another dtype, or for dense x.
    """
    usable = x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
    rows = _nonzeros(x.contiguous().numpy()) if usable else None
    if rows is None:
        return functional.linear(x, weight, bias)
    y: Tensor = _EventLinear.apply(weight, bias, rows)  # type: ignore[no-untyped-call]
    return y


class _EventLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.inputs = rows, weight.shape[1]
        starts, columns, values = rows
        by_input = np.ascontiguousarray(weight.detach().numpy().T)
        y = np.empty((len(starts) - 1, len(weight)), np.float32)
        offset = bias.detach().numpy()
        _share(len(y), lambda low, high: _gather(starts, columns, values, by_input, offset, y, low, high))
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad = grads[0].contiguous()
        starts, columns, values = ctx.rows
        outputs = grad.shape[1]
        by_input = np.zeros((ctx.inputs, outputs), np.float32)
        array = grad.numpy()
        _share(outputs, lambda low, high: _scatter(starts, columns, values, array, by_input, low, high))
        return torch.from_numpy(by_input).T.contiguous(), grad.sum(0), None


def _nonzeros(x: Floats) -> Rows | None:
    """The nonzero entries, row by row; None if there are too many for this to pay."""
    counts = np.empty(len(x), np.int64)
    _share(len(x), lambda low, high: _count(x, counts, low, high))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    if starts[-1] > DENSEST * x.size:
        return None
    columns, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    _share(len(x), lambda low, high: _compress(x, starts, columns, values, low, high))
    return starts, columns, values


def _share(items: int, work: Callable[[int, int], Any]) -> None:
    """Call work(low, high) for consecutive parts of range(items), one per thread."""
    threads = min(_threads(), items)
    if threads <= 1:
        work(0, items)
        return
    edges = [items * part // threads for part in range(threads + 1)]
    list(_pool(threads).map(work, edges[:-1], edges[1:]))


def _threads() -> int:
    """The processors this process may use, not torch's threads: those spin while they wait, these sleep."""
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "event_linear")


@compiled()
def _count(x, counts, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    for row in range(low, high):
        n = 0
        for column in range(x.shape[1]):
            n += x[row, column] != 0.0
        counts[row] = n


@compiled()
def _compress(x, starts, columns, values, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    for row in range(low, high):
        n, end = starts[row], starts[row + 1]
        for column in range(x.shape[1]):
            if n == end:
                break
            value = x[row, column]
            columns[n] = column  # written always, kept only if the value counts: no branch to mispredict
            values[n] = value
            n += value != 0.0


@compiled(fastmath={"contract"})
def _gather(starts, columns, values, by_input, bias, y, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    outputs = y.shape[1]
    for row in range(low, high):
        out = y[row]
        for k in range(outputs):
            out[k] = bias[k]
        n, end = starts[row], starts[row + 1]
        while n + 4 <= end:  # four at a time, in the same order: a quarter of the loads and stores of `out`
            v0, v1, v2, v3 = values[n], values[n + 1], values[n + 2], values[n + 3]
            w0, w1 = by_input[columns[n]], by_input[columns[n + 1]]
            w2, w3 = by_input[columns[n + 2]], by_input[columns[n + 3]]
            for k in range(outputs):
                total = out[k] + v0 * w0[k]
                total += v1 * w1[k]
                total += v2 * w2[k]
                total += v3 * w3[k]
                out[k] = total
            n += 4
        for m in range(n, end):
            value, weights = values[m], by_input[columns[m]]
            for k in range(outputs):
                out[k] += value * weights[k]


@compiled(fastmath={"contract"})
def _scatter(starts, columns, values, grad, by_input, low, high):  # type: ignore[no-untyped-def]  # pragma: no cover
    for row in range(len(starts) - 1):
        g = grad[row, low:high]
        for n in range(starts[row], starts[row + 1]):
            value, out = values[n], by_input[columns[n], low:high]
            for k in range(len(g)):
                out[k] += value * g[k]
