"""A stock NetX network on a person's array, a few samples at a time, so that memory stays flat."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.files import atomic_path
from sast_deploy.base.progress import track
from sast_deploy.engines.frames import Frames
from sast_deploy.netx.foreign.currents import check_currents
from sast_deploy.netx.foreign.frames import StockFrames
from sast_deploy.netx.foreign.network import StockNet
from sast_deploy.program.record import SpikeRecord, Trace, allocate, release

# What the traces of the samples that run together may take. A start of Lava takes seconds, and its traces
# lie in files.
CHUNK_BYTES = {"reference": 32 << 20, "fast": 32 << 20, "lava": 512 << 20}
TRACE_BYTES, FRAME_BYTES = 5, 4  # of a neuron's and an input's step
Engine = Callable[[Frames], SpikeRecord]
Arrays = dict[str, npt.NDArray[Any]]


class Results:
    """What is kept of a run.

    logits: int64 (samples, classes): spike counts of the last layer, or its last membrane potentials where it
    never fires. spikes: of every layer, over all samples and steps. kept: the traces of the last layer, or of
    all, by number.
    """

    def __init__(self, net: StockNet, samples: int, steps: int, traces: bool) -> None:
        shapes = net.program.shapes()
        self.shapes = [shapes[index + 1] for index, _ in net.program.spiking()]
        self.integrates, self.samples, self.steps = integrates(net), samples, steps
        self.logits = allocate((samples, len(net.program.classes)), np.int64)
        self.spikes = [0] * len(self.shapes)
        self.kept: dict[int, Trace] = {}
        for number in range(0 if traces else len(self.shapes) - 1, len(self.shapes)):
            shape = (samples, steps, prod(self.shapes[number]))
            self.kept[number] = Trace(allocate(shape, np.int32), allocate(shape, np.uint8))

    def add(self, record: SpikeRecord, start: int) -> None:
        """Keep what is wanted of a run of the samples from `start` on."""
        traces, stop = record.traces or (), start + len(record.logits)
        self.logits[start:stop] = traces[-1].membrane[:, -1] if self.integrates else record.logits
        for number, count in enumerate(record.counts):
            self.spikes[number] += int(count.sum(dtype=np.int64))
        for number, kept in self.kept.items():
            kept.membrane[start:stop] = traces[number].membrane
            kept.spikes[start:stop] = traces[number].spikes
            release(kept.membrane)
            release(kept.spikes)

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


def integrates(net: StockNet) -> bool:
    """Whether the last layer never fires: its membrane potentials are the answer then."""
    *_, (_, last) = net.program.spiking()
    return bool((last.vth >= net.program.arithmetic.state.high).all())


def run_in_chunks(
    path: Path, net: StockNet, inputs: StockFrames, backend: str, traces: bool, lava_options: dict[str, Any]
) -> Results:
    """Run all samples on an engine; traces: keep those of every layer.

    Raises:
        NetFileError: this run reaches where stock Lava computes otherwise.
    """
    results = Results(net, len(inputs), inputs.steps, traces)
    neurons = sum(map(prod, results.shapes))
    one = (neurons * TRACE_BYTES + prod(net.program.input_shape) * FRAME_BYTES) * inputs.steps
    size = max(1, CHUNK_BYTES[backend] // one)
    bar = track(range(len(inputs)), backend)
    run = _engine(path, net, backend, lava_options, bar)
    for start in range(0, len(inputs), size):
        frames = inputs.chunk(start, start + size)
        record = run(frames)
        check_currents(net.program, net.unproven, frames, record, path, start)
        results.add(record, start)
        release(inputs.array)
    for _ in bar:  # to its end
        pass
    return results


def _engine(
    path: Path, net: StockNet, backend: str, lava_options: dict[str, Any], bar: Iterator[int]
) -> Engine:
    def progress(samples: Iterable[int]) -> Iterator[int]:
        for sample in samples:
            next(bar, None)
            yield sample

    if backend == "reference":
        from sast_deploy.engines.reference import run_reference

        return lambda frames: run_reference(net.program, frames, trace=True, progress=progress)
    if backend == "fast":
        from sast_deploy.engines.fast import FastEngine

        engine = FastEngine(net.program)
        return lambda frames: engine.run(frames, trace=True, progress=progress)
    from sast_deploy.engines.lava import run_lava

    options = {"program": net.program, "trace": True, "progress": progress, **lava_options}
    return lambda frames: run_lava(path, frames, **options)


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
