"""What a target makes: files in memory, and how much memory the network takes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Memory of one layer. name: "layer 0 (dense)". constant: bytes that never change; state: that do."""

    name: str
    constant: int
    state: int


@dataclass(frozen=True)
class Artefacts:
    """What a target makes of a program.

    files: content by name. parts: memory of every layer and of what layers share. check: the command, run in
    the folder, that says whether all is well; empty where there is none. notes: for people, one line each.
    """

    files: Mapping[str, bytes]
    parts: tuple[Part, ...]
    check: str = ""
    notes: tuple[str, ...] = ()
