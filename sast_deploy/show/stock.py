"""A run of somebody else's network, as lines and a table."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from sast_deploy.engines.stockrun import Results
from sast_deploy.netx.foreign.lava_range import StockProgram
from sast_deploy.show.blocks import Out, Table


def print_stock_run(stock: StockProgram, results: Results, notes: tuple[str, ...], out: Out) -> None:
    """What stock Lava makes of the file and the input, every layer's spikes, and the first answer."""
    for note in (*notes, *stock.net.notes):
        out.print(f"note: {note}")
    out.print(_layers(stock, results))
    first = results.logits[0].tolist()
    out.print(f"logits of sample 0 ({meaning(results)}): {_shortened(first)}")
    out.print(f"program {stock.program.digest()}")


def meaning(results: Results) -> str:
    """What the logits are."""
    integrates = results.integrates
    return "membrane potentials after the last step" if integrates else "spike counts of the last layer"


def layer_facts(stock: StockProgram, results: Results) -> list[dict[str, Any]]:
    """Of every spiking layer its name, shape, weights, spikes in all, and mean spikes per neuron and step."""
    rows = []
    layers = zip(stock.program.spiking(), results.shapes, results.counts, strict=True)
    for (index, layer), shape, counts in layers:
        spikes = int(counts.sum(dtype=np.int64))
        kind = "input" if index == 0 and stock.net.neurons is not None else layer.kind
        rate = spikes / (results.samples * results.steps * prod(shape))
        facts = {"shape": shape, "weights": layer.weight.size, "spikes": spikes, "rate": rate}
        rows.append({"name": f"{index} ({kind})", **facts})
    return rows


def _layers(stock: StockProgram, results: Results) -> Table:
    rows = tuple(
        (row["name"], "x".join(map(str, row["shape"])), str(row["weights"]), f"{row['spikes']:,}",
         f"{row['rate']:.4f}")
        for row in layer_facts(stock, results)
    )  # fmt: skip
    title = f"{results.samples} samples x {results.steps} steps"
    return Table(title, ("layer", "shape", "weights", "spikes", "per neuron and step"), rows, left=1)


def _shortened(values: list[int]) -> str:
    return " ".join(map(str, values[:20])) + (f" ... ({len(values)})" if len(values) > 20 else "")
