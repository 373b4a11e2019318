"""An export: memory layer by layer, files, and the command that checks them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from sast_deploy.exchange.targets import TARGETS, Export
from sast_deploy.show.blocks import Line, Out, Table


def print_export(export: Export, out: Out) -> None:
    """Print what was written."""
    made = export.artefacts
    rows = [(part.name, part.constant, part.state) for part in made.parts]
    rows.append(("together", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    stateful = any(row[2] for row in rows)
    columns = ("layer", "constants, bytes", "states, bytes")[: 2 + stateful]
    cells = tuple((row[0], *(f"{number:,}" for number in row[1 : 2 + stateful])) for row in rows)
    out.print(Table(f"memory: {TARGETS[export.target].about}", columns, cells, left=1))
    for name, (count, size) in _written(made.files).items():
        out.print(f"wrote {export.folder / name}, {f'{count} files, ' * (count > 1)}{size:,} bytes")
    out.print(*(f"note: {note}" for note in made.notes))
    if made.check:
        out.print("check:", Line(f"cd {shlex.quote(str(export.folder))} && {made.check}", whole=True))


def _written(files: Mapping[str, bytes]) -> dict[str, tuple[int, int]]:
    """(files, bytes) by name; those of a folder together."""
    found: dict[str, tuple[int, int]] = {}
    for name, content in files.items():
        top = name.split("/")[0]
        count, size = found.get(top, (0, 0))
        found[top] = count + 1, size + len(content)
    return found
