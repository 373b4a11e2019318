"""Cycles of a circuit as tables, and the circuits of a search as a table and a picture."""

from __future__ import annotations

from pathlib import Path

from sast_deploy.base.outputs import Origin
from sast_deploy.base.text import counted, percent, quantity
from sast_deploy.reports.costs.circuit import CircuitLatency
from sast_deploy.reports.costs.cycles import PHASES
from sast_deploy.reports.costs.lanes import LaneChoice, LaneFront
from sast_deploy.show.blocks import Facts, Out, Table
from sast_deploy.show.figures import COLOURS, figure

SHOWN = 0.9  # of the cycles of the circuit shown before it: what a table's next row has at most


def print_latency(found: CircuitLatency, out: Out) -> None:
    """Everything; the summary first."""
    out.print(Facts(summary(found)), "", layers_table(found))
    if found.front is not None:
        out.print("", front_table(found.front, found.mhz))
    out.print(*(f"note: {note}" for note in found.notes))


def summary(found: CircuitLatency) -> dict[str, str]:
    """Label -> text: the figures that one quotes."""
    of = found.data.get("test_samples")
    samples = counted(found.samples, "sample") + (f" of {of}" if of and of != found.samples else "")
    layer, phase, share = found.binds
    blocks, multipliers = (sum(getattr(use, name) for use in found.use) for name in ("blocks", "multipliers"))
    named = {"mean": found.mean, "median": found.median, "99 %": found.p99, "worst": found.worst}
    facts = {
        "network": found.name,
        "data": f"{samples}, {found.data.get('provenance') or 'frames'}",
        "lanes": ", ".join(map(str, found.lanes)),
        "latency": ", ".join(f"{name} {cycles:,.0f}" for name, cycles in named.items()) + " cycles",
    }
    if found.mhz is not None:
        times = ", ".join(f"{name} {_time(found, cycles)}" for name, cycles in named.items())
        facts["time"] = f"{times} at {found.mhz:g} MHz, the clock that you named"
    rate = "" if found.mhz is None else f", {found.mhz * 1e6 / found.streaming:,.0f} samples a second"
    return facts | {
        "streaming": f"{found.streaming:,.0f} cycles a sample, one after the other{rate}",
        "waits for": f"{layer}, {phase}: {percent(share)} of the latency",
        "estimated": f"{blocks} block memories of 18 kbit, {counted(multipliers, 'multiplier')}",
    }


def _time(found: CircuitLatency, cycles: float) -> str:
    seconds = found.seconds(cycles)
    assert seconds is not None
    return quantity(seconds, "s")


def layers_table(found: CircuitLatency) -> Table:
    """What each layer does, and what of it the result waits for."""
    rows = []
    for each in found.layers:
        cycles = [each.accumulate, each.sweep, each.encode, *(each.waits[phase] for phase in PHASES)]
        known = (each.layer, f"{each.lanes}", f"{each.rows:,}", f"{each.events:,.1f}")
        rows.append((*known, *(f"{one:,.1f}" for one in cycles)))
    total = [sum(each.waits[phase] for each in found.layers) for phase in PHASES]
    rows.append(("together", "", "", "", "", "", "", *(f"{cycles:,.1f}" for cycles in total)))
    heads = ("layer", "lanes", "rows", "events", *PHASES, *(f"waits: {phase}" for phase in PHASES))
    title = "cycles of a sample, means; waits: what the result waits for, which adds up to the latency"
    return Table(title, heads, tuple(rows), left=1)


def front_table(front: LaneFront, mhz: float | None) -> Table:
    """The circuits, each with a tenth fewer cycles than the one above it, and the fastest."""
    rows, last = [], float("inf")
    for choice in front.front:
        if choice.cycles <= SHOWN * last or choice is front.front[-1]:
            rows.append(_row(choice, mhz))
            last = choice.cycles
    budget = f"{front.budget.blocks} block memories and {front.budget.multipliers} multipliers"
    tried = f"{front.tried} circuits on {counted(front.samples, 'sample')}"
    title = f"lanes for {front.budget.name}, {budget}; {tried}"
    heads = ("lanes", "together", "cycles", *(("time",) if mhz else ()), "block memories", "multipliers")
    return Table(title, heads, tuple(rows), left=1)


def _row(choice: LaneChoice, mhz: float | None) -> tuple[str, ...]:
    time = () if mhz is None else (quantity(choice.cycles / (mhz * 1e6), "s"),)
    lanes = ",".join(map(str, choice.lanes))
    use = (f"{choice.blocks}", f"{choice.multipliers}")
    return (lanes, f"{choice.width}", f"{choice.cycles:,.0f}", *time, *use)


def draw_latency(found: CircuitLatency, path: Path, made: Origin | None = None) -> None:
    """Cycles by what they are waited for, and of a search the front beside it. Raises OutputError."""
    front = found.front
    with figure(9.0 if front else 5.0, 3.4, path, made) as drawn:
        axes = drawn.subplots(1, 2 if front else 1, squeeze=False)[0]
        left = [0.0] * len(found.layers)
        names = [each.layer for each in found.layers]
        for number, phase in enumerate(PHASES):
            cycles = [each.waits[phase] for each in found.layers]
            axes[0].barh(names, cycles, left=left, color=COLOURS[number], label=phase)
            left = [start + more for start, more in zip(left, cycles, strict=True)]
        axes[0].invert_yaxis()
        axes[0].set_xlabel("cycles that the result waits for, mean")
        axes[0].legend(frameon=False, fontsize=8)
        axes[0].set_title(f"{found.name}, lanes {', '.join(map(str, found.lanes))}")
        if front is None:
            return
        widths, cycles = [each.width for each in front.front], [each.cycles for each in front.front]
        axes[1].step(widths, cycles, where="post", color=COLOURS[0], label="front")
        axes[1].plot(sum(found.lanes), found.mean, "o", color=COLOURS[1], label="these lanes")
        axes[1].set(xscale="log", yscale="log", xlabel="lanes of all layers together", ylabel="cycles, mean")
        axes[1].set_title(f"within {front.budget.name}")
        axes[1].legend(frameon=False, fontsize=8)
