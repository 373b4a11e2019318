"""Epochs without the processor: an optimizer's step is captured once as a CUDA graph and replayed.

A step of these networks is some dozen small kernels; started one by one from Python they wait for it longer
than they work. Everything that changes from step to step therefore lies in tables on the device, one row a
step, which the step finds by a counter of its own, and loss and norm are read once an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.progress import say
from sast_deploy.training.augment import Changes
from sast_deploy.training.batches import Batch, BatchFeeder, Indices
from sast_deploy.training.network.sparse import Input
from sast_deploy.training.resident import ResidentFeeder, change_numbers, changed, chosen, device_room, scaled

WARM_UP = 2  # steps before the capture, in which libraries allocate and kernels are compiled
_capturing = Lock()  # one thread at a time: beginning a capture waits for the whole device

Fetch = Callable[[], tuple[Input, Tensor]]
Step = Callable[[Sequence[Fetch], Tensor, Tensor], tuple[Tensor, Tensor]]
Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Draws:
    """All random choices of one stream of minibatches, step by step.

    parts: indices of each minibatch, as even as `batches.minibatches` cuts them. changes: what happens to the
    samples of each; None where nothing does.
    """

    parts: list[Indices]
    changes: list[Changes] | None


class Replay:
    """Runs the epochs of one network on one device.

    feeder: of the training samples; frames that do not lie on the device are brought there for a window of
    steps at a time. step: one optimizer step on what the fetches give, with slope factor k and the weight of
    the running mean's newest part, both tensors; it returns loss and norm. changing: all tensors that a step
    changes, after the first one has been taken. Without CUDA the same steps run one by one.
    """

    def __init__(
        self, feeder: BatchFeeder, step: Step, changing: Callable[[], list[Tensor]], room: int | None = None
    ) -> None:
        self.feeder, self.step, self.changing, self.device = feeder, step, changing, feeder.device
        self.room = room
        self.graphs: dict[int, torch.cuda.CUDAGraph | None] = {}  # by size of the minibatches
        self.tables: list[list[Tensor]] = []  # of each stream: pool positions, labels, changes

    def run(
        self, streams: Sequence[Draws], k: float, shares: Sequence[float], advance: Callable[[], None]
    ) -> NDArray[np.float64]:
        """One epoch; calls `advance` for every step. Returns (steps, 2): loss and norm of the gradient."""
        if not self.tables:
            self._allocate(streams)
        self.at.zero_()
        self.k.fill_(k)
        self.shares.copy_(torch.tensor(shares))
        sizes = [len(part) for part in streams[0].parts]
        for low in range(0, len(sizes), self.window):
            high = min(low + self.window, len(sizes))
            self._bring(streams, low, high)
            for size in sizes[low:high]:
                self._run(size)
                advance()
        return self.values.cpu().numpy().astype(np.float64)

    def _allocate(self, streams: Sequence[Draws]) -> None:
        """Memory that stays where it is, which is what a graph needs."""
        steps, width = len(streams[0].parts), max(len(part) for part in streams[0].parts)
        self.at = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.k = torch.zeros((), dtype=torch.float64, device=self.device)
        self.shares = torch.zeros(steps, device=self.device)
        self.values = torch.zeros(steps, 2, device=self.device)
        if isinstance(self.feeder, ResidentFeeder):
            self.pool, self.window = self.feeder.resident, steps
        else:
            frames, each = self.feeder.frames, width * len(streams)
            room = device_room(self.device) if self.room is None else self.room
            self.window = min(steps, max(1, room // (each * math.prod(frames.shape[1:]))))
            shape = (self.window * each, *frames.shape[1:])
            self.pool = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        rows = [self._rows(draws, 0, steps) for draws in streams]
        self.tables = [[torch.from_numpy(each).to(self.device) for each in found] for found in rows]

    def _rows(self, draws: Draws, low: int, high: int) -> list[Array]:
        """What steps low to high look up: indices, labels and changes, (steps, batch, ...) each."""
        parts = draws.parts[low:high]
        numbers = [change_numbers(each) for each in draws.changes[low:high]] if draws.changes else []
        columns = [parts, [self.feeder.labels[part] for part in parts], *zip(*numbers, strict=True)]
        return [_stacked(column, max(map(len, draws.parts))) for column in columns]

    def _bring(self, streams: Sequence[Draws], low: int, high: int) -> None:
        """Fill the rows of steps low to high, and the pool where it does not hold all frames."""
        rows = [self._rows(draws, low, high) for draws in streams]
        if not isinstance(self.feeder, ResidentFeeder):
            wanted = np.concatenate([indices.ravel() for indices, *_ in rows])
            chosen = torch.from_numpy(np.asarray(self.feeder.frames[wanted]))
            cuda = self.device.type == "cuda"
            self.pool[: len(wanted)].copy_(chosen.pin_memory() if cuda else chosen, non_blocking=cuda)
            positions = np.arange(len(wanted)).reshape(len(rows), *rows[0][0].shape)
            rows = [[place, *others] for place, (_, *others) in zip(positions, rows, strict=True)]
        for tables, found in zip(self.tables, rows, strict=True):
            for table, values in zip(tables, found, strict=True):
                table[low:high].copy_(torch.from_numpy(values))

    def _batch(self, stream: int, size: int) -> Batch:
        """The minibatch of the step at hand, made on the device."""
        positions, labels, *changes = (
            table.index_select(0, self.at)[0, :size] for table in self.tables[stream]
        )
        counts = chosen(self.pool, positions)
        if changes:
            affine, drop, seed = changes
            counts = changed(counts, affine, drop, seed, self.feeder.clip)
        return scaled(counts, self.feeder.clip), labels

    def _step(self, size: int) -> None:
        """One step: what a graph holds."""
        fetches = [cache(partial(self._batch, stream, size)) for stream in range(len(self.tables))]
        share = self.shares.index_select(0, self.at)
        found = self.step(fetches, self.k, share)
        self.values.index_copy_(0, self.at, torch.stack(found)[None])
        self.at.add_(1)

    def _run(self, size: int) -> None:
        if self.device.type == "cuda" and size not in self.graphs:
            self.graphs[size] = self._captured(size)
        graph = self.graphs.get(size)
        self._step(size) if graph is None else graph.replay()

    def _captured(self, size: int) -> torch.cuda.CUDAGraph | None:
        """The step as a graph; None, which is said, where it cannot be one."""
        graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with _capturing:
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    with self._as_before():
                        self._step(size)
            try:
                with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                    self._step(size)
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                say(f"no CUDA graph, every step is started from Python: {reason}")
                return None
            here.wait_stream(stream)
        return graph

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """Whatever is stepped inside, the next step finds everything as it was, the counter included."""
        kept = [*self.changing(), self.at, self.values]
        before = [each.detach().clone() for each in kept]
        yield
        with torch.no_grad():
            for each, value in zip(kept, before, strict=True):
                each.copy_(value)


def _stacked(parts: Sequence[Array], width: int) -> Array:
    """Rows of one length, (steps, width, ...): what is missing is 0."""
    out = np.zeros((len(parts), width, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out
