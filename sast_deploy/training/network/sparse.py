"""The first layer's product, skipping the zeros where that is faster: event frames are 4 to 10 % dense."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sast_deploy.base.compiled import source_digest
from sast_deploy.base.measured import fastest
from sast_deploy.base.text import percent
from sast_deploy.training import kernels
from sast_deploy.training.kernels.events import (
    EventRows,
    Floats,
    count_nonzeros,
    dense_times,
    dense_transposed_times,
    event_rows,
)
from sast_deploy.training.kernels.vectors import LANES, padded

TOPIC = "training.first-layer"  # for SAST_FASTEST
EVENTS, DENSE = "events", "dense"
SPARSE = 1 / 32  # no denser than that: events, whatever the machine
SMALL = 1 << 14  # weights; of fewer, nobody would notice
ROWS = 1024  # that are measured


@dataclass(frozen=True, eq=False)
class EventInput:
    """Network input (time, batch, inputs) as the list of its events, row t * batch + b for sample b's step t.

    Stands for the float32 tensor of that shape wherever a fully connected network is given its input.
    """

    steps: int
    rows: EventRows

    @property
    def shape(self) -> torch.Size:
        """(time, batch, inputs)."""
        return torch.Size((self.steps, len(self.rows) // self.steps, self.rows.width))

    def dense(self) -> Tensor:
        """The tensor itself, of shape (time, batch, inputs)."""
        return torch.from_numpy(self.rows.dense()).reshape(self.shape)


Input = Tensor | EventInput


def counts_of(x: Input, clip: int) -> Input:
    """The counts, as floats, of which `x` holds the shares count / clip."""
    if isinstance(x, EventInput):
        values = np.rint(x.rows.values * np.float32(clip))
        return EventInput(x.steps, replace(x.rows, values=values))
    return (x * clip).round_()


def event_linear(x: Input, weight: Tensor, bias: Tensor) -> Tensor:
    """y = x W^T + b, and its gradients for W and b: (rows, out), for x (rows, in) or (time, batch, in).

    x needs no gradient; weight (out, in), bias (out,). Equal to `torch.nn.functional.linear` up to the order
    of summation, which is fixed. Where many inputs are nonzero, all of them are added; from which density on
    that is faster is measured once on every machine (base/measured.py). Both ways add the same terms in the
    same order and give the same bits (kernels/events.py), so no result depends on what was measured, nor on
    the number of threads. torch's product is taken where neither applies: on a GPU, or in another dtype.
    """
    product = _product(x, weight)
    if product is None:
        dense = x.dense().to(weight).flatten(0, 1) if isinstance(x, EventInput) else x
        return functional.linear(dense, weight, bias)
    y: Tensor = _EventLinear.apply(weight, bias, product)  # type: ignore[no-untyped-call]
    return y


class _ByEvents:
    """A matrix that is multiplied by its events."""

    def __init__(self, rows: EventRows) -> None:
        self.rows = rows

    def times(self, table: Floats, first: Floats) -> Floats:
        return self.rows.times(table, first)

    def transposed_times(self, table: Floats, first: Floats) -> Floats:
        return self.rows.transposed().times(table, first)


class _ByAll:
    """A matrix that is multiplied by all its entries."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    def times(self, table: Floats, first: Floats) -> Floats:
        return dense_times(self.matrix, table, first)

    def transposed_times(self, table: Floats, first: Floats) -> Floats:
        return dense_transposed_times(self.matrix, table, first)


class _EventLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, x: _ByEvents | _ByAll) -> Tensor:
        ctx.x = x
        return _narrow(x.times(_wide(weight.T), _wide(bias[None])[0]), len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad = grads[0]
        table = _wide(grad)
        by_input = ctx.x.transposed_times(table, np.zeros_like(table[0]))
        return _narrow(by_input, grad.shape[1]).T.contiguous(), grad.sum(0), None


def _product(x: Input, weight: Tensor) -> _ByEvents | _ByAll | None:
    """What multiplies `x`; None where it is torch that does."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    if isinstance(x, EventInput):
        rows = x.rows
        return _ByEvents(rows) if _pays(rows.density, rows.width, len(weight)) else _ByAll(rows.dense())
    if x.device != weight.device or x.dtype != weight.dtype or x.requires_grad:
        return None
    array = x.contiguous().numpy()
    order = np.arange(len(array))
    counts = count_nonzeros(array, order)
    density = float(counts.sum()) / max(1, array.size)
    if not _pays(density, array.shape[1], len(weight)):
        return _ByAll(array)
    return _ByEvents(event_rows(array, order, counts))


def _wide(matrix: Tensor) -> Floats:
    """Rows of whole vectors, for the kernels, with zeros behind."""
    wide = padded(*matrix.shape)
    wide[:, matrix.shape[1] :] = 0.0
    torch.from_numpy(wide)[:, : matrix.shape[1]].copy_(matrix.detach())
    return wide


def _narrow(wide: Floats, columns: int) -> Tensor:
    return torch.from_numpy(wide)[:, :columns].contiguous()


def _pays(density: float, inputs: int, outputs: int) -> bool:
    """Whether the product by events is the faster one."""
    if density <= SPARSE or inputs * outputs < SMALL:
        return True
    halves = round(math.log2(density) * 2)  # half octaves: 100 %, 71 %, 50 %, ...
    return _fastest(2.0 ** (halves / 2), inputs, -(-outputs // LANES) * LANES) == EVENTS


@cache
def _fastest(density: float, inputs: int, outputs: int) -> str:
    """EVENTS or DENSE, for random operands of that kind: a product and the gradient for its weights."""
    rng = np.random.default_rng(0)
    matrix = (rng.random((ROWS, inputs)) < density).astype(np.float32)
    rows = event_rows(matrix, np.arange(ROWS))
    table, grad = (_wide(torch.ones(size, outputs)) for size in (inputs, ROWS))

    def run(make: Callable[[], _ByEvents | _ByAll]) -> None:
        x = make()
        x.times(table, table[0])
        x.transposed_times(grad, grad[0])

    question = f"{TOPIC} {inputs} x {outputs}, {percent(density)} dense"
    ways = {EVENTS: partial(run, lambda: _ByEvents(rows)), DENSE: partial(run, lambda: _ByAll(rows.dense()))}
    return fastest(question, ways, source_digest(Path(kernels.__file__).parent))
