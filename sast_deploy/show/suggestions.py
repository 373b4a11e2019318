"""Changes that were tried, as a table: what each mends, and what it costs."""

from __future__ import annotations

from sast_deploy.base.text import percent
from sast_deploy.reports.suggestions import Suggestion, Suggestions
from sast_deploy.show.blocks import Line, Out, Table


def print_suggestions(found: Suggestions, out: Out) -> None:
    """What was tried, and how to do it; why the network does not fit stands in its inspection."""
    out.print("")
    if not found.tried:
        out.print("no change was found that mends a limit or saves a core")
    else:
        out.print(_table(found))
        out.print(*(Line(f"{each.change}: {each.how}") for each in found.tried))
    out.print(*(f"note: {note}" for note in found.notes))


def _table(found: Suggestions) -> Table:
    rows = [("as it is", "", _fits(found.fits), str(found.cores), _accuracy(found), "", "", "")]
    rows += [
        (each.change, ", ".join(each.mends) or "saves cores", _fits(each.fits), str(each.cores),
         _accuracy(each), _points(each), "" if each.p is None else f"{each.p:.2g}", each.note)
        for each in found.tried
    ]  # fmt: skip
    columns = ("change", "mends", "fits", "cores", "accuracy", "points", "McNemar p", "measured")
    what = f"tried on {found.samples:,} samples" if found.samples else "laid out, not measured"
    return Table(f"changes, {what}", columns, tuple(rows), left=1)


def _fits(fits: bool) -> str:
    return "yes" if fits else "no"


def _accuracy(found: Suggestion | Suggestions) -> str:
    return "" if found.accuracy is None else percent(found.accuracy.value)


def _points(each: Suggestion) -> str:
    return "" if each.difference is None else f"{each.difference:+.2f}"
