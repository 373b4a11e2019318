"""A NIR graph as a FloatNetwork: what it says, read as its framework means it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import nir
import numpy as np

from sast_deploy.base.errors import ExchangeError, UsageError
from sast_deploy.base.rules import Whole
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.exchange.imported import Imported
from sast_deploy.exchange.nir.chain import Link, chain_of
from sast_deploy.exchange.nir.files import checked, read_graph
from sast_deploy.exchange.nir.layers import Builder, needed
from sast_deploy.exchange.nir.reading import FRAMEWORKS, Reading, settled
from sast_deploy.exchange.nir.weights import Between
from sast_deploy.program.program import STEPS_MAX, Shape


def from_nir(
    source: str | PathLike[str] | nir.NIRGraph,
    framework: str | None = None,
    *,
    steps: int | None = None,
    input_clip: int = 1,
    input_max: int | None = None,
    classes: Iterable[str] | None = None,
    **facts: Any,
) -> Imported:
    """The network of a NIR file or graph.

    framework: whose exporter wrote it, one of "snntorch", "norse", "spikingjelly", "sinabs", "rockpool", or
    None. steps: how many a sample has; input_clip, input_max, classes: as in FloatNetwork. facts: those of
    Reading (dt, leak, reset, comparison, ...); they go before the framework's.

    Raises ExchangeError: no NIR file; what the file leaves open and nobody says, each with what would differ;
    what cannot be expressed, by the name of its node. UsageError: a framework or fact that there is not.
    """
    where = "graph" if isinstance(source, nir.NIRNode) else str(source)
    graph, notes = (source, ()) if isinstance(source, nir.NIRNode) else read_graph(Path(source))
    start, links = chain_of(checked(graph, where), where)
    reading = settled(framework, facts, needed(links), where)
    if steps is None:
        raise ExchangeError("NIR does not say how many steps a sample has", where=where, expected="steps")
    if not Whole(1, STEPS_MAX).fits(steps):
        raise UsageError(f"steps = {steps!r}", expected=str(Whole(1, STEPS_MAX)))
    shape = _input_shape(start, links, where)
    builder = Builder(reading, where, Between(shape))
    builder.build(links)
    order = reading.reset_order if reading.reset == "subtract" else None
    try:
        network = FloatNetwork(
            builder.layers, shape, steps, None, input_clip, input_max, classes, reading.reset or "subtract",
            order or "after-leak", reading.comparison or ">=",
        )  # fmt: skip
    except ValueError as error:
        raise ExchangeError(str(error), where=where) from None
    return Imported(network, (*notes, _read_as(framework, reading, needed(links)), *builder.notes))


def _read_as(framework: str | None, reading: Reading, wanted: frozenset[str]) -> str:
    """The facts that decided, one line."""
    order = {"reset_order"} if reading.reset == "zero" else set()
    facts = {name: value for name, value in reading.to_dict().items() if name in wanted - order}
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"read as {FRAMEWORKS[framework].title} writes it: {said}" if framework else f"read with {said}"


def _input_shape(start: nir.Input, links: tuple[Link, ...], where: str) -> Shape:
    """(C, H, W) or (n,); without axes for samples and time, which some exporters leave in."""
    found = np.asarray((start.input_type or {}).get("input"))
    if found.dtype.kind not in "iu" or found.ndim != 1 or not found.size or found.min() < 1:
        raise ExchangeError(f"its input has the shape {found.tolist()}", where=where, expected="whole numbers")
    shape = tuple(map(int, found))
    first = next((link.node for link in links if isinstance(link.node, nir.Linear | nir.Affine)), None)
    conv = any(isinstance(link.node, nir.Conv2d | nir.SumPool2d | nir.AvgPool2d) for link in links)
    if conv and len(shape) > 3:
        return shape[-3:]
    if not conv and len(shape) > 1 and first is not None:
        inputs = np.shape(first.weight)[-1]
        if math.prod(shape) != inputs == shape[-1]:
            return shape[-1:]
    if len(shape) not in (1, 3):
        return (math.prod(shape),) if not conv else shape
    return shape
