"""What the commands for circuits share."""

from __future__ import annotations

import click


def _lanes(value: str | tuple[int, ...]) -> tuple[int, ...]:
    """Of a text with commas its whole numbers; a tuple as it is."""
    if isinstance(value, tuple):
        return value
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 2**31 for part in parts):
        raise click.BadParameter(f"{value!r} is not whole numbers from 1 on with commas, such as 24,8,10.")
    return tuple(map(int, parts))


LANES = click.types.FuncParamType(_lanes)  # whole numbers with commas, one for each layer with weights
