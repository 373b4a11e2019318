"""A stock NetX network on a person's array, a few samples at a time, so that memory stays flat."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.files import atomic_path
from sast_deploy.base.progress import task
from sast_deploy.engines.registry import LavaOptions, prepare
from sast_deploy.netx.foreign.frames import StockFrames
from sast_deploy.netx.foreign.lava_range import StockProgram
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord, Trace, allocate, release

# What the traces of the samples that run together may take. A start of Lava takes seconds, and its traces
# lie in files.
CHUNK_BYTES = {"reference": 32 << 20, "vectorised": 32 << 20, "fast": 32 << 20, "lava": 512 << 20,
               "rtl": 32 << 20}  # fmt: skip
TRACE_BYTES, FRAME_BYTES = 5, 4  # of a neuron's and an input's step
Arrays = dict[str, npt.NDArray[Any]]


class Results:
    """What is kept of a run.

    logits: int64 (samples, classes): spike counts of the last layer, or its last membrane potentials where it
    never fires. counts: of every layer, int32 (samples, neurons), spikes over all steps. kept: the traces of
    the last layer, or of all, by number.
    """

    def __init__(self, program: Program, samples: int, steps: int, traces: bool) -> None:
        shapes = program.shapes()
        self.shapes = [shapes[index + 1] for index, _ in program.spiking()]
        *_, (_, last) = program.spiking()
        self.integrates = bool((last.vth >= program.arithmetic.state.high).all())  # it never fires
        self.samples, self.steps = samples, steps
        self.logits = allocate((samples, len(program.classes)), np.int64)
        self.counts = [allocate((samples, prod(shape)), np.int32) for shape in self.shapes]
        self.kept: dict[int, Trace] = {}
        for number in range(0 if traces else len(self.shapes) - 1, len(self.shapes)):
            shape = (samples, steps, prod(self.shapes[number]))
            self.kept[number] = Trace(allocate(shape, np.int32), allocate(shape, np.uint8))

    def add(self, record: SpikeRecord, start: int) -> None:
        """Keep what is wanted of a run of the samples from `start` on."""
        traces, stop = record.traces or (), start + len(record.logits)
        self.logits[start:stop] = traces[-1].membrane[:, -1] if self.integrates else record.logits
        for counts, count in zip(self.counts, record.counts, strict=True):
            counts[start:stop] = count
            release(counts)
        for number, kept in self.kept.items():
            kept.membrane[start:stop] = traces[number].membrane
            kept.spikes[start:stop] = traces[number].spikes
            release(kept.membrane)
            release(kept.spikes)

    @property
    def record(self) -> SpikeRecord:
        """With the traces of all layers, where they are all kept."""
        traces = tuple(self.kept.values()) if len(self.kept) == len(self.counts) else None
        return SpikeRecord(tuple(self.counts), self.logits, traces)

    def arrays(self) -> Arrays:
        """logits; spikes and membranes (samples, time, *shape) of the last layer; those of hidden layer i as
        spikes<i> and membranes<i>, where they are kept.
        """
        found: Arrays = {"logits": self.logits}
        for number, kept in self.kept.items():
            name = "" if number == len(self.shapes) - 1 else str(number)
            shape = (self.samples, self.steps, *self.shapes[number])
            found[f"spikes{name}"] = kept.spikes.reshape(shape)
            found[f"membranes{name}"] = kept.membrane.reshape(shape)
        return found


def run_in_chunks(
    stock: StockProgram, inputs: StockFrames, engine: str, traces: bool, lava: LavaOptions | None = None
) -> Results:
    """Run all samples on an engine; traces: keep those of every layer.

    Raises:
        NetFileError: this run reaches where stock Lava computes otherwise.
    """
    results = Results(stock.program, len(inputs), inputs.use.steps, traces)
    neurons = sum(map(prod, results.shapes))
    one = (neurons * TRACE_BYTES + prod(stock.program.input_shape) * FRAME_BYTES) * inputs.use.steps
    size = max(1, CHUNK_BYTES[engine] // one)
    run = prepare(engine, stock.program, lava=lava)
    with task(engine, len(inputs)) as samples:
        for start in range(0, len(inputs), size):
            frames = inputs.chunk(start, start + size)
            record = run(frames, trace=True, progress=samples.each)
            stock.check(frames, record, start)
            results.add(record, start)
            release(inputs.array)
    return results


def write_npz(path: Path, arrays: Arrays) -> None:
    """What np.savez_compressed writes, one row of an array after the other. Raises OutputError."""
    form: Any = np.lib.format
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                head = {"descr": form.dtype_to_descr(array.dtype), "shape": array.shape}
                form.write_array_header_1_0(file, {**head, "fortran_order": False})
                for row in array if array.ndim else [array]:
                    file.write(row.tobytes())
                    release(array)
