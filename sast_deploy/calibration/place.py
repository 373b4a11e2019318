"""A spiking layer on top of the integer layers already chosen: its spikes, and how far off they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sast_deploy.compiler.quantize import Float64Array
from sast_deploy.engines.fast import run_fast
from sast_deploy.program.program import Program, SpikingLayer
from sast_deploy.program.record import evenly_spread

MEASURED = 1 << 23  # spikes (samples x steps x neurons) that distances are measured on
Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Place:
    """The layers below a spiking layer, what they receive, and what that layer should send.

    below: the program up to this layer; its own layers from there on are ignored. index: of the layer.
    frames: uint8 (n, T, C, H, W). wanted: the float network's spikes, uint8 (n, T, neurons). alpha: the
    leak factor of the next layer's membranes.
    """

    below: Program
    index: int
    frames: npt.NDArray[np.uint8]
    wanted: Spikes
    alpha: float

    def measured(self) -> Place:
        """With as many of the samples as MEASURED allows, evenly spread: they are sorted by class.

        A convolution's channels see each of them many times.
        """
        count = max(1, MEASURED // self.wanted[0].size)
        if count >= len(self.wanted):
            return self
        spread = evenly_spread(len(self.wanted), count)
        return replace(self, frames=self.frames[spread], wanted=self.wanted[spread])

    def spikes(self, layer: SpikingLayer) -> Spikes:
        """uint8 (n, T, neurons) of that layer in this place."""
        layers = (*self.below.layers[: self.index], layer)
        neurons = self.wanted.shape[2]
        program = replace(self.below, layers=layers, classes=tuple(map(str, range(neurons))))
        traces = run_fast(program, self.frames, trace=True).traces or ()
        return traces[-1].spikes

    def distances(self, layer: SpikingLayer) -> Float64Array:
        """How far its spikes are off, per neuron of a dense layer, per channel of a convolution."""
        off = distance(self.spikes(layer), self.wanted, self.alpha)
        return np.asarray(off.reshape(len(layer.weight), -1).sum(axis=1))


def distance(spikes: Spikes, wanted: Spikes, alpha: float) -> Float64Array:
    """(neurons,): mean over samples and steps of the squared difference of the leaky traces of two trains.

    It is what the difference does to a membrane potential of the next layer; after van Rossum, Neural
    Computation 13(4), 2001.
    """
    trace = np.zeros((len(spikes), spikes.shape[2]), np.float32)
    total = np.zeros(spikes.shape[2])
    for t in range(spikes.shape[1]):
        trace = np.float32(alpha) * trace + (spikes[:, t].astype(np.float32) - wanted[:, t])
        total += (trace * trace).sum(axis=0, dtype=np.float64)
    return np.asarray(total / (len(spikes) * spikes.shape[1]))
