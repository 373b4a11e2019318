"""An inspection as aligned tables, and the proofs of a compilation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from sast_deploy.base.text import percent
from sast_deploy.proofs.bounds import LayerProof
from sast_deploy.proofs.limits import PROGRAM, LimitCheck, broken_limits
from sast_deploy.reports.inspection import PROVED, Footprint, Inspection
from sast_deploy.show.blocks import Facts, Out, Table
from sast_deploy.show.costs import mapping_table


def print_inspection(inspection: Inspection, out: Out) -> None:
    """Print everything as aligned tables; the last line is the verdict on the limits."""
    out.print(Facts(inspection.summary), *(f"note: {note}" for note in inspection.notes))
    stock = inspection.stock_netx
    lines = (*stock.refused, *stock.differences) if stock else ()
    out.print(*(f"stock NetX: {line}" for line in lines), "")
    out.print(proof_table(inspection.layers, title=inspection.proved), *_saturation(inspection), "")
    chip = inspection.mapping.chip.title
    out.print(_memory(inspection.footprints), "", mapping_table(inspection.mapping), "")
    out.print(*_limits(inspection.limits, chip), inspection.verdict)


def proof_table(
    layers: Sequence[LayerProof],
    losses: Sequence[tuple[float, float]] = (),
    title: str = PROVED,
) -> Table:
    """What is proved of each layer; losses: share of clipped weights and rms error, where they are known."""
    names = ("exp", "weighted sum", "bits", "may saturate", "zero", "threshold")
    more = ("clipped", "rms error") if losses else ("membrane", "silent")
    rows = []
    for number, layer in enumerate(layers):
        neurons = ["..".join(map(str, layer.membrane)), str(layer.silent) if layer.vth else ""]
        rows.append((
            layer.name,
            "x".join(map(str, layer.shape)),
            str(layer.exponent),
            f"{layer.low}..{layer.high}",
            str(layer.accumulator_bits),
            _saturates(layer),
            percent(layer.zero_weights),
            "..".join(map(str, (layer.vth[0], layer.vth[-1]))) if layer.vth else "",
            *(map(percent, losses[number]) if losses else neurons),
        ))  # fmt: skip
    return Table(title, ("layer", "weights", *names, *more), tuple(rows))


def _saturates(layer: LayerProof) -> str:
    """How many neurons are not proved never to saturate."""
    if not layer.vth:
        return ""
    if not layer.saturating:
        return "never" if layer.settled else "not in T steps"
    return f"{layer.saturating}/{layer.neurons}"


def _saturation(inspection: Inspection) -> list[str]:
    """Lines on currents that wrap and on calibration data, where there is something to say."""
    lines = [
        f"{layer.name}: the filtered current of {layer.wrapping} neurons can wrap"
        for layer in inspection.layers
        if layer.wrapping
    ]
    if inspection.calibration is not None:
        spiking = [layer for layer in inspection.layers if layer.vth]
        for layer, (ends, states) in zip(spiking, inspection.calibration.layers, strict=True):
            found = (
                "wrap, not counted" if ends is None else f"{ends:,} of {states:,} at an end of their range"
            )
            share = "" if ends is None else f" ({percent(ends / max(states, 1))})"
            lines.append(f"{inspection.calibration.samples} samples, {layer.name}: membranes {found}{share}")
    return lines


def _memory(found: tuple[Footprint, ...]) -> Table:
    sums = (sum(column) for column in zip(*(astuple(row)[1:] for row in found), strict=True))
    rows = []
    for row in (*found, Footprint("total", *sums)):
        numbers = (row.weights, row.packed_bits, -(-row.packed_bits // 8), row.neurobench_bytes)
        rows.append((row.name, *(f"{number:,}" for number in numbers)))
    columns = ("layer", "weights", "packed bits", "packed bytes", "NeuroBench bytes")
    return Table("parameters", columns, tuple(rows), left=1)


def _limits(checks: tuple[LimitCheck, ...], chip: str) -> list[Table | str]:
    """One row per limit, one column per layer; a number of cores where a layer needs several; what breaks."""
    whole = [check for check in checks if check.layer == PROGRAM]
    layers = list(dict.fromkeys(check.layer for check in checks if check not in whole))
    rows = []
    for limit in dict.fromkeys(check.limit for check in checks if check not in whole):
        row = {check.layer: check for check in checks if check.limit == limit}
        allowed = next(iter(row.values())).allowed
        rows.append((limit, allowed, *(_cell(row.get(name)) for name in layers)))
    title = f"limits of a {chip} core; thresholds and biases in units of a threshold's mantissa"
    table = Table(title, ("limit", "allowed", *layers), tuple(rows))
    lines = [f"{c.limit}: {c.needs}, of {c.allowed}: {'meets' if c.meets else 'BREAKS'}" for c in whole]
    return [table, *lines, *(f"BREAKS {check.limit}: {check.why}" for check in broken_limits(checks))]


def _cell(check: LimitCheck | None) -> str:
    if check is None:
        return ""
    cores = f", {check.cores} cores" if check.cores > 1 else ""
    return f"{check.needs}{cores} {'meets' if check.meets else 'BREAKS'}"
