"""What every core does in every step of the chip, counted from the spikes of a run.

A chip passes spikes from one layer to the next in a step of its own: layer l (from 0, those with weights)
works on step t of the program in step t + l + 1 of the chip, so that a sample of T steps takes T + L steps
for L layers. In each of them every neuron is updated. A spike is one message to every core in which it has a
connection, zero weights included as a dense format stores them; the message is received in the step in which
it is sent, and triggers there an accumulation for each of its connections: over all cores their number is
`synops`' SynOps. A graded input above 1 is one message, as in SynOps; delays change when synapses arrive,
not how many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.frames import Frames
from sast_deploy.program.fanout import fan_out, through, weighted_with_sources
from sast_deploy.program.program import Conv2d, Dense, Program
from sast_deploy.program.record import SpikeRecord
from sast_deploy.program.sums import Int64Array
from sast_deploy.proofs.mapping import LayerMapping, Mapping, Part
from sast_deploy.reports.costs.placement import Placement, placed
from sast_deploy.reports.costs.traced import Piece, traced

DENSE, CONV = "dense", "conv"


@dataclass(frozen=True, eq=False)
class Activity:
    """Counts, all int64. Of cores in the mapping's order; of steps of the chip, T + L.

    received, events, spikes, sent (samples, steps, cores): messages that a core receives, accumulations that
    they trigger, spikes of its neurons, messages that these are. entered (samples, steps, entries): messages
    of pixels. across, along, inside (samples,): hops of all messages east-west and north-south, and messages
    within one tile. pixels, values (samples,): inputs that are not zero, and the sum of their magnitudes.
    neurons (cores,). kinds (cores,): "dense" or "conv", of the layer.
    """

    placement: Placement
    received: Int64Array
    events: Int64Array
    spikes: Int64Array
    sent: Int64Array
    entered: Int64Array
    across: Int64Array
    along: Int64Array
    inside: Int64Array
    pixels: Int64Array
    values: Int64Array
    neurons: Int64Array
    kinds: tuple[str, ...]

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.events)

    @property
    def steps(self) -> int:
        """Of the chip, for one sample."""
        return int(self.events.shape[1])

    def of_kind(self, kind: str) -> float:
        """Accumulations a sample, mean, on cores of dense or of convolutional layers."""
        chosen = np.array([each == kind for each in self.kinds])
        return float(self.events[:, :, chosen].sum() / self.samples)

    @cached_property
    def counts(self) -> dict[str, float]:
        """What price tables can price: means per sample, by name."""
        updates = float(self.neurons.sum() * self.steps)
        messages = int(self.sent.sum()) + int(self.entered.sum())
        return {
            "dense synaptic events": self.of_kind(DENSE),
            "conv synaptic events": self.of_kind(CONV),
            "neuron accesses": updates,
            "neuron updates": updates,
            "spikes": float(self.spikes.sum() / self.samples),
            "messages": messages / self.samples,
            "messages received": float(self.received.sum() / self.samples),
            "messages within a tile": float(self.inside.mean()),
            "hops east-west": float(self.across.mean()),
            "hops north-south": float(self.along.mean()),
        }


def run_activity(
    program: Program, mapping: Mapping, frames: Frames, also: Callable[[Piece], None] | None = None
) -> tuple[Activity, SpikeRecord]:
    """Run the fast engine on frames (samples, time, C, H, W) and count; the record without its traces.

    also: what else counts in the same run.
    """
    wiring, parts, records = _Wiring(program, mapping), [], []
    for piece in traced(program, frames, "messages and operations"):
        parts.append(wiring.count(piece.frames, [each.spikes for each in piece.traces]))
        records.append(replace(piece.record, traces=None))
        if also is not None:
            also(piece)
    counts = tuple(np.concatenate(each) for each in zip(*(record.counts for record in records), strict=True))
    whole = SpikeRecord(counts, np.concatenate([record.logits for record in records]))
    return _joined(wiring, parts), whole


def count_activity(
    program: Program, mapping: Mapping, frames: npt.NDArray[Any], spikes: list[npt.NDArray[np.uint8]]
) -> Activity:
    """Of spikes at hand: frames (samples, time, C, H, W), spikes of every spiking layer (samples, time,
    neurons).
    """
    wiring = _Wiring(program, mapping)
    return _joined(wiring, [wiring.count(frames, spikes)])


def _joined(wiring: _Wiring, parts: list[dict[str, Int64Array]]) -> Activity:
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Activity(wiring.placement, **whole, neurons=wiring.neurons, kinds=wiring.kinds)


@dataclass(frozen=True, eq=False)
class _Way:
    """From one source, a layer or the pixels, to the cores of one layer.

    source: 0 for the pixels, k for spiking layer k - 1. layer: number among those with weights. cores: its
    own. fan: scipy.sparse (sources, cores), accumulations. hops: int64 (3, sources): across, along, and
    messages that stay within a tile, of one spike of each.
    """

    source: int
    layer: int
    cores: slice
    fan: Any
    hops: Int64Array


class _Wiring:
    """All ways of a program on its cores, and the counting of spikes along them."""

    def __init__(self, program: Program, mapping: Mapping) -> None:
        self.program, self.mapping, self.placement = program, mapping, placed(program, mapping)
        self.cores = [slice(0, 0)]
        for layer in mapping.layers:
            self.cores.append(slice(self.cores[-1].stop, self.cores[-1].stop + layer.cores))
        del self.cores[0]
        self.neurons = np.array([part.neurons for part in mapping.parts], np.int64)
        self.kinds = tuple(
            CONV if isinstance(program.layers[layer.index], Conv2d) else DENSE
            for layer in mapping.layers
            for _ in layer.parts
        )
        self.layers = len(mapping.layers)
        self.steps = program.steps + self.layers
        self.ways = list(self._ways())

    def count(self, frames: npt.NDArray[Any], spikes: list[npt.NDArray[np.uint8]]) -> dict[str, Int64Array]:
        """All counts of some samples."""
        from scipy.sparse import csr_array

        samples, time = frames.shape[:2]
        flat = np.ascontiguousarray(frames).reshape(samples * time, -1)
        trains = [csr_array(flat != 0, dtype=np.int64)]
        trains += [csr_array(each.reshape(samples * time, -1), dtype=np.int64) for each in spikes]
        shape = (samples, self.steps, self.mapping.cores)
        names = ("received", "events", "spikes", "sent")
        found = {name: np.zeros(shape, np.int64) for name in names}
        found["entered"] = np.zeros((samples, self.steps, self.placement.entries), np.int64)
        going = np.zeros((3, samples), np.int64)
        for way in self.ways:
            train, late = trains[way.source], slice(way.source, way.source + time)
            events = (train @ way.fan).toarray().reshape(samples, time, -1)
            messages = (train @ (way.fan != 0).astype(np.int64)).toarray().reshape(samples, time, -1)
            found["events"][:, late, way.cores] += events
            found["received"][:, late, way.cores] += messages
            found["sent" if way.source else "entered"][:, late] += self._sent(way, train, samples)
            going += np.array([(train @ row).reshape(samples, time).sum(axis=1) for row in way.hops])
        for number, train in enumerate(trains[1:]):
            late, core_of = slice(number + 1, number + 1 + time), self._members(number + 1)
            found["spikes"][:, late] += (train @ core_of).toarray().reshape(samples, time, -1)
        found |= dict(zip(("across", "along", "inside"), going, strict=True))
        each = np.abs(frames.reshape(samples, -1).astype(np.int64))
        return {**found, "pixels": np.count_nonzero(each, axis=1), "values": each.sum(axis=1)}

    def _sent(self, way: _Way, train: Any, samples: int) -> Int64Array:
        """(samples, time, nodes of the source's side): messages by the node that sends them."""
        from scipy.sparse import diags_array

        each = np.asarray((way.fan != 0).sum(axis=1), np.int64).ravel()
        by_node = diags_array(each, dtype=np.int64) @ self._members(way.source)
        return np.asarray((train @ by_node).toarray().reshape(samples, self.program.steps, -1))

    def _members(self, source: int) -> Any:
        """scipy.sparse (sources, nodes): of pixels the entries, of neurons the cores they stand on."""
        from scipy.sparse import csr_array

        if source == 0:
            node, nodes = self.placement.entry_of(math.prod(self.program.input_shape)), self.placement.entries
        else:
            node, nodes = self._core_of(source - 1), self.mapping.cores
        ones = np.ones(len(node), np.int64)
        return csr_array((ones, (np.arange(len(node)), node)), shape=(len(node), nodes))

    def _core_of(self, layer: int) -> Int64Array:
        """int64 (neurons,): the core of every neuron of a layer."""
        mapped, first = self.mapping.layers[layer], self.cores[layer].start
        found = np.zeros((*mapped.shape, 1, 1)[:3], np.int64)
        for number, part in enumerate(mapped.parts):
            part.block.of(found)[...] = first + number
        return found.ravel()

    def _ways(self) -> Iterator[_Way]:
        shapes = self.program.shapes()
        for number, (index, layer, between) in enumerate(weighted_with_sources(self.program)):
            mapped = self.mapping.layers[number]
            fans = (fan_out(layer, shapes[index], False, part.block) for part in mapped.parts)
            yield self._way(number, number, [through(between, fan) for fan in fans])
            if isinstance(layer, Dense) and layer.recurrent is not None:
                own = len(layer.recurrent)
                yield self._way(number + 1, number, [_owned(part, own) for part in mapped.parts])

    def _way(self, source: int, layer: int, fans: list[Int64Array]) -> _Way:
        from scipy.sparse import csc_array, csr_array, hstack

        fan = csr_array(hstack([csc_array(each[:, None]) for each in fans]))
        if source == 0:
            nodes = self.placement.entry_of(len(fans[0]))
        else:
            nodes = self.placement.node_of(0) + self._core_of(source - 1)
        hops = np.zeros((3, len(nodes)), np.int64)
        for number, each in enumerate(fans):
            target = self.placement.node_of(self.cores[layer].start + number)
            across, along = self.placement.hops(nodes, target)
            hops += (each > 0) * np.array([across, along, nodes // 4 == target // 4], np.int64)
        return _Way(source, layer, self.cores[layer], fan, hops)


def _owned(part: Part, neurons: int) -> Int64Array:
    return np.full(neurons, part.neurons, np.int64)


def layer_of(mapping: Mapping, core: int) -> LayerMapping:
    """The layer of a core of the mapping."""
    for layer in mapping.layers:
        if core < layer.cores:
            return layer
        core -= layer.cores
    raise IndexError(core)
