"""An export: memory layer by layer, files, and the command that checks them."""

from __future__ import annotations

import shlex

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
    for name, content in made.files.items():
        out.print(f"wrote {export.folder / name}, {len(content):,} bytes")
    out.print(*(f"note: {note}" for note in made.notes))
    if made.check:
        out.print("check:", Line(f"cd {shlex.quote(str(export.folder))} && {made.check}", whole=True))
