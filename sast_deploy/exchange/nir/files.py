"""A NIR file of any origin as a graph: the format is the `nir` package's, what it may hold is checked before.

Reading one runs nothing that is in it: numbers and texts in HDF5 become nodes of the kinds that `nir` knows.
"""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np

from sast_deploy.base.errors import ExchangeError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.files import DAMAGED
from sast_deploy.base.reading.hdf5 import open_hdf5
from sast_deploy.base.text import first_line

EXPECTED = Expected("a NIR graph (.nir)", ExchangeError, "export it again with nir 1.0.4 or later")
TEXTS = 20_000  # the ends of edges in one file
WRONG = (*DAMAGED, AssertionError, NotImplementedError, RecursionError, ZeroDivisionError, MemoryError)


def read_graph(path: Path) -> nir.NIRGraph:
    """The graph. Its shapes are not checked here: nir's own check knows neither groups nor oblong kernels.

    Raises ExchangeError: no HDF5, not safe to read, no NIR graph, a node with parameters that are not its
    kind's, or that are no finite numbers.
    """
    with open_hdf5(path, EXPECTED, ("node", "version"), texts=TEXTS) as file:
        if "node" not in file:
            EXPECTED.refuse_kind(path)
    try:
        return nir.read(path, type_check=False)
    except WRONG as error:
        EXPECTED.refuse(f"is no NIR graph that nir {nir.version} can read ({_reason(error)})", path)


def checked(graph: nir.NIRNode, where: str) -> nir.NIRGraph:
    """The graph, whose nodes hold numbers, all finite. Raises ExchangeError."""
    if not isinstance(graph, nir.NIRGraph):
        raise ExchangeError(f"is a {type(graph).__name__}", where=where, expected="a nir.NIRGraph")
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            checked(node, where)
            continue
        for field, value in vars(node).items():
            if field not in ("input_type", "output_type", "metadata", "input_shape", "padding"):
                _check_numbers(value, f"{name}.{field}", where)
    return graph


def _check_numbers(value: object, name: str, where: str) -> None:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        found = f"{name} is {array.dtype}" if array.dtype.kind not in "buif" else f"{name} is not finite"
        raise ExchangeError(found, where=where, expected="finite numbers")


def _reason(error: BaseException) -> str:
    return first_line(error) if isinstance(error, Exception) and str(error) else type(error).__name__
