"""Where cores lie on a mesh of tiles, and how far messages go.

Pixels enter through nodes of their own, up to 1,024 on each, which come first; then the mapping's cores, in
order. Four nodes make a tile; tile k stands at column k // 4 and row k % 4 of a mesh 4 tiles high, as in
SANA-FE's description of Loihi (IEEE TCAD 2025, 10.1109/TCAD.2025.3537971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sast_deploy.program.program import Program
from sast_deploy.program.sums import Int64Array
from sast_deploy.proofs.mapping import Mapping

NODES_PER_TILE, MESH_HEIGHT, PIXELS_PER_NODE = 4, 4, 1024


@dataclass(frozen=True)
class Placement:
    """Nodes on tiles: first `entries` through which pixels come, then `cores`."""

    entries: int
    cores: int

    @property
    def tiles(self) -> int:
        """Tiles with any node on them."""
        return -(-(self.entries + self.cores) // NODES_PER_TILE)

    def entry_of(self, pixels: int) -> Int64Array:
        """int64 (pixels,): the node through which each comes."""
        return np.arange(pixels, dtype=np.int64) // PIXELS_PER_NODE

    def node_of(self, core: int) -> int:
        """The node of a core of the mapping."""
        return self.entries + core

    def hops(self, source: Int64Array, target: int) -> tuple[Int64Array, Int64Array]:
        """Hops (east-west, north-south) from nodes to one node, dimension by dimension."""
        one, other = source // NODES_PER_TILE, target // NODES_PER_TILE
        across = np.abs(one // MESH_HEIGHT - other // MESH_HEIGHT)
        along = np.abs(one % MESH_HEIGHT - other % MESH_HEIGHT)
        return across, along


def placed(program: Program, mapping: Mapping) -> Placement:
    """The nodes of a mapping."""
    return Placement(-(-math.prod(program.input_shape) // PIXELS_PER_NODE), mapping.cores)
