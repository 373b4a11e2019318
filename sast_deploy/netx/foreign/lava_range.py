"""Did a sum or a current reach where stock Lava computes otherwise? What is not proved is judged on the run.

Stock Lava adds or subtracts 2**24 where a current passes +-2**23, which is no wrap to two's complement: it
keeps +2**23 and turns -2**23 into it. Its convolutions add up in float32, exact up to 2**24, and delayed
dense layers multiply in 32 bits, weights as wide as 256. As long as nothing gets there, both are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import NetFileError
from sast_deploy.base.rules import INT32
from sast_deploy.program import sums
from sast_deploy.program.lava_constants import WEIGHT_MIN
from sast_deploy.program.program import (
    CURRENT,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    SpikingLayer,
    leak,
    per_neuron,
)
from sast_deploy.program.record import SpikeRecord
from sast_deploy.proofs.bounds import bound_neurons

if TYPE_CHECKING:
    from sast_deploy.netx.foreign.stocknet import StockNet

INPUT_MAX = INT32.max // -WEIGHT_MIN  # of a dense layer, whose products have 32 bits
INT64_ROOM = 1 << 56  # times 64 it still fits
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StockProgram:
    """The program of one use of a network.

    unproven: indices of the layers whose sums or currents may reach where stock Lava computes otherwise.

    Raises:
        NetFileError: sums that may leave the 64 bits in which they are checked.
    """

    net: StockNet
    program: Program
    unproven: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Prove what can be proved."""
        maxima, layers = sums.input_maxima(self.program), list(self.program.spiking())
        totals = {index: sums.weighted_bound(layer.weight, maxima[index]) for index, layer in layers}
        for index, total in totals.items():
            if total >= INT64_ROOM:
                self._refuse(index, f"weighted sums may reach {total}", "within 64 bits")
        bounds = bound_neurons(self.program)
        unproven = tuple(
            index
            for index, layer in layers
            if (totals if isinstance(layer, Conv2d) else maxima)[index] > _part_limit(layer)
            or bounds[index].current.leaves(CURRENT, "saturate-symmetric").any()
        )
        object.__setattr__(self, "unproven", unproven)

    def check(self, frames: npt.NDArray[np.integer[Any]], record: SpikeRecord, first: int = 0) -> None:
        """Recompute sums and currents of the `unproven` layers from a run's spikes.

        frames: integers (samples, time, C, H, W). record: the run on them, with traces. first: the number of
        the first of these samples.

        Raises:
            NetFileError: stock Lava may do otherwise; names layer, sample, step, neuron.
        """
        if record.traces is None:
            raise ValueError("a run without traces")
        if not self.unproven:
            return
        spikes = [trace.spikes for trace in record.traces]
        inputs = sums.layer_inputs(self.program, frames, spikes)
        for (index, layer), own in zip(self.program.spiking(), spikes, strict=True):
            if index in self.unproven:
                parts = _parts_beyond(layer, inputs[index], first)
                for problem in chain(parts, _currents_beyond(self.program, layer, inputs[index], own, first)):
                    self._refuse(index, *problem)

    def _refuse(self, index: int, found: str, expected: str) -> NoReturn:
        name = f"layer {index} ({self.program.layers[index].kind})"
        refuse_layer(self.net.path, name, found, expected)


def _part_limit(layer: SpikingLayer) -> int:
    return sums.FLOAT32_EXACT if isinstance(layer, Conv2d) else INPUT_MAX


def _parts_beyond(layer: SpikingLayer, train: Int64Array, first: int) -> Iterator[tuple[str, str]]:
    """A convolution's sum that float32 may round, or an input whose products in a dense layer may wrap."""
    samples, steps, *shape = train.shape
    parts, limit = np.abs(train), _part_limit(layer)
    if isinstance(layer, Conv2d):
        parts = sums.weighted_sums(layer, parts.reshape(-1, *shape), np.abs(layer.weight))
    parts = parts.reshape(samples, steps, -1)
    for sample, step, number in np.argwhere(parts > limit):
        found = f"sample {first + sample}, step {step}: parts of a sum reach {parts[sample, step, number]}"
        yield found, f"at most {limit}, beyond which stock Lava rounds or wraps"


def _currents_beyond(
    program: Program, layer: SpikingLayer, train: Int64Array, spikes: npt.NDArray[np.uint8], first: int
) -> Iterator[tuple[str, str]]:
    current = _currents(program, layer, train, spikes)
    # A current that nothing is left of may be 2**23: it meets no wrap of ours, and stock Lava keeps it.
    highest = CURRENT.high + (per_neuron(layer.u_decay, current.shape[2]) == NO_DECAY_FILTER)
    for sample, step, neuron in np.argwhere((current > highest) | (current < -CURRENT.high)):
        place = f"sample {first + sample}, step {step}, neuron {neuron}"
        found = f"{place}: the current reaches {current[sample, step, neuron]}"
        yield found, f"within +-{CURRENT.high}, beyond which stock Lava's current wraps"


def refuse_layer(where: Path, name: str, found: str, expected: str) -> NoReturn:
    """Raise the NetFileError for something about a layer of the file `where`."""
    raise NetFileError(f"{name}: {found}", where=where, expected=expected)


def _currents(
    program: Program, layer: SpikingLayer, train: Int64Array, spikes: npt.NDArray[np.uint8]
) -> Int64Array:
    """int64 (samples, time, neurons), never wrapped."""
    total = sums.sums_over_time(layer, train, layer.weight)
    if isinstance(layer, Dense) and layer.recurrent is not None:
        total[:, 1:] += spikes[:, :-1].astype(np.int64) @ layer.recurrent.T.astype(np.int64)
    arriving = total << layer.weight_exp
    decay, current = per_neuron(layer.u_decay, arriving.shape[2]), np.zeros_like(arriving)
    for t in range(arriving.shape[1]):
        last = np.zeros_like(arriving[:, 0]) if program.clears(layer, t) else current[:, t - 1]
        current[:, t] = leak(last, decay, program.arithmetic.leak_rounding) + arriving[:, t]
    return current
