"""Synaptic operations of a run, from spike counts and the implemented fan-out of every synapse source.

SynOps per sample = sum_t sum_l sum_n z * F: z = 1 for a presynaptic spike (for graded input: a count
that is not zero), F = the accumulations it triggers, zero weights included, accumulations beyond a
convolution's border not; a layer's own spikes through its recurrent weights are among its operations, and a
spike counts whether or not what it triggers arrives before the last step. Pools and upsamplings have no
neurons; a spike that enters one is charged what its window, or all its copies, trigger in the layer behind.
Effective operations leave out zero weights and are called ACs for binary and MACs for graded input, as in
NeuroBench v2.3.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.frames import Frames
from sast_deploy.program.fanout import fan_out, through, weighted_with_sources
from sast_deploy.program.program import Dense, Program, layer_label

Float64Array = npt.NDArray[np.float64]
CHUNK = 64  # samples looked at in one go, so that memory does not grow with their number


@dataclass(frozen=True)
class LayerOps:
    """Operations of one weighted layer, means per sample over all steps.

    synops: by the definition above. effective: zero weights excluded. operation: "MAC" for graded input,
    "AC" for spikes. dense: what a dense matrix product would do in T steps.
    """

    name: str
    synops: float
    effective: float
    operation: str
    dense: int


def count_operations(
    program: Program, frames: Frames, counts: tuple[npt.NDArray[np.int32], ...]
) -> tuple[LayerOps, ...]:
    """Operations of every weighted layer.

    Args:
        program: the program that ran.
        frames: its input (samples, time, C, H, W).
        counts: spike counts per spiking layer (samples, neurons), from a SpikeRecord.
    """
    nonzero_inputs, graded = _inputs(frames)
    sources = [nonzero_inputs, *(count.mean(axis=0, dtype=np.float64) for count in counts)]
    found = []
    for number, (index, layer, between) in enumerate(weighted_with_sources(program)):
        shape = program.shapes()[index]
        spikes: Float64Array = sources[number]
        fans = fan_out(layer, shape, False), fan_out(layer, shape, True)
        every, nonzero = (through(between, fan) for fan in fans)
        kind = "MAC" if number == 0 and graded else "AC"
        dense = int(fans[0].sum()) * program.steps
        synops, effective = float(spikes @ every), float(spikes @ nonzero)
        if isinstance(layer, Dense) and layer.recurrent is not None:
            own = sources[number + 1]
            synops += float(own.sum()) * len(layer.recurrent)
            effective += float(own @ np.count_nonzero(layer.recurrent, axis=0))
            dense += layer.recurrent.size * program.steps
        found.append(LayerOps(layer_label(index, layer), synops, effective, kind, dense))
    return tuple(found)


def _inputs(frames: Frames) -> tuple[Float64Array, bool]:
    """Mean over the samples of each input's nonzero steps, (inputs,), and whether any is not 0 or 1."""
    total, graded = np.zeros(int(np.prod(frames.shape[2:])), np.int64), False
    for start in range(0, len(frames), CHUNK):
        chunk = frames[start : start + CHUNK]
        if isinstance(chunk, EventFrames):
            total += np.bincount(chunk.index, minlength=len(total))
            graded = graded or chunk.max() > 1
            continue
        total += np.count_nonzero(chunk.reshape(-1, len(total)), axis=0)
        graded = graded or chunk.max(initial=0) > 1 or chunk.min(initial=0) < 0
    return total / len(frames), bool(graded)
