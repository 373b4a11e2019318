"""A network that was imported, as `inspect` shows it: what it computes, and where it came from."""

from __future__ import annotations

from pathlib import Path

from sast_deploy.base.files import file_digest
from sast_deploy.base.text import percent
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.exchange.summary import FloatLayerFacts, Range, float_layers
from sast_deploy.show.blocks import Facts, Out, Table


def imported_summary(found: ImportedNetwork, path: Path) -> dict[str, str]:
    """Label -> text."""
    network = found.network
    shape = "x".join(map(str, network.input_shape))
    order = f", {network.reset_order}" if network.reset == "subtract" else ""
    source = [str(found.source[key]) for key in ("format", "path", "digest") if found.source.get(key)]
    test = found.metrics.get("test")
    return {
        "file": str(path),
        "file digest": file_digest(path),
        "network": f"{found.name}, {shape} counts {network.input_min}..{network.input_max}, "
        f"{network.input_clip} being 1.0, {network.steps} steps, {len(network.classes)} classes",
        "neurons": f"fire at {network.comparison} the threshold, reset {network.reset}{order}",
        "logits": _logits_of(found),
        "source": " ".join(source) or "not recorded",
        "data": "none" if found.data is None else found.data.provenance,
        "float accuracy": f"{percent(test['hard'])} with hard spikes on {test['samples']} test samples"
        if test
        else "not recorded",
        "integers": f"none yet: `sast-deploy compile {path}` makes them, and `inspect` proves them",
        "versions": ", ".join(map(" ".join, found.created.items())) or "not recorded",
    }


def _logits_of(found: ImportedNetwork) -> str:
    decoding = getattr(found.network.layers[-1], "decoding", None)
    return "spikes of the last layer, counted" if decoding is None else f"a readout, decoding {decoding}"


def print_imported(found: ImportedNetwork, path: Path, out: Out) -> None:
    """Facts, notes of the import and a table of the layers."""
    notes = (f"note: {note}" for note in found.notes)
    out.print(Facts(imported_summary(found, path)), *notes, "", _table(float_layers(found.network)))


def _table(layers: tuple[FloatLayerFacts, ...]) -> Table:
    rows = []
    for index, layer in enumerate(layers):
        numbers = (layer.leak, layer.current_leak, layer.threshold)
        delay = "" if layer.delay is None else str(layer.delay)
        rows.append((
            f"{index} {layer.kind}", "x".join(map(str, layer.shape)), f"{layer.weights:,}",
            *map(_range, numbers), delay, "yes" if layer.recurrent else "",
        ))  # fmt: skip
    columns = ("layer", "output", "weights", "leak", "current leak", "threshold", "delay up to", "recurrent")
    return Table("layers, smallest to largest value", columns, tuple(rows), left=1)


def _range(values: Range | None) -> str:
    return "" if values is None else "..".join(dict.fromkeys(f"{each:g}" for each in values))
