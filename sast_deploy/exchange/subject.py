"""What is exported: an integer program, and what a replay of it must give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.known_answers import KnownAnswers
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord

LETTERS = 40  # of a name
OWN_VECTORS, OWN_DENSITY = 3, 0.3  # where a file holds no known answers
REFERENCE_STATES = 50_000  # membrane potentials that the reference computes within a second
MOST_STATES = 2_000_000  # inputs and membrane potentials that an export carries; one known vector always is


@dataclass(frozen=True, eq=False)
class Answers:
    """Inputs and every value that they lead to.

    frames: integers (samples, time, C, H, W). membranes: int32, spikes: uint8 (samples, time, neurons of all
    spiking layers, one after the other). logits: int64 (samples, classes).
    """

    frames: npt.NDArray[Any]
    membranes: npt.NDArray[np.int32]
    spikes: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Subject:
    """A program to be exported. known: the vectors of its file, or None."""

    program: Program
    known: KnownAnswers | None = None

    @property
    def name(self) -> str:
        """The program's name as a name of C, Verilog and file systems."""
        plain = re.sub(r"[^A-Za-z0-9]+", "_", self.program.name)[:LETTERS].strip("_")
        return f"net_{plain}".strip("_") if not plain or plain[0].isdigit() else plain

    @property
    def neurons(self) -> int:
        """Spiking neurons of all layers."""
        shapes = self.program.shapes()
        return sum(int(np.prod(shapes[index + 1])) for index, _ in self.program.spiking())

    @cached_property
    def answers(self) -> Answers:
        """The known answers with all membrane potentials and spikes; as many vectors as fit MOST_STATES.

        RuntimeError where they are not what the file says: a fault of ours or of the machine's arithmetic.
        """
        known, values = self.known, self.neurons + int(np.prod(self.program.input_shape))
        few = max(1, MOST_STATES // (values * self.program.steps))
        frames = _frames(self.program, values) if known is None else known.frames[:few]
        states = frames.shape[0] * frames.shape[1] * self.neurons
        specification = run_reference if states <= REFERENCE_STATES else run_vectorised
        record = specification(self.program, frames, trace=True)
        if known is not None and not np.array_equal(record.logits, known.logits[:few]):
            raise RuntimeError("the known answers of the file are not those of the specification")
        return _answers(frames, record)


def _answers(frames: npt.NDArray[Any], record: SpikeRecord) -> Answers:
    nothing = np.zeros((*frames.shape[:2], 0))
    traces = record.traces or ()
    membranes = np.concatenate([nothing.astype(np.int32), *(trace.membrane for trace in traces)], axis=2)
    spikes = np.concatenate([nothing.astype(np.uint8), *(trace.spikes for trace in traces)], axis=2)
    return Answers(frames, membranes, spikes, record.logits)


def _frames(program: Program, values: int) -> npt.NDArray[np.int64]:
    """(samples, time, C, H, W): inputs of the program's range at random, a function of the program alone.

    values: inputs and neurons; with many of them, of a program of many steps the first steps only.
    """
    rng = np.random.default_rng(int(program.digest()[:16], 16))
    steps = min(program.steps, max(1, MOST_STATES // (values * OWN_VECTORS)))
    shape = (OWN_VECTORS, steps, *program.input_shape)
    inputs = rng.integers(program.input_min, program.input_max + 1, shape)
    return np.asarray(inputs * (rng.random(shape) < OWN_DENSITY))
