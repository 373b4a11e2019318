"""A run with every membrane potential and spike, a few samples at a time, so that memory stays flat."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.progress import task
from sast_deploy.engines.frames import Frames
from sast_deploy.engines.registry import prepare
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord, Trace

TOGETHER = 32 << 20  # bytes of the traces and inputs that are held at a time


@dataclass(frozen=True, eq=False)
class Piece:
    """Some samples of a run.

    start: number of the first. frames (samples, time, C, H, W). record: with its traces.
    """

    start: int
    frames: npt.NDArray[Any]
    record: SpikeRecord

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Of every spiking layer."""
        return self.record.traces or ()


def traced(program: Program, frames: Frames, what: str) -> Iterator[Piece]:
    """Run frames (samples, time, C, H, W) in the fast engine, piece by piece; a task called `what`."""
    run = prepare("fast", program)
    values = sum(math.prod(shape) for shape in program.shapes())
    rows = max(1, TOGETHER // (8 * values * frames.shape[1]))  # inputs may be of 64 bits behind a pool
    with task(what, len(frames)) as under_way:
        for start in range(0, len(frames), rows):
            chunk = np.asarray(frames[start : start + rows])
            yield Piece(start, chunk, run(chunk, trace=True))
            under_way.advance(len(chunk))
