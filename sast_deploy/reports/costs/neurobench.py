"""NeuroBench's metrics on the integer program; filled in by the next commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program


@dataclass(frozen=True)
class NeuroBench:
    """To come."""

    effective_macs: float = 0.0
    effective_acs: float = 0.0
    activation_sparsity: float = 0.0
    connection_sparsity: float = 0.0
    membrane_updates: float = 0.0
    footprint: int = 0
    packed_bits: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def neurobench(program: Program, frames: Frames) -> NeuroBench:
    """To come."""
    return NeuroBench()
