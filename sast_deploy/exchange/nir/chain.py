"""The one way from a graph's input to its output, each neuron with what feeds its spikes back to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import nir

from sast_deploy.base.errors import ExchangeError

SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
ONE_WAY, OWN_LOOPS = "one chain of layers", "loops of a layer's own spikes alone"
SILENT = (nir.LI, nir.CubaLI, nir.I)
LINEAR = (nir.Linear, nir.Affine, nir.Scale)
DEPTH = 8  # of graphs within graphs
Edges = list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Link:
    """A node on the way. recurrent: what lies between its output and its own input, or None."""

    name: str
    node: nir.NIRNode
    recurrent: tuple[tuple[str, nir.NIRNode], ...] | None = None


def chain_of(graph: nir.NIRGraph, where: str) -> tuple[nir.Input, tuple[Link, ...]]:
    """The input, and every node from there to the output, in order.

    Raises ExchangeError: several ways, loops but for those of a neuron's own spikes, nodes beside the way.
    """
    nodes, edges = _flat(graph, where)
    return _Walk(nodes, edges, where).chain()


def _flat(
    graph: nir.NIRGraph, where: str, prefix: str = "", depth: int = 0
) -> tuple[dict[str, nir.NIRNode], Edges]:
    """Nodes and edges without graphs within graphs: their inputs and outputs are what they stand for."""
    if depth > DEPTH:
        _refuse(where, f"graphs within graphs, more than {DEPTH} deep", "fewer")
    nodes: dict[str, nir.NIRNode] = {}
    ends: dict[str, tuple[str, str]] = {}  # of each graph within: its Input and its Output
    edges: Edges = [(f"{prefix}{a}", f"{prefix}{b}") for a, b in graph.edges]
    for key, node in graph.nodes.items():
        name = f"{prefix}{key}"
        if not isinstance(node, nir.NIRGraph):
            nodes[name] = node
            continue
        inner, more = _flat(node, where, f"{name}.", depth + 1)
        ends[name] = (_only(inner, nir.Input, name, where), _only(inner, nir.Output, name, where))
        nodes |= inner
        edges += more
    edges = [(ends.get(a, ("", a))[1], ends.get(b, (b, ""))[0]) for a, b in edges]
    for name in (end for pair in ends.values() for end in pair):
        edges = _spliced(edges, name)
        del nodes[name]
    for name in (name for edge in edges for name in edge if name not in nodes):
        _refuse(where, f"an edge to or from {name!r}, which is no node", "edges between nodes")
    return nodes, list(dict.fromkeys(edges))


def _spliced(edges: Edges, name: str) -> Edges:
    before, after = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
    return [edge for edge in edges if name not in edge] + [(a, b) for a in before for b in after]


def _only(nodes: dict[str, nir.NIRNode], kind: type, name: str, where: str) -> str:
    found = [each for each, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        _refuse(where, f"{name} has {len(found)} nodes {kind.__name__}", "one")
    return found[0]


class _Walk:
    def __init__(self, nodes: dict[str, nir.NIRNode], edges: Edges, where: str) -> None:
        self.nodes, self.where = nodes, where
        self.after: dict[str, list[str]] = {name: [] for name in nodes}
        self.before: dict[str, list[str]] = {name: [] for name in nodes}
        for a, b in edges:
            self.after[a].append(b)
            self.before[b].append(a)
        self.seen: set[str] = set()

    def chain(self) -> tuple[nir.Input, tuple[Link, ...]]:
        first = _only(self.nodes, nir.Input, "the graph", self.where)
        last = _only(self.nodes, nir.Output, "the graph", self.where)
        links, name = [], self._next(first, ())
        self.seen.add(first)
        while name != last:
            if name in self.seen:
                _refuse(self.where, f"a loop through {name}", OWN_LOOPS)
            self.seen.add(name)
            links.append(self._link(name))
            name = self._next(name, self._loop_heads(links[-1]))
        if beside := sorted(set(self.nodes) - self.seen - {last}):
            _refuse(self.where, f"{beside[0]} is not on the way from {first} to {last}", ONE_WAY)
        found = self.nodes[first]
        assert isinstance(found, nir.Input)
        return found, tuple(links)

    def _next(self, name: str, loops: Iterable[str]) -> str:
        ahead = [each for each in self.after[name] if each not in loops]
        if len(ahead) != 1:
            there = ", ".join(ahead[:4])
            _refuse(self.where, f"{name} leads to {len(ahead)} nodes ({there})", ONE_WAY)
        return ahead[0]

    def _link(self, name: str) -> Link:
        """The node, with its loop; anything else that leads to it is refused."""
        loops = [path for each in self.after[name] if (path := self._loop(name, each)) is not None]
        ends = [path[-1] if path else name for path in loops]
        others = [each for each in self.before[name] if each not in ends]
        if len(others) != 1 or len(loops) > 1:
            several = ", ".join(self.before[name][:4])
            _refuse(self.where, f"{name} has {len(self.before[name])} inputs ({several})", ONE_WAY)
        if not loops:
            return Link(name, self.nodes[name])
        if not isinstance(self.nodes[name], SPIKING):
            _refuse(self.where, f"a loop around {name}, which does not spike", OWN_LOOPS)
        self.seen.update(loops[0])
        return Link(name, self.nodes[name], tuple((each, self.nodes[each]) for each in loops[0]))

    def _loop(self, name: str, start: str) -> list[str] | None:
        """The nodes from `start` back to `name`, where that is all they lead to; else None."""
        path: list[str] = []
        while start != name:
            if len(self.after[start]) != 1 or len(self.before[start]) != 1 or start in path:
                return None
            if not isinstance(self.nodes[start], LINEAR):
                return None
            path.append(start)
            start = self.after[start][0]
        return path

    def _loop_heads(self, link: Link) -> tuple[str, ...]:
        if link.recurrent is None:
            return ()
        return (link.recurrent[0][0],) if link.recurrent else (link.name,)


def _refuse(where: str, found: str, expected: str) -> NoReturn:
    raise ExchangeError(found, where=where, expected=expected)
