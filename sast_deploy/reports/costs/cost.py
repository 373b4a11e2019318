"""What an inference costs on a chip: its work, the cores it takes, energy and time, each with its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program
from sast_deploy.proofs.chips import Chip, chip_of
from sast_deploy.proofs.mapping import Mapping as CoreMapping, map_program
from sast_deploy.reports.costs.activity import Activity, layer_of, run_activity
from sast_deploy.reports.costs.energy import Energy, energy_of
from sast_deploy.reports.costs.latency import Latency, latency_of
from sast_deploy.reports.costs.neurobench import Counts, NeuroBench
from sast_deploy.reports.costs.tables import DEFAULT, PriceTable, price_table
from sast_deploy.reports.synops import LayerOps, count_operations

COST_VERSION = 1
UNPUBLISHED = (
    "no energy or time of a single operation of Loihi 2 is published, so none is given; Intel's models of "
    "its run time (arXiv 2601.10035, 2511.21549) take the synaptic operations, neuron updates and messages "
    "of the busiest core in every step: the table of the busiest cores has them"
)


@dataclass(frozen=True)
class LayerLoad:
    """What the cores of one layer do in an inference, all steps, means over samples.

    received: messages. events: accumulations, zero weights included. spikes, sent: of its neurons, and the
    messages that these are.
    """

    name: str
    cores: int
    neurons: int
    received: float
    events: float
    spikes: float
    sent: float


@dataclass(frozen=True)
class Busiest:
    """The core that has most of one kind of work: the busiest core decides how long a step takes.

    what: messages received, synaptic events, spikes, or neuron updates. core: in the mapping's order. layer:
    its name. per_step: mean over samples and steps. most: that core's in one step of any sample.
    """

    what: str
    core: int
    layer: str
    per_step: float
    most: int


@dataclass(frozen=True)
class CostBrief:
    """An inference's cost in a few figures.

    chip, cores: of the mapping. cores_suffice: whether one chip has so many, and room on each. samples: that
    the means are of. table, grade: of the prices; None where none is published. energy_joules: a sample's
    mean. latency_median_seconds, latency_worst_seconds: over samples.
    """

    chip: str
    cores: int
    cores_suffice: bool
    samples: int
    table: str | None
    grade: str | None
    energy_joules: float | None
    latency_median_seconds: float | None
    latency_worst_seconds: float | None


@dataclass(frozen=True, eq=False)
class Cost:
    """An inference's cost, means over `samples`.

    name: of the network. data: where the samples are from. mapping: the cores. operations: SynOps by layer.
    neurobench: NeuroBench's metrics of the integers. loads: what each layer's cores do. counts: what tables
    can price. busiest: core by core maxima. energy, latency: None where no table prices the chip, or has no
    times. notes: what is worth knowing.

    >>> sast.cost(net, frames).mapping.cores
    2
    """

    name: str
    samples: int
    data: Mapping[str, Any]
    mapping: CoreMapping
    operations: tuple[LayerOps, ...]
    neurobench: NeuroBench
    loads: tuple[LayerLoad, ...]
    counts: Mapping[str, float]
    busiest: tuple[Busiest, ...]
    energy: Energy | None
    latency: Latency | None
    notes: tuple[str, ...] = ()

    @property
    def chip(self) -> Chip:
        """The chip that it is mapped to."""
        return self.mapping.chip

    @property
    def synops(self) -> float:
        """Synaptic operations per sample, all layers and steps."""
        return sum(layer.synops for layer in self.operations)

    def brief(self) -> CostBrief:
        """The figures that stand in the report of a run."""
        energy, latency = self.energy, self.latency
        return CostBrief(
            chip=self.chip.name, cores=self.mapping.cores, cores_suffice=self.mapping.fits_chip,
            samples=self.samples, table=None if energy is None else energy.table,
            grade=None if energy is None else energy.grade,
            energy_joules=None if energy is None else energy.joules,
            latency_median_seconds=None if latency is None else latency.median,
            latency_worst_seconds=None if latency is None else latency.worst,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cost_version": COST_VERSION, "name": self.name, "samples": self.samples, "data": dict(self.data),
            "chip": self.chip.name, "mapping": self.mapping.to_dict(), "synops": self.synops,
            "operations": [asdict(layer) for layer in self.operations],
            "neurobench": self.neurobench.to_dict(), "loads": [asdict(load) for load in self.loads],
            "counts": dict(self.counts), "busiest": [asdict(each) for each in self.busiest],
            "energy": None if self.energy is None else self.energy.to_dict(),
            "latency": None if self.latency is None else self.latency.to_dict(), "notes": list(self.notes),
        }  # fmt: skip


def chosen_table(name: str | None, chip: str | Chip) -> PriceTable | None:
    """The table of that name or path; None: the chip's own, if it has one.

    Raises UsageError: no such table, or one of another chip.
    """
    target = chip_of(chip)
    table = price_table(DEFAULT if name is None else name)
    if target.name in table.chips:
        return table
    if name is None:
        return None
    expected = f"a chip that it prices: {', '.join(table.chips)}"
    todo = "nothing is published per operation of Loihi 2" if target.programmable else "choose another table"
    raise UsageError(f"table {table.name} with {target.name}", expected=expected, todo=todo)


def cost_of(
    program: Program, frames: Frames, name: str, data: Mapping[str, Any], chip: str | Chip = "loihi1",
    table: PriceTable | None = None,
) -> Cost:  # fmt: skip
    """Run frames (samples, time, C, H, W) in the fast engine and count what they cost."""
    mapping = map_program(program, chip)
    metrics = Counts(program, *frames.shape[:2])
    activity, record = run_activity(program, mapping, frames, metrics.add)
    operations = count_operations(program, frames, record.counts)
    measured = metrics.metrics(None)
    counts = {**activity.counts, **_other_counts(operations, measured, activity)}
    return Cost(
        name, len(frames), data, mapping, operations, measured, _loads(activity, mapping), counts,
        _busiest(activity, mapping),
        None if table is None else energy_of(counts, table),
        None if table is None else latency_of(activity, mapping, table),
        _notes(program, mapping, activity),
    )  # fmt: skip


def _other_counts(
    operations: tuple[LayerOps, ...], measured: NeuroBench, activity: Activity
) -> dict[str, float]:
    by_kind = {
        f"effective {kind}s": sum(layer.effective for layer in operations if layer.operation == kind)
        for kind in ("MAC", "AC")
    }
    changed = measured.membrane_updates
    return {
        **by_kind, "changed membranes": changed,
        "unchanged membranes": activity.counts["neuron updates"] - changed,
    }  # fmt: skip


def _loads(activity: Activity, mapping: CoreMapping) -> tuple[LayerLoad, ...]:
    found, first = [], 0
    for layer in mapping.layers:
        cores = slice(first, first + layer.cores)
        parts = (activity.received, activity.events, activity.spikes, activity.sent)
        means = (float(part[:, :, cores].sum() / activity.samples) for part in parts)
        found.append(LayerLoad(layer.name, layer.cores, int(activity.neurons[cores].sum()), *means))
        first += layer.cores
    return tuple(found)


def _busiest(activity: Activity, mapping: CoreMapping) -> tuple[Busiest, ...]:
    found = []
    parts = {
        "synaptic events": activity.events, "messages received": activity.received, "spikes": activity.spikes
    }  # fmt: skip
    for what, part in parts.items():
        means = part.mean(axis=(0, 1))
        core = int(means.argmax())
        most = int(part[:, :, core].max())
        found.append(Busiest(what, core, layer_of(mapping, core).name, float(means[core]), most))
    core = int(activity.neurons.argmax())
    neurons = int(activity.neurons[core])
    return (*found, Busiest("neuron updates", core, layer_of(mapping, core).name, float(neurons), neurons))


def _notes(
    program: Program, mapping: CoreMapping, activity: Activity
) -> tuple[str, ...]:
    found = []
    pixels, values = int(activity.pixels.sum()), int(activity.values.sum())
    if values > pixels:
        found.append(
            f"an input of up to {program.input_max} counts and costs as one graded spike; one spike for each "
            f"event would be {values / pixels:.2f} times as many from the pixels"
        )
    if mapping.overfull:
        found.append(
            f"packed in words with headers and indices, as nengo-loihi does, the synapses of "
            f"{mapping.overfull} cores would not fit: a chip would take more cores than these"
        )
    beyond = [f"{layer.name}: {', '.join(layer.beyond)}" for layer in mapping.layers if layer.beyond]
    if beyond:
        found.append(f"no core holds a neuron of {'; '.join(beyond)}: energy and time are as if one did")
    if mapping.cores > mapping.chip.cores:
        found.append("cores beyond one chip: hops between chips are priced as on one mesh")
    if mapping.chip.programmable:
        found.append(UNPUBLISHED)
    return tuple(found)
