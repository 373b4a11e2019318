"""Did a filtered current leave 24 bits in this run? Where that is not proved impossible, it is looked up.

Stock Lava adds or subtracts 2**24 where a current passes +-2**23, which is no wrap to two's complement: it
keeps +2**23 and turns -2**23 into it. As long as no current gets there, both are the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sast_deploy.errors import NetFileError
from sast_deploy.fixedpoint import divide_pow2_array
from sast_deploy.linear import Int64Array, layer_inputs, sums_over_time
from sast_deploy.netx_import import StockNet
from sast_deploy.program import CURRENT, LEAK_BITS, Dense, Program, SpikingLayer, per_neuron
from sast_deploy.simulate.record import SpikeRecord


def check_currents(
    net: StockNet, frames: npt.NDArray[np.uint8], record: SpikeRecord, where: Path
) -> None:
    """Recompute the currents of `net.unproven` layers from a run's spikes.

    frames: uint8 (samples, time, C, H, W). record: the run on them, with traces.

    Raises:
        NetFileError: a current left 24 bits: stock Lava may do otherwise; names layer, sample, step, neuron.
    """
    if record.traces is None:
        raise ValueError("a run without traces")
    numbers = {index: number for number, (index, _) in enumerate(net.program.spiking())}
    inputs = layer_inputs(net.program, frames, [trace.spikes for trace in record.traces])
    for index, layer in net.program.spiking():
        if index in net.unproven:
            current = _currents(net.program, layer, inputs[index], record.traces[numbers[index]].spikes)
            for sample, step, neuron in np.argwhere(np.abs(current) > CURRENT.high)[:1]:
                raise NetFileError(
                    f"layer {index} ({layer.kind}), sample {sample}, step {step}, neuron {neuron}: "
                    f"the current reaches {current[sample, step, neuron]}",
                    where=where,
                    expected=f"within +-{CURRENT.high}, beyond which stock Lava's current wraps",
                )


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
