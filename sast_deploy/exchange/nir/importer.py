"""A NIR graph as a FloatNetwork: what it says, read as its framework means it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import nir
import numpy as np

from sast_deploy.base.errors import ExchangeError
from sast_deploy.base.files import file_digest
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.data import FrameSet
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.exchange.nir.chain import Link, chain_of
from sast_deploy.exchange.nir.files import checked, read_graph
from sast_deploy.exchange.nir.layers import Builder, needed
from sast_deploy.exchange.nir.reading import FRAMEWORKS, Reading, settled
from sast_deploy.exchange.nir.weights import Between
from sast_deploy.program.program import Shape


def from_nir(
    source: str | PathLike[str] | nir.NIRGraph,
    framework: str | None = None,
    *,
    name: str | None = None,
    steps: int | None = None,
    input_clip: int | None = None,
    input_max: int | None = None,
    classes: Iterable[str] | None = None,
    data: FrameSet | None = None,
    **facts: Any,
) -> ImportedNetwork:
    """The network of a NIR file or graph.

    framework: whose exporter wrote it: "snntorch", "norse", "spikingjelly", "sinabs" or "rockpool"; None: one
    that is not said. name: for people; default the file's. steps: how many a sample has. input_clip,
    input_max, classes: as in FloatNetwork; input_clip is 1 by default: frames are taken as they are. data:
    the recordings that belong to it; steps, input_clip and classes are theirs where they are not given.
    facts: those of a NIR graph's Reading (dt, leak, reset, comparison, spikes, decoding, ...; docs/nir.md),
    which go before the framework's.

    Raises ExchangeError: no NIR file; what the graph leaves open and nobody says, each with what would
    differ; what cannot be expressed, by the name of its node. UsageError: no such framework or fact.

    >>> import nir
    >>> neurons = nir.IF(r=np.ones(2), v_threshold=np.ones(2))
    >>> graph = nir.NIRGraph.from_list(nir.Linear(np.eye(2)), neurons)
    >>> facts = {"reset": "zero", "comparison": ">=", "integrator_gain": "plain"}
    >>> sast.from_nir(graph, steps=4, **facts).network.layers[0].leak.tolist()
    [1.0, 1.0]
    """
    path = None if isinstance(source, nir.NIRNode) else Path(source)
    where = "graph" if path is None else str(path)
    graph, notes = (source, ()) if path is None else read_graph(path)
    start, links = chain_of(checked(graph, where), where)
    reading = settled(framework, facts, needed(links), where)
    if data is not None:
        steps, classes = steps or data.options.steps, classes or data.info.classes
        input_clip = input_clip or data.options.clip
    if steps is None:
        raise ExchangeError("NIR does not say how many steps a sample has", where=where, expected="steps")
    shape = _input_shape(start, links, where)
    builder = Builder(reading, where, Between(shape))
    builder.build(links)
    order = reading.reset_order if reading.reset == "subtract" else None
    try:
        network = FloatNetwork(
            builder.layers, shape, steps, None, input_clip or 1, input_max, classes,
            reading.reset or "subtract", order or "after-leak", reading.comparison or ">=",
        )  # fmt: skip
    except ValueError as error:
        raise ExchangeError(str(error), where=where) from None
    file = {} if path is None else {"path": str(path), "digest": file_digest(path)}
    told = {"format": "nir", **file, "framework": framework, "reading": reading.to_dict()}
    called = name or ("network" if path is None else path.stem)
    said = (*notes, _read_as(framework, reading, needed(links)), *builder.notes)
    made = ImportedNetwork(called, network, told, said)
    return made if data is None else made.on(data)


def _read_as(framework: str | None, reading: Reading, wanted: frozenset[str]) -> str:
    """The facts that decided, one line."""
    decided = wanted - {"reset_order"} if reading.reset == "zero" else wanted
    facts = {name: value for name, value in reading.to_dict().items() if name in decided}
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    as_whose = f"as {FRAMEWORKS[framework].title} writes it: " if framework else "with "
    return f"read {as_whose}{said}"


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
