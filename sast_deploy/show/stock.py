"""A run of somebody else's network, as lines and a table."""

from __future__ import annotations

from math import prod

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
    out.print(f"logits of sample 0 ({_meaning(results)}): {_shortened(first)}")
    out.print(f"program {stock.program.digest()}")


def _meaning(results: Results) -> str:
    integrates = results.integrates
    return "membrane potentials after the last step" if integrates else "spike counts of the last layer"


def _layers(stock: StockProgram, results: Results) -> Table:
    rows = []
    layers = zip(stock.program.spiking(), results.shapes, results.counts, strict=True)
    for (index, layer), shape, counts in layers:
        spikes = int(counts.sum(dtype=np.int64))
        kind = "input" if index == 0 and stock.net.neurons is not None else layer.kind
        rows.append((
            f"{index} ({kind})",
            "x".join(map(str, shape)),
            str(layer.weight.size),
            f"{spikes:,}",
            f"{spikes / (results.samples * results.steps * prod(shape)):.4f}",
        ))  # fmt: skip
    title = f"{results.samples} samples x {results.steps} steps"
    return Table(title, ("layer", "shape", "weights", "spikes", "per neuron and step"), tuple(rows), left=1)


def _shortened(values: list[int]) -> str:
    return " ".join(map(str, values[:20])) + (f" ... ({len(values)})" if len(values) > 20 else "")
