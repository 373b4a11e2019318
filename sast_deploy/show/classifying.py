"""What a network says of recordings: a line for each, and its windows over time."""

from __future__ import annotations

from sast_deploy.base.text import counted
from sast_deploy.reports.classifying import Classification
from sast_deploy.show.blocks import Out, Table

MOST_WINDOWS = 40  # shown of one recording


def print_classification(found: Classification, out: Out) -> None:
    """The recording's class; below it its windows, where it was cut."""
    events = sum(each.events for each in found.windows)
    cut = len(found.windows) > 1
    what = f"{counted(len(found.windows), 'window')}" if cut else f"{events:,} events"
    out.print(f"{found.recording}: {found.label}, margin {found.margin:,} ({what}, {found.format})")
    out.print(*(f"  {note}" for note in found.notes))
    if cut:
        out.print(_windows(found), "")


def _windows(found: Classification) -> Table:
    """The same answers in a row are told together."""
    rows: list[tuple[str, ...]] = []
    runs = _runs(found)
    for first, last in runs[:MOST_WINDOWS]:
        part = found.windows[first : last + 1]
        end = part[-1].start_us + part[-1].length_us
        margins = [each.margin for each in part]
        rows.append((
            f"{part[0].start_us / 1000:,.3f} to {end / 1000:,.3f} ms", part[0].label, str(len(part)),
            f"{sum(each.events for each in part):,}", f"{min(margins):,}", f"{max(margins):,}",
        ))  # fmt: skip
    more = len(runs) - MOST_WINDOWS
    notes = (f"and {counted(more, 'change')} more; --json has them all",) if more > 0 else ()
    columns = ("time", "class", "windows", "events", "smallest margin", "largest")
    return Table("", columns, tuple(rows), notes, left=2)


def _runs(found: Classification) -> list[tuple[int, int]]:
    """First and last window of every run of the same class."""
    labels = [each.label for each in found.windows]
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    return list(zip(starts, [*(k - 1 for k in starts[1:]), len(labels) - 1], strict=True))
