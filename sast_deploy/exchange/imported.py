"""What reading somebody else's network gives."""

from __future__ import annotations

from dataclasses import dataclass

from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.program.program import Program


@dataclass(frozen=True, eq=False)
class Imported:
    """network: in floating point, ready to compile. notes: what was folded, rounded or assumed, a line each.
    program: the integers themselves, where the file says that they are a program of ours; else None.
    """

    network: FloatNetwork
    notes: tuple[str, ...] = ()
    program: Program | None = None
