"""Cores, energy and time as tables: every figure with the terms that it is made of."""

from __future__ import annotations

from sast_deploy.base.text import counted, percent, percent_given, quantity
from sast_deploy.proofs.chips import INPUT_AXONS, NEURONS, OUTPUT_AXONS, SYNAPSE_BITS, SYNAPSES
from sast_deploy.proofs.mapping import LayerMapping, Mapping
from sast_deploy.reports.costs.cost import Cost
from sast_deploy.reports.costs.energy import Energy
from sast_deploy.reports.costs.latency import Latency, StepTime
from sast_deploy.show.blocks import Facts, Line, Out, Table

SHORT = {  # of capacities, in heads of columns
    NEURONS: "neurons", SYNAPSES: "synapses", SYNAPSE_BITS: "synapse bits", INPUT_AXONS: "axons in",
    OUTPUT_AXONS: "axons out",
}  # fmt: skip


def print_cost(cost: Cost, out: Out) -> None:
    """Everything; the summary first."""
    out.print(Facts(summary(cost)), "", work_table(cost), "", mapping_table(cost.mapping), "")
    if cost.energy is not None:
        out.print(energy_table(cost.energy), "")
    if cost.latency is not None:
        out.print(latency_table(cost.latency), "")
    out.print(busiest_table(cost), *(f"note: {note}" for note in cost.notes))


def summary(cost: Cost) -> dict[str, str]:
    """Label -> text: the figures that one quotes, each with its grade."""
    measured, data = cost.neurobench, cost.data
    energy, latency = cost.energy, cost.latency
    of = data.get("test_samples")
    samples = counted(cost.samples, "sample") + (f" of {of}" if of and of != cost.samples else "")
    facts = {
        "network": cost.name,
        "data": f"{samples}, {data.get('provenance') or 'frames'}",
        "cores": cores_line(cost.mapping),
        "SynOps": f"{cost.synops:,.0f}, without zero weights "
        f"{sum(layer.effective for layer in cost.operations):,.0f}, dense "
        f"{sum(layer.dense for layer in cost.operations):,}",
        "NeuroBench": f"{measured.effective_macs:,.1f} MACs, {measured.effective_acs:,.1f} ACs, "
        f"activation sparsity {measured.activation_sparsity:.4f}, connection sparsity "
        f"{measured.connection_sparsity:.4f}, {measured.membrane_updates:,.1f} membrane updates",
        "footprint": f"{measured.footprint:,} bytes by NeuroBench's definition, "
        f"{-(-measured.packed_bits // 8):,} packed",
    }
    if energy is not None:
        facts["energy"] = f"{quantity(energy.joules, 'J')} an inference ({energy.table}: {energy.grade})"
    if latency is not None:
        facts["latency"] = latency_line(latency)
    return facts


def latency_line(latency: Latency) -> str:
    """The median and the tail."""
    seconds = {"median": latency.median, "99 %": latency.p99, "worst": latency.worst}
    times = ", ".join(f"{name} {quantity(value, 's')}" for name, value in seconds.items())
    waits = max(latency.critical, key=lambda name: latency.critical[name])
    share = percent(latency.critical[waits])
    return f"{times} ({latency.table}: {latency.grade}); {share} of the steps wait for {waits}"


def cores_line(mapping: Mapping) -> str:
    """How many cores, and whether one core or one chip is enough."""
    chip = mapping.chip
    if mapping.fits_core and mapping.cores > 1:
        more = f"; all layers together have room on one {chip.title} core"
    elif mapping.cores > 1:
        over = [name for name, limit in chip.capacities.items() if mapping.together[name] > limit]
        more = f"; one core has no room for all: {', '.join(over)}"
    else:
        more = ""
    broken = dict.fromkeys(name for layer in mapping.layers for name in layer.beyond)
    why = f" ({', '.join(broken)})" if broken else ""
    fits = "" if mapping.fits_chip else f", which do not fit one chip{why}"
    return f"{mapping.cores} of {chip.title}'s {chip.cores}{fits}{more}"


def mapping_table(mapping: Mapping) -> Table:
    """How layers are split, and what the fullest core of each holds of every capacity."""
    chip, rows, first = mapping.chip, [], 0
    for layer in mapping.layers:
        cells = (_need(layer, name, limit) for name, limit in chip.capacities.items())
        last = first + layer.cores - 1
        cores = f"{first}" if last == first else f"{first}..{last}"
        shape = "x".join(map(str, layer.shape))
        rows.append((layer.name, shape, split_of(layer), cores, *cells, layer.binds))
        first = last + 1
    limits = ", ".join(f"{limit:,} {name}" for name, limit in chip.capacities.items())
    columns = ("layer", "neurons", "split", "cores", *(SHORT[name] for name in chip.capacities), "binds")
    notes = [f"what the fullest core of a layer needs; a core holds {limits}", *_least(mapping)]
    notes += [f"{chip.title}: {each}" for each in chip.sources]
    notes += [f"not published: {each}" for each in chip.unknown]
    return Table(f"layers on {chip.title} cores", columns, tuple(rows), tuple(notes), left=1)


def _least(mapping: Mapping) -> list[str]:
    bits = sorted({layer.bits for layer in mapping.layers})
    widths = f"{'s or '.join(map(str, bits))}-bit" if len(bits) == 1 else f"{bits[0]}- to {bits[-1]}-bit"
    return [f"synapses that are not zero, {widths}, without indices and headers: the least that it takes"]


def _need(layer: LayerMapping, name: str, limit: int) -> str:
    need = layer.worst(name)
    return f"{need:,} ({percent_given(round(need / limit, 2))})"


def split_of(layer: LayerMapping) -> str:
    """Of a dense layer the number of ranges, of a convolution channels x rows x columns."""
    if layer.cores == 1:
        return "whole"
    return f"in {layer.split[0]}" if len(layer.shape) == 1 else "x".join(map(str, layer.split))


def work_table(cost: Cost) -> Table:
    """What each layer does in an inference."""
    rows = []
    for load, layer in zip(cost.loads, cost.operations, strict=True):
        numbers = (load.received, layer.synops, layer.effective, load.spikes, load.sent)
        rows.append((load.name, f"{load.neurons:,}", *(f"{number:,.1f}" for number in numbers)))
    sums = [
        sum(load.received for load in cost.loads), cost.synops,
        sum(layer.effective for layer in cost.operations),
        sum(load.spikes for load in cost.loads), sum(load.sent for load in cost.loads),
    ]  # fmt: skip
    neurons = sum(load.neurons for load in cost.loads)
    rows.append(("total", f"{neurons:,}", *(f"{number:,.1f}" for number in sums)))
    columns = ("layer", "neurons", "messages in", "SynOps", "of nonzero weights", "spikes", "messages out")
    return Table("work of an inference, means over samples", columns, tuple(rows), left=1)


def energy_table(energy: Energy) -> Table:
    """Count x price = joules, line by line."""
    rows = [
        (term.name, f"{term.count:,.2f}", f"{term.pj:g}", quantity(term.joules, "J"),
         percent(term.joules / energy.joules) if energy.joules else "")
        for term in energy.terms
    ]  # fmt: skip
    rows.append(("total", "", "", quantity(energy.joules, "J"), ""))
    notes = [f"source: {energy.source}"]
    notes += [
        f"{term.name}: {term.source}"
        for term in energy.terms
        if term.source != energy.source
    ]
    notes += [f"not priced: {each}" for each in energy.unpriced]
    columns = ("event", "count", "pJ each", "energy", "share")
    title = f"energy of an inference, {energy.table} ({energy.grade})"
    return Table(title, columns, tuple(rows), tuple(notes), left=1)


def latency_table(latency: Latency) -> Table:
    """The sample with the median time, step by step."""
    rows = [
        (str(row.step), waits_for(row), doing(row),
         *(quantity(seconds, "s") for seconds in (row.busy_seconds, row.seconds)))
        for row in latency.rows
    ]  # fmt: skip
    rows.append(("total", "", "", "", quantity(latency.seconds, "s")))
    sync = quantity(latency.synchronisation, "s")
    notes = (f"a step ends when the last core has finished and all have synchronised, {sync} on "
             f"{counted(latency.tiles, 'tile')}; congestion of the mesh is left out",
             "on as few cores as hold each layer: spread over more, the busiest has less to do")  # fmt: skip
    columns = ("step", "waits for", "which", "busy", "step takes")
    title = f"sample {latency.sample}, of the median time, {latency.table} ({latency.grade})"
    return Table(title, columns, tuple(rows), notes, left=3, keys=1)


def waits_for(row: StepTime) -> str:
    """The core that a step waits for."""
    return row.layer if row.core < 0 else f"core {row.core}, {row.layer}"


def doing(row: StepTime) -> str:
    """What that core does."""
    if row.doing == "receiving":
        return f"receives {row.messages:,}, {row.events:,} synaptic events"
    if row.core < 0:
        return f"sends {row.sent:,}"
    return f"updates {row.neurons:,}, {row.spikes:,} spikes, sends {row.sent:,}"


def busiest_table(cost: Cost) -> Table:
    """The core that has most of each kind of work."""
    rows = [
        (each.what, f"core {each.core}, {each.layer}", f"{each.per_step:,.1f}", f"{each.most:,}")
        for each in cost.busiest
    ]
    columns = ("work", "busiest core", "a step, mean", "most in a step")
    return Table("the busiest cores decide how long a step takes", columns, tuple(rows), left=2)


def cost_lines(cost: Cost) -> list[Facts | Line]:
    """Cores, energy and time, for reports of a run."""
    every = summary(cost)
    samples = counted(cost.samples, "sample")
    found: dict[str, str] = {name: every[name] for name in ("cores", "energy", "latency") if name in every}
    if cost.energy is not None:
        found["energy"] += f", mean of {samples}"
    notes = [Line(f"note: {note}") for note in cost.notes if cost.energy is None]
    return [Facts(found), *notes]
