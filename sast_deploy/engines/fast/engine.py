"""Runs programs tile by tile: a few samples through all layers and steps while their data is in the cache."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.fast import kernels
from sast_deploy.engines.fast.choice import prefers_product, run_events
from sast_deploy.engines.fast.emit import BYTES
from sast_deploy.engines.fast.events import WORD
from sast_deploy.engines.fast.lanekernels import run_given
from sast_deploy.engines.fast.neurons import MOST, UNCHECKED
from sast_deploy.engines.fast.plan import ResamplingPlan, SpikingPlan, make_plans
from sast_deploy.engines.fast.product import NO_SUMS, product_sums
from sast_deploy.engines.fast.readout import ReadoutPlan, read_out
from sast_deploy.engines.fast.tables import Array, stored_size
from sast_deploy.engines.frames import Frames, Progress, check_shape, check_values
from sast_deploy.program.program import Flattens, Program, Readout, SumPool
from sast_deploy.program.record import SpikeRecord, empty_record

TILE_BYTES = 1 << 20  # what the spikes of one tile may take: about a core's second-level cache
TILE_MIN, TILE_MAX = 4, 256  # samples


def run_fast(
    program: Program,
    frames: Frames,
    *,
    trace: bool = False,
    batch: int | None = None,
    threads: int | None = None,
    progress: Progress = iter,
) -> SpikeRecord:
    """Run every sample of `frames` through the program; bit-equal with `run_reference`.

    frames: integers (samples, time, C, H, W). trace: keep every membrane potential and spike. batch: samples
    that a thread takes through the network together, threads: how many at once; both change nothing but the
    speed. progress: wraps the iterable of samples.

    Raises:
        DataError: frames that do not fit the program. CompileError: a program that needs more than 64 bits.
    """
    return FastEngine(program, batch=batch, threads=threads).run(frames, trace=trace, progress=progress)


@dataclass
class _Run:
    """One run: its frames, its record, samples per tile, and the spiking layers that are run as products."""

    frames: Frames
    record: SpikeRecord
    tile: int
    dense: set[int] = field(default_factory=set)


class FastEngine:
    """A program prepared for many runs. Safe to share between threads.

    Each layer adds the rows of weights that its events select, or multiplies matrices, whichever is faster
    at the density of events measured on the tiles before.
    """

    def __init__(self, program: Program, *, batch: int | None = None, threads: int | None = None) -> None:
        for name, number in (("batch", batch), ("threads", threads)):
            if number is not None and number < 1:
                raise DataError(f"{name} = {number}", where="fast", expected="at least 1")
        self.program, self.plans = program, make_plans(program)
        self.input_type = np.uint8 if program.byte_inputs else np.int32
        self.threads = threads or len(os.sched_getaffinity(0))
        widest = max(stored_size(prod(shape)) for shape in program.shapes()[1:])
        self.batch = batch or max(2 * TILE_MIN, min(TILE_MAX, TILE_BYTES // (widest * max(program.steps, 1))))
        self._rooms = threading.local()
        self._pool = ThreadPoolExecutor(self.threads, "fast")  # starts threads when there is work
        spiking = [plan for plan in self.plans if isinstance(plan, SpikingPlan)]
        # The first layer's kernel reads the frames anyway, so there it costs next to nothing.
        first = self.plans[0]
        self.kernel_checks = isinstance(first, SpikingPlan) and first.rules[MOST] < UNCHECKED
        self.neurons = tuple(prod(plan.out_shape) for plan in spiking)

    def run(self, frames: Frames, *, trace: bool = False, progress: Progress = iter) -> SpikeRecord:
        """The record of all samples; see `run_fast`."""
        check_shape(self.program, frames, self.program.name)
        share = -(-len(frames) // self.threads)  # so that few samples, too, occupy every thread
        tile = min(self.batch, max(share, TILE_MIN))
        samples, steps = frames.shape[:2]
        if steps > self.program.steps and isinstance(last := self.plans[-1], ReadoutPlan):
            last.check(steps, self.program.name)
        record = empty_record(self.neurons, samples, steps, len(self.program.classes), trace)
        run = _Run(frames, record, tile)
        if len(frames) <= tile and progress is iter:
            self._tile(run, 0)
        else:
            for _ in progress(self._finished(run)):
                pass
        return run.record

    def _finished(self, run: _Run) -> Iterator[int]:
        """Run all tiles, few of them waiting at a time; yields each sample as it is done, in order."""
        waiting: deque[Future[range]] = deque()
        for low in range(0, len(run.frames), run.tile):
            waiting.append(self._pool.submit(self._tile, run, low))
            if len(waiting) > 2 * self.threads:
                yield from waiting.popleft().result()
        for tile in waiting:
            yield from tile.result()

    def _tile(self, run: _Run, low: int) -> range:
        """Take one tile of samples through all layers and write its part of the record; the samples."""
        tile = slice(low, min(low + run.tile, len(run.frames)))
        frames, number, record = run.frames[tile], 0, run.record
        if not self.kernel_checks or frames.dtype != np.uint8:
            check_values(self.program, frames, self.program.name)
        x = self._load(frames)
        for plan in self.plans:
            if isinstance(plan, SpikingPlan):
                entries = len(frames) * frames.shape[1] * plan.entries
                spikes, found = self._spike(run, plan, x, number, tile)
                if found < 0:
                    check_values(self.program, np.asarray(frames), self.program.name)
                if prefers_product(plan, found / max(entries, 1), len(run.frames) * frames.shape[1]):
                    run.dense.add(number)
                x, number = spikes, number + 1
                continue
            assert not isinstance(x, EventFrames)
            if isinstance(plan, ResamplingPlan):
                x = _resample(plan, x)
            else:
                read_out(plan, x, record.logits[tile])
        if not isinstance(self.program.layers[-1], Readout):
            record.logits[tile] = record.counts[-1][tile]
        return range(tile.start, tile.stop)

    def _load(self, frames: Frames) -> Array | EventFrames:
        """The frames as the first layer reads them: lists, or flat, in whole words, maps channel-last."""
        first = self.plans[0]
        if isinstance(frames, EventFrames) and isinstance(first, SpikingPlan) and first.counted:
            return frames
        samples, steps = frames.shape[:2]
        size = prod(self.program.input_shape)
        flat = np.ascontiguousarray(frames, self.input_type).reshape(samples, steps, size)
        channels = self.program.input_shape[0]
        as_map = not isinstance(self.program.layers[0], Flattens) and channels > 1
        if as_map or size % WORD or size < BYTES:
            x = np.zeros((samples, steps, stored_size(size)), flat.dtype)
            if as_map:
                kernels.channels_last(_read_only(flat), channels, x)
            else:
                x[:, :, :size] = flat
            flat = x
        return _read_only(flat)

    def _spike(
        self, run: _Run, plan: SpikingPlan, x: Array | EventFrames, number: int, tile: slice
    ) -> tuple[Array, int]:
        """The spikes of spiking layer `number`, and how many of its inputs were not 0."""
        (samples, steps), size, record = x.shape[:2], self.neurons[number], run.record
        spikes = self._scratch(number, (samples, steps, stored_size(size)))
        counts = record.counts[number][tile]
        traced = samples if record.traces is not None else 0
        membrane = np.empty((traced, steps, size), plan.vectors.dtype)
        sums = NO_SUMS
        if number in run.dense:
            if number == 0:
                check_values(self.program, run.frames[tile], self.program.name)
            sums = product_sums(plan, _entries(x))
        out = (plan.rules, spikes, counts, membrane)
        if plan.lanes is None:
            rows = np.empty(plan.room, plan.index_type)
            found = kernels.run_spiking(_entries(x), sums, plan.synapses, rows, plan.vectors, *out)
            counts[:] = channels_first(counts, plan.out_shape)
        elif len(sums):
            found = run_given(sums, plan.fields, *out)
        else:
            found = run_events(plan, x, out)
        if record.traces is not None:
            target = record.traces[number]
            target.membrane[tile] = channels_first(membrane, plan.out_shape)
            target.spikes[tile] = channels_first(spikes[:, :, :size], plan.out_shape)
        return _read_only(spikes), found

    def _scratch(self, number: int, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """This thread's room for the spikes of a layer: the same for every tile, since the kernel of a
        process that has just been given memory waits for each page of it.
        """
        rooms = self._rooms.__dict__.setdefault("of", {})
        wanted = prod(shape)
        if number not in rooms or rooms[number].size < wanted:
            rooms[number] = np.zeros(wanted, np.uint8)
        room: npt.NDArray[np.uint8] = rooms[number][:wanted].reshape(shape)
        return room


def _entries(x: Array | EventFrames) -> Array:
    """All of them, (samples, T, size or more)."""
    if isinstance(x, EventFrames):
        return _read_only(x.dense().reshape(*x.shape[:2], prod(x.shape[2:])))
    return x


def _resample(plan: ResamplingPlan, x: Array) -> Array:
    out = np.zeros((*x.shape[:2], stored_size(prod(plan.out_shape))), plan.out_type)
    if isinstance(plan.layer, SumPool):
        kernels.run_pool(x, np.array(plan.in_shape), *plan.layer.kernel, plan.rules, out)
    else:
        (channels, height, width), (rows, columns) = plan.in_shape, plan.layer.factors
        maps = x[..., : channels * height * width].reshape(-1, height, width, channels)
        copies = maps.repeat(columns, axis=2).repeat(rows, axis=1)
        size = prod(plan.out_shape)
        out[..., :size] = copies.reshape(*x.shape[:2], size)
    return _read_only(out)


def channels_first(values: Array, shape: tuple[int, ...]) -> Array:
    """(..., H W C) to (..., C H W); shapes of one dimension stay as they are."""
    if len(shape) == 1:
        return values
    channels, height, width = shape
    maps = values.reshape(*values.shape[:-1], height, width, channels)
    first: Array = np.moveaxis(maps, -1, -3).reshape(values.shape)
    return first


def _read_only(array: Array) -> Array:
    """A view without write permission: kernels are compiled once for frames on disk and for spikes alike."""
    view: Array = array.view()
    view.flags.writeable = False
    return view
