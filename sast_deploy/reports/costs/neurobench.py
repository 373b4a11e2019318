"""NeuroBench's metrics of an integer program, counted in a run of it by the definitions of NeuroBench 2.3.0.

They are what `neurobench` itself measures of the program as a torch module: an nn.Linear or nn.Conv2d for
every layer's weights and an nn.Linear for recurrent ones, each called once a step, neurons that are of
snnTorch's class SpikingNeuron, and as parameters and buffers the weights, biases and thresholds, in the
narrowest integer type that holds their bits (`Footprint`).

    Footprint             elements x bytes of an element, of parameters and buffers: 4 bits get no credit
    ConnectionSparsity    zeros / weights of all layers; recurrent ones and the readout's, no biases
    ActivationSparsity    outputs that are 0 / outputs, of the neurons of all spiking layers in all steps
    SynapticOperations    inputs that are not 0 times the weights behind them that are not 0, in the step in
                          which they arrive; MACs or ACs. dense: as if nothing were 0, without the padding
    MembraneUpdates       every neuron in the first step, then each u_t that is not u_(t - 1)

The last two are means per sample. u_t is the membrane potential of a `Trace`, as it is in snnTorch's neurons:
after the reset that the spike of the step before asks for, before its own. Readouts have no activations.

NeuroBench tells MACs from ACs for each call of a module, which is one step of one batch: ACs where all inputs
are -1, 0 or 1. How many of either there are so depends on the batch, their sum does not. `batch` gives what
NeuroBench says of batches of that size. Without it weights do nothing but MACs if any of their inputs is
graded in the whole run, and else ACs: the same for every order of the samples.

What these definitions cannot count: pools and upsamplings are free, and what these give are the inputs of the
layer behind, so that the sum of two spikes is one input, and a graded one (SynOps charge both spikes); leaks,
current filters, delays and all arithmetic of neurons cost nothing and fill no bytes; nothing is counted that
would arrive after the last step. NeuroBench does not see a recurrence that is no module of torch's own; ours
always counts. A layer whose synapses have several delays counts as one module.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.engines.frames import Frames, check_shape
from sast_deploy.program.fanout import fan_out
from sast_deploy.program.program import Dense, Int32Array, Program, Shape, layer_label
from sast_deploy.program.record import Trace
from sast_deploy.program.sums import Int64Array, Weighted, layer_inputs, weighted_layers
from sast_deploy.reports.costs.traced import Piece, traced
from sast_deploy.reports.inspection import footprints

NEUROBENCH = "2.3.0"  # whose definitions these are
_Way = tuple[int, Int64Array, npt.NDArray[np.bool_]]  # see `_ways`


@dataclass(frozen=True)
class LayerMetrics:
    """One layer with weights; operations and updates are means per sample over all steps.

    weights, zeros: recurrent ones included. activation_sparsity, membrane_updates: None of a readout.
    """

    name: str
    weights: int
    zeros: int
    effective_macs: float
    effective_acs: float
    dense: int
    activation_sparsity: float | None
    membrane_updates: float | None


@dataclass(frozen=True)
class NeuroBench:
    """NeuroBench's metrics of a program and a run of it; the module's text defines each.

    batch: of which MACs and ACs are told apart, None for the whole run. footprint: by NeuroBench's
    definition; packed_bits: every weight and state at the program's own width. connection_sparsity: exact;
    connection_sparsity_rounded: as NeuroBench prints it. dense, effective_macs, effective_acs,
    membrane_updates: means per sample.
    """

    samples: int
    batch: int | None
    footprint: int
    packed_bits: int
    connection_sparsity: float
    connection_sparsity_rounded: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: int
    membrane_updates: float
    layers: tuple[LayerMetrics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"neurobench_definitions": NEUROBENCH, **asdict(self)}

    def results(self) -> dict[str, Any]:
        """What NeuroBench's `Benchmark.run` returns, by its names."""
        return {
            "Footprint": self.footprint,
            "ConnectionSparsity": self.connection_sparsity_rounded,
            "ActivationSparsity": self.activation_sparsity,
            "SynapticOperations": {
                "Effective_MACs": self.effective_macs, "Effective_ACs": self.effective_acs,
                "Dense": float(self.dense),
            },
            "MembraneUpdates": self.membrane_updates,
        }  # fmt: skip


@dataclass
class _Tally:
    """What is counted of one layer; operations and graded: (samples, steps) of what arrives at its weights.

    recurrent: operations of its recurrent weights, whose inputs are spikes.
    """

    operations: Int64Array
    graded: npt.NDArray[np.bool_]
    dense: int
    neurons: int  # 0 of a readout
    recurrent: int = 0
    spikes: int = 0
    updates: int = 0


def neurobench(program: Program, frames: Frames, *, batch: int | None = None) -> NeuroBench:
    """Run frames (samples, time, C, H, W) in the fast engine and count.

    batch: samples in a call of the network, by which NeuroBench tells MACs from ACs; None: all samples and
    steps.

    Raises:
        DataError: frames that do not fit, or no samples or steps. UsageError: a batch below 1.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"batches of {batch} samples", expected="1 or more")
    check_shape(program, frames, program.name)
    samples, steps = frames.shape[:2]
    if not samples or not steps:
        found = f"{samples} samples of {steps} steps"
        raise DataError(found, where=program.name, expected="at least one of each")
    counts = Counts(program, samples, steps)
    for piece in traced(program, frames, "neurobench"):
        counts.add(piece)
    return counts.metrics(batch)


class Counts:
    """Of a whole run, a few samples after the other."""

    def __init__(self, program: Program, samples: int, steps: int) -> None:
        """Nothing is counted yet."""
        self.program, self.samples, self.steps = program, samples, steps
        self.spiking = [index for index, _ in program.spiking()]
        self.layers, shapes = dict(weighted_layers(program)), program.shapes()
        self.ways = {index: _ways(layer, shapes[index]) for index, layer in self.layers.items()}
        self.tallies = {}
        for index, layer in self.layers.items():
            synapses = int(fan_out(layer, shapes[index], False).sum()) + _recurrent(layer).size
            neurons = math.prod(shapes[index + 1]) if index in self.spiking else 0
            none, plain = np.zeros((samples, steps), np.int64), np.zeros((samples, steps), np.bool_)
            self.tallies[index] = _Tally(none, plain, synapses * steps, neurons)

    def add(self, piece: Piece) -> None:
        """Count some samples."""
        rows, traces = slice(piece.start, piece.start + len(piece.frames)), piece.traces
        trains = layer_inputs(self.program, piece.frames, [trace.spikes for trace in traces], None)
        for index, train in trains.items():
            tally = self.tallies[index]
            flat = train.reshape(*train.shape[:2], -1)
            for delay, fan, used in self.ways[index]:
                operations, graded = _arrivals(flat[:, : max(self.steps - delay, 0)], fan, used)
                tally.operations[rows, delay:] += operations
                tally.graded[rows, delay:] |= graded
        for index, trace in zip(self.spiking, traces, strict=True):
            self._add_neurons(index, trace)

    def _add_neurons(self, index: int, trace: Trace) -> None:
        tally, recurrent, u = self.tallies[index], _recurrent(self.layers[index]), trace.membrane
        tally.spikes += int(np.count_nonzero(trace.spikes))
        tally.updates += u[:, 0].size + int(np.count_nonzero(u[:, 1:] != u[:, :-1]))
        if recurrent.size:
            arriving = trace.spikes[:, :-1].sum(axis=(0, 1), dtype=np.int64)  # those of the last step do not
            tally.recurrent += int(arriving @ np.count_nonzero(recurrent, axis=0))

    def metrics(self, batch: int | None) -> NeuroBench:
        """The metrics of what was counted."""
        layers = [self._layer(index, batch) for index in self.tallies]
        tallies, memory = list(self.tallies.values()), footprints(self.program)
        weights, zeros = (sum(getattr(each, name) for each in layers) for name in ("weights", "zeros"))
        macs, acs = (sum(kind) for kind in zip(*(_split(each, batch) for each in tallies), strict=True))
        return NeuroBench(
            samples=self.samples,
            batch=batch,
            footprint=sum(each.neurobench_bytes for each in memory),
            packed_bits=sum(each.packed_bits for each in memory),
            connection_sparsity=zeros / weights,
            # theirs is a quotient of torch integers, which is a float32
            connection_sparsity_rounded=round(float(np.float32(zeros) / np.float32(weights)), 4),
            activation_sparsity=self._sparsity(tallies),
            effective_macs=macs / self.samples,
            effective_acs=acs / self.samples,
            dense=sum(each.dense for each in tallies),
            membrane_updates=sum(each.updates for each in tallies) / self.samples,
            layers=tuple(layers),
        )

    def _layer(self, index: int, batch: int | None) -> LayerMetrics:
        layer, tally = self.layers[index], self.tallies[index]
        weights = [layer.weight, _recurrent(layer)]
        macs, acs = _split(tally, batch)
        return LayerMetrics(
            name=layer_label(index, layer),
            weights=sum(part.size for part in weights),
            zeros=sum(part.size - int(np.count_nonzero(part)) for part in weights),
            effective_macs=macs / self.samples,
            effective_acs=acs / self.samples,
            dense=tally.dense,
            activation_sparsity=self._sparsity([tally]) if tally.neurons else None,
            membrane_updates=tally.updates / self.samples if tally.neurons else None,
        )

    def _sparsity(self, tallies: list[_Tally]) -> float:
        outputs = sum(each.neurons for each in tallies) * self.samples * self.steps
        return (outputs - sum(each.spikes for each in tallies)) / outputs if outputs else 0.0


def _recurrent(layer: Weighted) -> Int32Array:
    """Its recurrent weights (out, out), or none (0, 0)."""
    found = layer.recurrent if isinstance(layer, Dense) else None
    return np.zeros((0, 0), np.int32) if found is None else found


def _ways(layer: Weighted, in_shape: Shape) -> list[_Way]:
    """Of every delay: (delay, weights not 0 behind each input, which inputs have synapses so late)."""
    found = []
    for delay in np.unique(layer.delay).tolist():
        late = layer.delay == delay
        used = late.any(axis=0) if late.ndim == 2 else late
        of_it = layer if late.all() else replace(layer, weight=np.where(late, layer.weight, 0))
        fan = fan_out(of_it, in_shape, True)
        found.append((delay, fan, np.broadcast_to(used, fan.shape)))
    return found


def _arrivals(
    x: npt.NDArray[np.integer[Any]], fan: Int64Array, used: npt.NDArray[np.bool_]
) -> tuple[Int64Array, npt.NDArray[np.bool_]]:
    """(samples, time): operations of inputs (samples, time, inputs); whether any that is used is graded."""
    rows, inputs = np.divmod(np.flatnonzero(x), x.shape[2])
    shape, values, calls = x.shape[:2], x[x != 0], x.shape[0] * x.shape[1]
    graded = rows[((values > 1) | (values < -1)) & used[inputs]]
    operations = np.bincount(rows, fan[inputs], calls).astype(np.int64)  # float64 sums, far below 2**53
    return operations.reshape(shape), (np.bincount(graded, minlength=calls) > 0).reshape(shape)


def _split(tally: _Tally, batch: int | None) -> tuple[int, int]:
    """MACs and ACs over all samples."""
    first = np.arange(0, len(tally.graded), batch or len(tally.graded))
    graded = np.add.reduceat(tally.graded, first, dtype=np.int64) > 0  # (batches, steps)
    if batch is None:
        graded[:] = graded.any()
    macs = int(np.add.reduceat(tally.operations, first)[graded].sum())
    return macs, int(tally.operations.sum()) - macs + tally.recurrent
