"""The arrays a run fills in: shared memory, allocated by the parent, written by Lava's actors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class NeuronResults:
    """One spiking layer: counts int32 (samples, neurons); membrane int32 and spikes uint8, both
    (samples, time, neurons), or None where no trace was asked for; beats where it is the network's last.
    """

    counts: npt.NDArray[np.int32]
    membrane: npt.NDArray[np.int32] | None
    spikes: npt.NDArray[np.uint8] | None
    beats: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Results:
    """A whole network: neurons, one per spiking layer; logits int64 (samples, classes); beats int64 (2,),
    how many Lava time steps are finished and how many there are.
    """

    neurons: tuple[NeuronResults, ...]
    logits: npt.NDArray[np.int64]
    beats: npt.NDArray[np.int64]
