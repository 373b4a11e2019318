"""What stands in the cells of the paper's tables, and a table as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sast_deploy.base.text import printable
from sast_deploy.show.blocks import Table
from sast_deploy.studies.analysis.significance import Paired, Summary

MISSING = "missing"
NOTHING = "–"  # no figure is expected here


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = ["---" if column < table.left else "---:" for column in range(len(table.columns))]
    lines = [_line(table.columns), _line(tuple(rule)), *(_line(row) for row in table.rows)]
    notes = [f"\n{printable(note)}." for note in table.notes]
    return "\n".join([f"**{printable(table.title)}**\n", *lines, *notes]) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(printable(cell).replace('|', '/') for cell in cells)} |"


def percent(found: Summary | None, runs: int, digits: int = 2) -> str:
    """Mean ± sample standard deviation in per cent; with the number of seeds where it is not `runs`."""
    return spread(found, runs, 100.0, digits)


def spread(found: Summary | None, runs: int, scale: float = 1.0, digits: int = 1) -> str:
    """Mean ± sample standard deviation times `scale`."""
    if found is None:
        return MISSING
    text = f"{scale * found.mean:,.{digits}f}"
    if found.sd is not None:
        text += f" ± {scale * found.sd:,.{digits}f}"
    return text if found.n == runs else f"{text} (n = {found.n})"


def difference(found: Paired | None, mark: str = "") -> str:
    """Mean difference in points with its 95 % interval, p of the paired t test and of Wilcoxon's, and `mark`.

    Where all differences are equal there is neither interval nor t test.
    """
    if found is None:
        return NOTHING
    mean, rank = f"{100 * found.mean:+.2f}", f"W {_p(found.wilcoxon_p)}{mark}"
    if found.interval is None or found.t_p is None:
        return f"{mean} [{NOTHING}] p {NOTHING}, {rank}"
    low, high = (100 * end for end in found.interval)
    return f"{mean} [{low:+.2f}, {high:+.2f}] p {_p(found.t_p)}, {rank}"


TEST_NOTE = (
    "differences in points, paired by seed: mean [95 % interval by Student's t], p of the paired t test, "
    "W of Wilcoxon's signed-rank test, which cannot fall below 0.5, 0.25 and 0.0625 with 2, 3 and 5 seeds"
)


def fitting(table: Table, marks: Mapping[str, str]) -> Table:
    """Without the notes on what no cell holds. marks: by a note's start, what a cell must contain."""
    cells = [cell for row in table.rows for cell in row]

    def explains(note: str) -> bool:
        mark = next((mark for start, mark in marks.items() if note.startswith(start)), "")
        return any(mark in cell for cell in cells)

    return replace(table, notes=tuple(filter(explains, table.notes)))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
