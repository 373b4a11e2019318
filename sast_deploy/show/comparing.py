"""Two networks side by side, as tables."""

from __future__ import annotations

from sast_deploy.base.text import counted, percent
from sast_deploy.reports.comparing import NetComparison, Parting
from sast_deploy.show.blocks import Facts, Out, Table


def print_comparison(found: NetComparison, out: Out) -> None:
    """Accuracies and the test, spikes of the layers, and where one sample's spikes part."""
    a, b = found.names
    facts = {"a": a, "b": b, "samples": str(found.samples), **_accuracies(found)}
    same = found.samples - found.other_predictions
    facts["predictions"] = f"{same} of {found.samples} the same"
    facts["SynOps per sample"] = f"a {found.synops[0]:,.0f}, b {found.synops[1]:,.0f}{_ratio(found.synops)}"
    out.print(Facts(facts), "")
    if found.layers:
        out.print(_layers(found), "")
    else:
        out.print("layers: not as many that spike in both, so not compared", "")
    out.print(*_parting(found))


def _accuracies(found: NetComparison) -> dict[str, str]:
    if found.accuracy is None or found.mcnemar is None:
        return {"accuracy": "no labels"}
    test = found.mcnemar
    return {
        "accuracy of a": str(found.accuracy[0]),
        "accuracy of b": str(found.accuracy[1]),
        "a - b": f"{100 * test.difference:+.2f} points; right alone: a {test.only_a}, b {test.only_b}; "
        f"McNemar p = {test.p:.2g}",
    }


def _layers(found: NetComparison) -> Table:
    rows = []
    for layer in found.layers:
        a, b = layer.spikes
        unequal = "other neurons" if layer.unequal is None else percent(layer.unequal)
        rows.append((layer.name, f"{a:,.1f}", f"{b:,.1f}", f"{b - a:+,.1f}", unequal))
    columns = ("layer", "spikes of a", "of b", "b - a", "counts that differ")
    title = f"spikes per sample, mean of {counted(found.samples, 'sample')}"
    note = "counts that differ: share of all neurons and samples"
    return Table(title, columns, tuple(rows), (note,), left=1)


def _parting(found: NetComparison) -> list[str]:
    if found.looked_at is None:
        return ["spikes one by one: not compared, the two have other layers or other frames"]
    if found.parting is None:
        return [f"sample {found.looked_at}: every spike of every layer is the same"]
    return _differing(found.parting)


def _differing(at: Parting) -> list[str]:
    values = (
        f"  {name}: membrane {u}, threshold {vth}, {'spike' if at.fired == name else 'no spike'}"
        for name, u, vth in zip("ab", at.membranes, at.thresholds, strict=True)
    )
    place = f"step {at.step}, {at.name}, neuron {at.neuron}"
    return [f"sample {at.sample}, first spike that only one fires: {place}", *values]


def _ratio(synops: tuple[float, float]) -> str:
    return f" ({synops[1] / synops[0]:.2f} times)" if synops[0] else ""
