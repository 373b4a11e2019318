"""Time of an inference on a mesh whose cores wait for one another at the end of every step.

    receiving_c = messages received x ns + accumulations x ns
    updating_c  = neurons x ns + spikes x ns + messages sent x ns           in the same step, beside it
    step        = max over cores of both + synchronisation(tiles in use)

for every step of the chip: SANA-FE's analytical model of time, called "simple" there. What it leaves out,
waiting for the mesh, makes a chip slower.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.proofs.mapping import Mapping
from sast_deploy.reports.costs.activity import Activity, layer_of
from sast_deploy.reports.costs.tables import PriceTable

ENTRY = "pixels"  # where messages of pixels take longest


@dataclass(frozen=True)
class StepTime:
    """One step of one sample: what the core that takes longest does, and how long that and the step take.

    core: in the mapping's order; -1: a node through which pixels enter. layer: its name. doing: "receiving"
    or "updating". messages, events: received, where it receives; neurons, spikes, sent: where it updates.
    seconds: of the whole step, synchronisation included.
    """

    step: int
    core: int
    layer: str
    doing: str
    messages: int
    events: int
    neurons: int
    spikes: int
    sent: int
    busy_seconds: float
    seconds: float


@dataclass(frozen=True)
class Latency:
    """Seconds per inference over the samples, and one of them step by step.

    table, grade: of the prices. steps: of the chip, T + layers. synchronisation: seconds of each. tiles: in
    use. mean, median, p99, worst: over samples. sample: the number of the one whose time is the median (the
    lower of two), seconds its time, rows its steps. critical: share of all steps that wait for each layer.
    """

    table: str
    grade: str
    steps: int
    tiles: int
    synchronisation: float
    mean: float
    median: float
    p99: float
    worst: float
    sample: int
    rows: tuple[StepTime, ...]
    critical: dict[str, float]

    @property
    def seconds(self) -> float:
        """Of the sample that is shown step by step."""
        return sum(row.seconds for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows], "seconds": self.seconds}


def latency_of(activity: Activity, mapping: Mapping, table: PriceTable) -> Latency | None:
    """None where the table says no times."""
    if not table.synchronisation:
        return None
    receiving, updating = _busy(activity, table)
    entering = activity.entered * table.time("messages")
    sync = table.synchronising(activity.placement.tiles)
    every = np.concatenate([receiving, updating, entering], axis=2)  # (samples, steps, 2 cores + entries)
    longest, at = every.max(axis=2), every.argmax(axis=2)
    times = (longest + sync).sum(axis=1)
    order = np.argsort(times, kind="stable")
    sample = int(order[(len(order) - 1) // 2])
    rows = tuple(
        _row(activity, mapping, sample, step, int(at[sample, step]), float(longest[sample, step]), sync)
        for step in range(activity.steps)
    )
    return Latency(
        table.name, table.grade, activity.steps, activity.placement.tiles, sync, float(times.mean()),
        float(times[sample]), float(np.quantile(times, 0.99)), float(times.max()), sample, rows,
        _shares(mapping, at),
    )  # fmt: skip


def _busy(activity: Activity, table: PriceTable) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds (samples, steps, cores) of receiving and of updating."""
    each = np.array([table.time(f"{kind} synaptic events") for kind in activity.kinds])
    receiving = activity.received * table.time("messages received") + activity.events * each
    one = table.time("neuron accesses") + table.time("neuron updates")
    own = activity.spikes * table.time("spikes") + activity.sent * table.time("messages")
    return np.asarray(receiving, np.float64), np.asarray(activity.neurons * one + own, np.float64)


def _row(
    activity: Activity, mapping: Mapping, sample: int, step: int, at: int, busy: float, sync: float
) -> StepTime:
    cores = mapping.cores
    if at >= 2 * cores:
        sent = int(activity.entered[sample, step, at - 2 * cores])
        return StepTime(step, -1, ENTRY, "updating", 0, 0, 0, 0, sent, busy, busy + sync)
    core, place = at % cores, (sample, step, at % cores)
    name = layer_of(mapping, core).name
    if at < cores:
        received, events = int(activity.received[place]), int(activity.events[place])
        return StepTime(step, core, name, "receiving", received, events, 0, 0, 0, busy, busy + sync)
    own = int(activity.neurons[core]), int(activity.spikes[place]), int(activity.sent[place])
    return StepTime(step, core, name, "updating", 0, 0, *own, busy, busy + sync)


def _shares(mapping: Mapping, at: npt.NDArray[np.int64]) -> dict[str, float]:
    """Of all steps of all samples, by the layer that is waited for."""
    cores = mapping.cores
    names = [layer.name for layer in mapping.layers for _ in layer.parts]
    found = dict.fromkeys([ENTRY, *(layer.name for layer in mapping.layers)], 0)
    for place, times in zip(*np.unique(at, return_counts=True), strict=True):
        found[ENTRY if place >= 2 * cores else names[place % cores]] += int(times)
    return {name: times / at.size for name, times in found.items() if times}


