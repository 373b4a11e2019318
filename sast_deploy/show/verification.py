"""Whether all engines agree, as a table and what the first difference means."""

from __future__ import annotations

from sast_deploy.netx.file import NetFile
from sast_deploy.show.blocks import Out, Table
from sast_deploy.verification.comparison import KNOWN, REFERENCE, Comparison, Verification


def print_verification(name: str, net: NetFile, found: Verification, out: Out) -> None:
    """One row for each engine and set of inputs; then what differs, or what known answers cannot show."""
    if net.known is None:
        out.print(f"{name}: holds no known answers")
    columns = ("engine", "data", "samples", "values compared", "seconds", "verdict")
    table = Table("", columns, tuple(map(_cells, found.rows)))
    out.print(f"{name}: program {net.program.digest()}", table)
    if found.unseen is not None:
        out.print(f"never in play in the known answers: {', '.join(found.unseen) or 'none'}")
    out.print(*(line for row in found.rows for line in row.problem))


def _cells(row: Comparison) -> tuple[str, ...]:
    right = "the file's answers" if row.data == KNOWN else "equal to the reference"
    right = "the specification" if row.engine == REFERENCE and row.data != KNOWN else right
    verdict = "DIFFERS" if row.problem else right
    return row.engine, row.data, str(row.samples), f"{row.values:,}", f"{row.seconds:.2f}", verdict
