"""What stands in the cells of the paper's tables, tables made of rows of them, and a table as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sast_deploy.base.text import printable
from sast_deploy.show.blocks import Table
from sast_deploy.studies.analysis.significance import paired
from sast_deploy.studies.tables.groups import Group, recipe_label
from sast_deploy.studies.tables.values import Value, hard

MISSING = "missing"
NOTHING = "–"  # no figure is expected here
Row = list[tuple[str, str]]  # each cell behind the name of its column


def table(
    title: str, rows: Iterable[Row], notes: Iterable[str] = (), left: int = 2, keys: int = 4
) -> Table | None:
    """A table of rows with the same columns, of which `head` tells which row it is; None without any."""
    rows = list(rows)
    if not rows:
        return None
    columns = tuple(name for name, _ in rows[0])
    cells = tuple(tuple(cell for _, cell in row) for row in rows)
    return Table(title, columns, cells, tuple(notes), left, keys)


def head(each: Group, groups: tuple[Group, ...]) -> Row:
    """The cells that say which group a row is."""
    return [
        ("network", each.network),
        ("recipe", recipe_label(each, groups)),
        ("ρ", f"{each.rho:g}"),
        ("epochs", str(each.epochs)),
        ("seeds", seeds(each)),
    ]


def seeds(each: Group) -> str:
    """How many seeds are finished: "5", or "3 of 5"."""
    done = len(each.values(hard))
    return str(done) if done == len(each.runs) else f"{done} of {len(each.runs)}"


def percent(each: Group, value: Value, digits: int = 2) -> str:
    """Mean ± sample standard deviation of a group's figure in per cent."""
    return spread(each, value, 100.0, digits)


def spread(each: Group, value: Value, scale: float = 1.0, digits: int = 1) -> str:
    """Mean ± sample standard deviation times `scale`; the number of seeds where not all that are finished."""
    found = each.mean(value)
    if found is None:
        return MISSING
    text = f"{scale * found.mean:,.{digits}f}"
    if found.sd is not None:
        text += f" ± {scale * found.sd:,.{digits}f}"
    return text if found.n == len(each.values(hard)) else f"{text} (n = {found.n})"


def ratio(each: Group, base: Group | None, value: Value, other: Value | None = None, mark: str = "") -> str:
    """`value` of a group over that (or `other`) of its baseline."""
    own, theirs = each.mean(value), base and base.mean(other or value)
    return f"{own.mean / theirs.mean:.2f}{mark}" if own and theirs and theirs.mean else NOTHING


def difference(a: Group, b: Group | None, value: Value, other: Value | None = None, mark: str = "") -> str:
    """`value` of `a` against that (or `other`) of `b` over two common seeds or more.

    Mean difference in points with its 95 % interval, p of the paired t test and of Wilcoxon's, and `mark`.
    Where all differences are equal there is neither interval nor t test.
    """
    first, second = a.values(value), b.values(other or value) if b else {}
    common = sorted(set(first) & set(second))
    if len(common) < 2:
        return NOTHING
    found = paired([first[seed] for seed in common], [second[seed] for seed in common])
    mean, rank = f"{100 * found.mean:+.2f}", f"W {_p(found.wilcoxon_p)}{mark}"
    if found.interval is None or found.t_p is None:
        return f"{mean} [{NOTHING}] p {NOTHING}, {rank}"
    low, high = (100 * end for end in found.interval)
    return f"{mean} [{low:+.2f}, {high:+.2f}] p {_p(found.t_p)}, {rank}"


TEST_NOTE = (
    "differences in points, paired by seed: mean [95 % interval by Student's t], p of the paired t test, "
    "W of Wilcoxon's signed-rank test, which cannot fall below 0.5, 0.25 and 0.0625 with 2, 3 and 5 seeds"
)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def fitting(table: Table, marks: Mapping[str, str]) -> Table:
    """Without the notes on what no cell holds. marks: by a note's start, what a cell must contain."""
    cells = [cell for row in table.rows for cell in row]

    def explains(note: str) -> bool:
        mark = next((mark for start, mark in marks.items() if note.startswith(start)), "")
        return any(mark in cell for cell in cells)

    return replace(table, notes=tuple(filter(explains, table.notes)))


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = ["---" if column < table.left else "---:" for column in range(len(table.columns))]
    lines = [_line(table.columns), _line(tuple(rule)), *(_line(row) for row in table.rows)]
    notes = [f"\n{printable(note)}." for note in table.notes]
    return "\n".join([f"**{printable(table.title)}**\n", *lines, *notes]) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(printable(cell).replace('|', '/') for cell in cells)} |"
