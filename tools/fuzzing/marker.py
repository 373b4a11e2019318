"""What code in a file would call: whether it ran."""

from __future__ import annotations

hits: list[str] = []


def hit() -> None:
    """Note that code of a file ran."""
    hits.append("code of the file ran")
