"""NIR files: whatever a node is or holds, a refusal by one line, or a network."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import ExchangeError
from sast_deploy.exchange.nir import from_nir
from tests.attacks.readers import GRAPH, commands, place
from tests.attacks.test_nets import NODES, REACHING, fractions
from tools.fuzzing.hdf5 import datasets

FIRST, SECOND = "node/nodes/0", "node/nodes/1"
NONSENSE = {
    "a type of no kind": (f"{FIRST}/type", "os.system"),
    "a type that is a graph": (f"{FIRST}/type", "NIRGraph"),
    "a type that is a number": (f"{FIRST}/type", 3),
    "a type of many": (f"{FIRST}/type", np.array([b"Affine", b"LIF"])),
    "the graph of another type": ("node/type", "Linear"),
    "weights of one axis": (f"{FIRST}/weight", np.ones(3)),
    "weights of three axes": (f"{FIRST}/weight", np.ones((3, 2, 1))),
    "weights of no rows": (f"{FIRST}/weight", np.ones((0, 2))),
    "weights nan": (f"{FIRST}/weight", np.full((3, 2), np.nan)),
    "weights beyond float32": (f"{FIRST}/weight", np.full((3, 2), 1e300)),
    "weights as text": (f"{FIRST}/weight", np.bytes_("weights")),
    "weights of complex numbers": (f"{FIRST}/weight", np.full((3, 2), 1j)),
    "a bias of two": (f"{FIRST}/bias", np.ones(2)),
    "a bias that is one number": (f"{FIRST}/bias", np.float64(1)),
    "tau 0": (f"{SECOND}/tau", np.zeros(3)),
    "tau inf": (f"{SECOND}/tau", np.full(3, np.inf)),
    "tau below 0": (f"{SECOND}/tau", np.full(3, -1e-3)),
    "tau of two": (f"{SECOND}/tau", np.ones(2)),
    "tau of no neurons": (f"{SECOND}/tau", np.zeros(0)),
    "r nan": (f"{SECOND}/r", np.full(3, np.nan)),
    "thresholds 0": (f"{SECOND}/v_threshold", np.zeros(3)),
    "thresholds below 0": (f"{SECOND}/v_threshold", np.full(3, -1.0)),
    "thresholds that are no numbers": (f"{SECOND}/v_threshold", np.array([b"a", b"b", b"c"])),
    "v_reset 1": (f"{SECOND}/v_reset", np.ones(3)),
    "an unknown field": (f"{SECOND}/tau_ref", np.ones(3)),
    "an input of minus one": ("node/nodes/input/shape", np.array([-1])),
    "an input of 2**62": ("node/nodes/input/shape", np.array([2**62])),
    "an input of fractions": ("node/nodes/input/shape", np.array([0.5])),
    "edges of numbers": ("node/edges", np.ones((4, 2))),
    "edges of one column": ("node/edges", np.array([[b"0"], [b"1"]])),
    "edges to nowhere": ("node/edges", np.array([[b"input", b"9"]])),
    "no edges": ("node/edges", np.zeros((0, 2), "S1")),
    "a circle of edges": ("node/edges", np.array([[b"input", b"0"], [b"0", b"1"], [b"1", b"0"]])),
    "edges that are no UTF-8": ("node/edges", np.array([[b"\xff", b"0"]])),
    "nodes that are a number": ("node/nodes", 3),
    "no nodes": ("node/nodes", None),
    "a node without fields": (FIRST, None),
    "metadata of ours that is none": ("node/metadata/sast_deploy", "{"),
    "metadata of ours from the future": (
        "node/metadata/sast_deploy", '{"format": "sast-deploy-nir", "version": 99}'
    ),
    "metadata of ours nested deeply": ("node/metadata/sast_deploy", "[" * 100_000),
    "a type_check of its own": ("node/type_check", True),
    "a version that is a number": ("version", 3),
}  # fmt: skip
FINE = {"a version that is a number"}  # which nothing depends on


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense(kind, seeds, work, refuses):
    path = place("nir", seeds, work)
    name, value = NONSENSE[kind]
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is None:
            file.create_group(name)
        else:
            file[name] = value
    if kind in FINE:
        from_nir(path, "snntorch", steps=9, reset="zero")
        return
    for words in commands("nir"):
        if kind.startswith("metadata"):  # its own reading, or none
            words = [word for word in words if word not in GRAPH[:2]]
        refuses(words, "x.nir")


PLACES = (f"{FIRST}/weight", f"{SECOND}/type", "node/edges", "node/nodes/output/shape")


@pytest.mark.parametrize("node", range(len(NODES)), ids=[each.__name__ for each in NODES])
@pytest.mark.parametrize("name", PLACES)
def test_nodes_that_are_something_else(node, name, seeds, work, made):
    """No other file is opened, nothing is unpacked that the file cannot hold, and one line says why."""
    path = place("nir", seeds, work)
    with h5py.File(path, "r+") as file:
        NODES[node](file, name, made[0])
    if (name == PLACES[-1] and NODES[node] not in REACHING) or (name, NODES[node]) == (PLACES[0], fractions):
        return  # what our reader does not need, or what is a network as well
    with pytest.raises(ExchangeError, match=r"x\.nir") as caught:
        from_nir(path, "snntorch", steps=9, reset="zero")
    assert "\n" not in str(caught.value)


def test_many_edges_that_are_one_long_text_are_measured(seeds, work):
    """A text that stands once in the file, and many times in its dataset."""
    path = place("nir", seeds, work)
    with h5py.File(path, "r+") as file:
        del file["node/edges"]
        edges = file.create_dataset("node/edges", (9000, 2), h5py.string_dtype())
        edges[:] = "x" * 100
        assert len(datasets(file)) > 5
    with pytest.raises(ExchangeError, match=r"x\.nir"):
        from_nir(path, "snntorch", steps=9, reset="zero")


def test_graphs_within_graphs_end_somewhere(seeds, work):
    path = place("nir", seeds, work)
    with h5py.File(path, "r+") as file:
        group = file["node"]
        for _ in range(6):
            group["nodes"].move("0", "was") if "0" in group["nodes"] else None
            inner = group["nodes"].create_group("0")
            inner["type"], inner["edges"] = "NIRGraph", np.array([[b"a", b"b"]])
            group = inner
            group.create_group("nodes")
    with pytest.raises(ExchangeError, match=r"x\.nir"):
        from_nir(path, "snntorch", steps=9, reset="zero")
