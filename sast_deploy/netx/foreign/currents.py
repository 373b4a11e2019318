"""Did a sum or a current reach where stock Lava computes otherwise? What is not proved is judged on the run.

Stock Lava adds or subtracts 2**24 where a current passes +-2**23, which is no wrap to two's complement: it
keeps +2**23 and turns -2**23 into it. Its convolutions add up in float32, exact up to 2**24, and delayed
dense layers multiply in 32 bits, weights as wide as 256. As long as nothing gets there, both are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import NetFileError
from sast_deploy.program.fixedpoint import divide_pow2_array
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    SpikingLayer,
    per_neuron,
)
from sast_deploy.program.record import SpikeRecord
from sast_deploy.program.sums import (
    Int64Array,
    input_maxima,
    layer_inputs,
    sums_over_time,
    weighted_bound,
    weighted_sums,
)
from sast_deploy.proofs.bounds import bound_neurons

FLOAT32_EXACT = 1 << 24
INPUT_MAX = (1 << 23) - 1  # of a dense layer: 256 times that fits 32 bits
INT64_ROOM = 1 << 56  # times 64 it still fits


def unproven_layers(program: Program, where: Path) -> tuple[int, ...]:
    """The indices of the layers that may reach where stock Lava computes otherwise.

    Raises:
        NetFileError: sums that may leave the 64 bits in which they are checked.
    """
    maxima, layers = input_maxima(program), list(program.spiking())
    for index, layer in layers:
        total = weighted_bound(layer.weight, maxima[index])
        if total >= INT64_ROOM:
            name = f"layer {index} ({layer.kind})"
            _refuse(where, name, f"weighted sums may reach {total}", "within 64 bits")
    bounds = bound_neurons(program)
    return tuple(
        index
        for index, layer in layers
        if _part_bound(layer, maxima[index]) > _part_limit(layer)
        or bounds[index].current.leaves(CURRENT, "saturate-symmetric").any()
    )


def check_currents(
    program: Program,
    unproven: tuple[int, ...],
    frames: npt.NDArray[np.integer[Any]],
    record: SpikeRecord,
    where: Path,
    first: int = 0,
) -> None:
    """Recompute sums and currents of the `unproven` layers from a run's spikes.

    frames: integers (samples, time, C, H, W). record: the run on them, with traces. first: the number of the
    first of these samples.

    Raises:
        NetFileError: stock Lava may do otherwise; names layer, sample, step, neuron.
    """
    if record.traces is None:
        raise ValueError("a run without traces")
    if not unproven:
        return
    spikes = [trace.spikes for trace in record.traces]
    inputs = layer_inputs(program, frames, spikes)
    for (index, layer), own in zip(program.spiking(), spikes, strict=True):
        if index in unproven:
            name = f"layer {index} ({layer.kind})"
            _check_parts(layer, inputs[index], where, name, first)
            _check_current(layer, _currents(program, layer, inputs[index], own), where, name, first)


def _part_limit(layer: SpikingLayer) -> int:
    return FLOAT32_EXACT if isinstance(layer, Conv2d) else INPUT_MAX


def _part_bound(layer: SpikingLayer, x_max: int) -> int:
    return weighted_bound(layer.weight, x_max) if isinstance(layer, Conv2d) else x_max


def _check_parts(layer: SpikingLayer, train: Int64Array, where: Path, name: str, first: int) -> None:
    """Refuse a convolution's sum that float32 may round, and a dense layer's product beyond 32 bits."""
    samples, steps, *shape = train.shape
    parts = np.abs(train)
    if isinstance(layer, Conv2d):
        parts = weighted_sums(layer, parts.reshape(-1, *shape), np.abs(layer.weight))
    parts = parts.reshape(samples, steps, -1)
    for sample, step, number in np.argwhere(parts > _part_limit(layer))[:1]:
        found = f"sample {first + sample}, step {step}: parts of a sum reach {parts[sample, step, number]}"
        _refuse(where, name, found, f"at most {_part_limit(layer)}, beyond which stock Lava rounds or wraps")


def _check_current(layer: SpikingLayer, current: Int64Array, where: Path, name: str, first: int) -> None:
    # A current that nothing is left of may be 2**23: it meets no wrap of ours, and stock Lava keeps it.
    highest = CURRENT.high + (per_neuron(layer.u_decay, current.shape[2]) == NO_DECAY_FILTER)
    for sample, step, neuron in np.argwhere((current > highest) | (current < -CURRENT.high))[:1]:
        place = f"sample {first + sample}, step {step}, neuron {neuron}"
        found = f"{place}: the current reaches {current[sample, step, neuron]}"
        _refuse(where, name, found, f"within +-{CURRENT.high}, beyond which stock Lava's current wraps")


def _refuse(where: Path, name: str, found: str, expected: str) -> NoReturn:
    raise NetFileError(f"{name}: {found}", where=where, expected=expected)


def _currents(
    program: Program, layer: SpikingLayer, train: Int64Array, spikes: npt.NDArray[np.uint8]
) -> Int64Array:
    """int64 (samples, time, neurons), never wrapped."""
    total = sums_over_time(layer, train, layer.weight)
    if isinstance(layer, Dense) and layer.recurrent is not None:
        total[:, 1:] += spikes[:, :-1].astype(np.int64) @ layer.recurrent.T.astype(np.int64)
    arriving = total << layer.weight_exp
    keep = (1 << LEAK_BITS) - per_neuron(layer.u_decay, arriving.shape[2]).astype(np.int64)
    current, interval = np.zeros_like(arriving), program.reset_interval
    for t in range(arriving.shape[1]):
        cleared = t == 0 or (interval and t % interval == layer.reset_offset)
        last = np.zeros_like(arriving[:, 0]) if cleared else current[:, t - 1]
        kept = divide_pow2_array(last * keep, LEAK_BITS, program.arithmetic.leak_rounding)
        current[:, t] = kept + arriving[:, t]
    return current
