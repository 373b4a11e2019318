"""A NIR graph as a FloatNetwork: what it says, read as its framework means it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import nir
import numpy as np

from sast_deploy.base.errors import ExchangeError, UsageError
from sast_deploy.base.files import file_digest
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.data import FrameSet
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.exchange.nir.chain import Link, chain_of
from sast_deploy.exchange.nir.files import checked, read_graph
from sast_deploy.exchange.nir.layers import Builder, needed
from sast_deploy.exchange.nir.own import EXPECTED, own_metadata, restored
from sast_deploy.exchange.nir.reading import FRAMEWORKS, Reading, settled
from sast_deploy.exchange.nir.weights import Between
from sast_deploy.program.program import Program, Shape


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
    graph = checked(source if path is None else read_graph(path), where)
    own = own_metadata(graph, where)
    if own is not None and framework is not None:
        todo = "leave framework out"
        raise UsageError("is a graph of ours, which says itself how it is read", where=where, todo=todo)
    told: dict[str, Any] = {} if data is None else {
        "steps": data.options.steps, "input_clip": data.options.clip, "classes": data.info.classes,
    }  # fmt: skip
    given = {
        "steps": steps, "input_clip": input_clip, "input_max": input_max, "classes": classes, "name": name,
    }  # fmt: skip
    told |= (own or {}) | {key: value for key, value in given.items() if value is not None}
    facts = {**told.get("reading", {}), **facts}
    network, reading, notes = _built(graph, where, framework, facts, told, (own or {}).get("input_clip", 1))
    file = {} if path is None else {"path": str(path), "digest": file_digest(path)}
    source_of = {"format": "nir", **file, "framework": framework, "reading": reading.to_dict()}
    called = told.get("name", "network" if path is None else path.stem).replace("/", "_")[:255]
    made = ImportedNetwork(called, network, source_of, notes)
    return made if data is None else made.on(data)


def _built(
    graph: nir.NIRGraph,
    where: str,
    framework: str | None,
    facts: Mapping[str, Any],
    told: Mapping[str, Any],
    clip: int = 1,
) -> tuple[FloatNetwork, Reading, tuple[str, ...]]:
    """The network, how the graph was read, and what there is to say of it.

    told: steps, input_clip, input_max and classes, as far as they are known. clip: what a graph of ours
    divides its inputs by.
    """
    start, links = chain_of(graph, where)
    if clip != 1 and links and isinstance(links[0].node, nir.Scale):
        links = links[1:]
    wanted = needed(links)
    reading = settled(framework, facts, wanted, where)
    if "steps" not in told:
        raise ExchangeError("NIR does not say how many steps a sample has", where=where, expected="steps")
    shape = _input_shape(start, links, where)
    builder = Builder(reading, where, Between(shape), notes=_axes(start, shape))
    builder.build(links)
    order = reading.reset_order if reading.reset == "subtract" else None
    rules = reading.reset or "subtract", order or "after-leak", reading.comparison or ">="
    try:
        network = FloatNetwork(
            builder.layers, shape, told["steps"], None, told.get("input_clip", 1), told.get("input_max"),
            told.get("classes"), *rules,
        )  # fmt: skip
    except ValueError as error:
        raise ExchangeError(str(error), where=where) from None
    return network, reading, (_read_as(framework, reading, wanted), *builder.notes)


def program_from_nir(source: str | PathLike[str] | nir.NIRGraph) -> Program:
    """The integers of a NIR file that `export_nir` wrote of a Program, with its digest.

    Raises ExchangeError: another's file, of no Program, or altered.

    >>> notes = sast.export_nir(net.program, "whole.nir")
    >>> sast.program_from_nir("whole.nir").digest() == net.program.digest()
    True
    """
    path = None if isinstance(source, nir.NIRNode) else Path(source)
    where = "graph" if path is None else str(path)
    return program_of(source if path is None else read_graph(path), where)


def has_program(path: Path) -> bool:
    """Whether a NIR file says that it holds integers of ours. Raises ExchangeError."""
    own = own_metadata(read_graph(path), str(path))
    return own is not None and "program" in own


def program_of(graph: nir.NIRGraph, where: str) -> Program:
    """As `program_from_nir`; where: what errors call the graph."""
    own = own_metadata(checked(graph, where), where)
    if own is None or "program" not in own:
        todo = "read it in real numbers, with sast.from_nir"
        raise ExchangeError("holds no integers of ours", where=where, expected=EXPECTED.what, todo=todo)
    network, _, _ = _built(graph, where, None, own["reading"], own, own["input_clip"])
    return restored(network, own, where)


def _read_as(framework: str | None, reading: Reading, wanted: frozenset[str]) -> str:
    """The facts that decided, one line."""
    decided = wanted - {"reset_order"} if reading.reset == "zero" else wanted
    facts = {name: value for name, value in reading.to_dict().items() if name in decided}
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    as_whose = f"as {FRAMEWORKS[framework].title} writes it: " if framework else "with "
    return f"read {as_whose}{said}"


def _axes(start: nir.Input, shape: Shape) -> list[str]:
    """What there is to say of an input whose axes are not all of its shape."""
    given = np.ravel(start.input_type["input"]).tolist()
    if math.prod(given) == math.prod(shape):
        return []
    return [f"an input {given} is taken as {list(shape)}: the axes before are those of samples and time"]


def _input_shape(start: nir.Input, links: tuple[Link, ...], where: str) -> Shape:
    """(C, H, W) or (n,); without axes for samples and time, which some exporters leave in."""
    found = np.asarray((start.input_type or {}).get("input"))
    if found.dtype.kind not in "iu" or found.ndim != 1 or not found.size or found.min() < 1:
        what = f"its input has the shape {found.tolist()}"
        raise ExchangeError(what, where=where, expected="whole numbers")
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
