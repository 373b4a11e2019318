"""What every simulator returns: spike counts, logits and, on request, every membrane and spike."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import OutputError
from sast_deploy.base.eventframes import EventFrames

ROWS = 64  # samples that are looked at or copied together
IN_MEMORY = 64 << 20  # bytes of one array of a record that are kept in memory

Samples = TypeVar("Samples", bound="npt.NDArray[Any] | EventFrames")


@dataclass(frozen=True, eq=False)
class Trace:
    """Every membrane potential and spike of one spiking layer.

    membrane: int32 (samples, time, neurons), in membrane LSBs, after the reset and before the comparison
    of that step. spikes: uint8 (samples, time, neurons), 0 or 1. Neurons in C, H, W order.

    >>> sast.simulate(net, frames, trace=True).record.traces[0].membrane.shape
    (2, 4, 2)
    """

    membrane: npt.NDArray[np.int32]
    spikes: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SpikeRecord:
    """The outcome of a run.

    counts: per spiking layer, int32 (samples, neurons): spikes over all steps, C, H, W order.
    logits: int64 (samples, classes). traces: one Trace per spiking layer, or None when not asked for.

    >>> sast.simulate(net, frames).record.predictions.tolist()
    [0, 1]
    """

    counts: tuple[npt.NDArray[np.int32], ...]
    logits: npt.NDArray[np.int64]
    traces: tuple[Trace, ...] | None = None

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """int64 (samples,): index of the largest logit; the lowest index wins a tie."""
        best: npt.NDArray[np.int64] = np.argmax(self.logits, axis=1)
        return best


def evenly_spread(samples: int, count: int | None) -> npt.NDArray[np.int64]:
    """`count` (None: all) of `samples` indices, in order, from the first to the last.

    Test splits are sorted by class, so the first few would all be of one class.
    """
    count = samples if count is None else min(count, samples)
    indices: npt.NDArray[np.int64] = np.linspace(0, samples - 1, count).round().astype(np.int64)
    return indices


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised array; a large one lives in an unnamed temporary file, so that memory stays flat.

    Raises:
        OutputError: no space for the file.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # Reserved now: writing to a map of a full disk would be a SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"no room for {size >> 20} MiB of results: {error.strerror}",
            where=tempfile.gettempdir(),
            todo="free some space there or set TMPDIR",
        ) from error


def release(array: npt.NDArray[Any]) -> None:
    """Take the pages of a mapped array out of this process's memory; what they hold stays in the file."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def empty_record(neurons: Sequence[int], samples: int, steps: int, classes: int, trace: bool) -> SpikeRecord:
    """A record to be filled in, uninitialised; neurons: of every spiking layer."""
    counts = tuple(allocate((samples, size), np.int32) for size in neurons)
    shapes = [(samples, steps, size) for size in neurons] if trace else []
    traces = tuple(Trace(allocate(shape, np.int32), allocate(shape, np.uint8)) for shape in shapes)
    return SpikeRecord(counts, allocate((samples, classes), np.int64), traces if trace else None)


def first_difference(
    left: SpikeRecord, right: SpikeRecord, numbers: npt.NDArray[np.int64] | None = None
) -> str | None:
    """One line naming the first value in which two records differ, or None where they agree.

    numbers: what to call the samples; None: 0, 1, 2, ...

    Traces are compared when both have them, in the order sample, step, layer, neuron; then counts
    (sample, layer, neuron) and logits (sample, class).
    """
    if numbers is None:
        numbers = np.arange(len(left.logits))
    if left.traces is not None and right.traces is not None:
        for sample, step, layer, neuron in first_unequal_state(left, right):
            one, other, at = left.traces[layer], right.traces[layer], (sample, step, neuron)
            return (
                f"sample {numbers[sample]}, step {step}, spiking layer {layer}, neuron {neuron}: "
                f"membrane {one.membrane[at]} against {other.membrane[at]}, "
                f"spike {one.spikes[at]} against {other.spikes[at]}"
            )
    for layer, (a, b) in enumerate(zip(left.counts, right.counts, strict=True)):
        for sample, neuron in _first_unequal(a, b):
            values = f"{a[sample, neuron]} against {b[sample, neuron]}"
            return f"sample {numbers[sample]}, spiking layer {layer}, neuron {neuron}: spike count {values}"
    for sample, label in _first_unequal(left.logits, right.logits):
        values = f"{left.logits[sample, label]} against {right.logits[sample, label]}"
        return f"sample {numbers[sample]}, class {label}: logit {values}"
    return None


def differing_samples(left: SpikeRecord, right: SpikeRecord) -> npt.NDArray[np.int64]:
    """int64, increasing: the samples in which any spike count or logit of two records differs."""
    differs = (left.logits != right.logits).any(axis=1)
    for a, b in zip(left.counts, right.counts, strict=True):
        differs |= (a != b).any(axis=1)
    return np.flatnonzero(differs).astype(np.int64)


def first_unequal_state(left: SpikeRecord, right: SpikeRecord) -> list[tuple[int, int, int, int]]:
    """(sample, step, spiking layer, neuron) of the first membrane potential or spike in which traces differ;
    none or one of them.
    """
    places: list[tuple[int, int, int, int]] = []
    for layer, (a, b) in enumerate(zip(left.traces or (), right.traces or (), strict=True)):
        for parts in ((a.membrane, b.membrane), (a.spikes, b.spikes)):
            places += [(n, t, layer, i) for n, t, i in _first_unequal(*parts)]
    return sorted(places)[:1]


def _first_unequal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> list[tuple[int, ...]]:
    """The indices of the first unequal values, none or one of them; a few samples at a time."""
    if a.shape != b.shape:
        raise ValueError(f"records of {a.shape} and {b.shape} values")
    for start in range(0, len(a), ROWS):
        for sample, *rest in np.argwhere(a[start : start + ROWS] != b[start : start + ROWS])[:1]:
            return [(start + int(sample), *map(int, rest))]
    return []


def take(array: Samples, samples: npt.NDArray[np.int64]) -> Samples:
    """array[samples], increasing indices: itself where those are all, else a copy, made by `allocate`."""
    if len(samples) == len(array):
        return array
    if isinstance(array, EventFrames):
        return array[samples]  # type: ignore[return-value]
    found = allocate((len(samples), *array.shape[1:]), array.dtype)
    for start in range(0, len(samples), ROWS):
        found[start : start + ROWS] = array[samples[start : start + ROWS]]
    return found  # type: ignore[return-value]


def select(record: SpikeRecord, samples: npt.NDArray[np.int64]) -> SpikeRecord:
    """The record of some of the samples, by increasing index."""
    traces = record.traces
    if traces is not None:
        traces = tuple(Trace(take(trace.membrane, samples), take(trace.spikes, samples)) for trace in traces)
    counts = tuple(take(count, samples) for count in record.counts)
    return SpikeRecord(counts, take(record.logits, samples), traces)
