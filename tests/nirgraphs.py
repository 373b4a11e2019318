"""Small NIR graphs, made with the nir package itself."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np

DT = 1e-4
READ = {"dt": DT, "leak": "euler", "reset": "zero", "comparison": ">="}  # no framework's
SOFT = READ | {"reset": "subtract", "reset_order": "after-leak"}


def full(n, value):
    return np.full(n, value, np.float64)


def affine(outputs, inputs, seed=0, bias=True):
    """Multiples of 1/4."""
    rng = np.random.default_rng([seed, outputs, inputs])
    weight = rng.integers(-3, 6, (outputs, inputs)) / 4
    return nir.Affine(weight, rng.integers(0, 3, outputs) / 4) if bias else nir.Linear(weight)


def conv(outputs, inputs, seed=0, **options):
    rng = np.random.default_rng([seed, outputs, inputs])
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "input_shape": None} | options
    weight = rng.integers(-3, 6, (outputs, inputs // given["groups"], 3, 3)) / 4
    return nir.Conv2d(weight=weight, bias=rng.integers(0, 3, outputs) / 4, **given)


def lif(shape, leak=0.75, theta=1.0, **changes):
    tau = full(shape, DT / (1 - leak))
    own = {"tau": tau, "r": tau / DT, "v_leak": full(shape, 0), "v_threshold": full(shape, theta)}
    return nir.LIF(**own | changes)


def cuba(shape, leak=0.75, current=0.5, theta=1.0, **changes):
    tau, slow = full(shape, DT / (1 - leak)), full(shape, DT / (1 - current))
    own = {
        "tau_mem": tau, "tau_syn": slow, "r": tau / DT, "w_in": slow / DT, "v_leak": full(shape, 0),
        "v_threshold": full(shape, theta),
    }  # fmt: skip
    return nir.CubaLIF(**own | changes)


def integrate(shape, theta=1.0, **changes):
    return nir.IF(**{"r": full(shape, 1 / DT), "v_threshold": full(shape, theta)} | changes)


def chain(shape, *nodes, loops=(), metadata=None):
    """Nodes one after another, called "0", "1", ...; loops: (neuron, node back to it)."""
    named = {"input": nir.Input({"input": np.array(shape)})} | {str(k): each for k, each in enumerate(nodes)}
    named["output"] = nir.Output({"output": None})
    names = list(named)
    edges = list(pairwise(names))
    for k, (at, node) in enumerate(loops):
        named[f"back{k}"] = node
        edges += [(str(at), f"back{k}"), (f"back{k}", str(at))]
    return nir.NIRGraph(named, edges, metadata or {}, type_check=False)


def tiny(**changes):
    """Two layers, of 3 and 2 neurons."""
    return chain((2,), affine(3, 2), lif(3, **changes), affine(2, 3), lif(2))


def written(path: Path, graph: nir.NIRGraph) -> Path:
    """`graph` as a file; nir cannot write an output whose type is not known."""
    for node in graph.nodes.values():
        if isinstance(node, nir.Output) and node.output_type["output"] is None:
            node.output_type = {"output": np.array([1])}
    nir.write(path, graph)
    return path
