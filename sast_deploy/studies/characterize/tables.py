"""A characterization as tables: cells, the front, what predicts cycles, the study's figures beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sast_deploy.base.text import quantity
from sast_deploy.show.blocks import Table
from sast_deploy.studies.characterize.cells import Cell, Change, Figure
from sast_deploy.studies.characterize.claims import Best, Claim
from sast_deploy.studies.characterize.result import EVERY, Characterization, Correlation
from sast_deploy.studies.tables.table import MISSING, NOTHING

NOISE = "within noise"
_BASELINE = "baseline"
CHANGE_NOTE = (
    "against arctan and lif of the same network, paired by seed: mean [95 % interval by Student's t], in "
    "percent, of accuracy in points; within noise: the interval holds 0"
)
CYCLES_NOTE = "cycles: of a sample alone in the circuit of `export --to rtl`, exact, as `latency` counts them"
RHO_NOTE = (
    "ρ: Spearman's over runs, seeds being runs of their own; p: two-sided, of each alone, up to 8 runs "
    f"exact; {NOTHING}: the same in every run, or fewer than three of them"
)
CLAIM_NOTE = (
    "kept: of the cells whose accuracy is the baseline's within noise or better, and of accuracy's gain "
    "those with its cycles or fewer; with few seeds much is within noise"
)


@dataclass(frozen=True)
class Clock:
    """Times beside cycles, where somebody named a clock of so many MHz."""

    mhz: float | None = None

    @property
    def head(self) -> tuple[str, ...]:
        """Of the column of times, if there is one."""
        return () if self.mhz is None else (f"at {self.mhz:g} MHz",)

    def cell(self, cell: Cell) -> tuple[str, ...]:
        """The time of a cell's mean cycles."""
        if self.mhz is None:
            return ()
        found = cell.mean(lambda one: one.cycles)
        return (MISSING if found is None else quantity(found.mean / (self.mhz * 1e6), "s"),)


NO_CLOCK = Clock()


def tables_of(found: Characterization, clock: Clock = NO_CLOCK) -> tuple[Table, ...]:
    """Everything; times too where there is a clock."""
    where = f"{found.data}; {found.subject}"
    of_cells = (
        _cells(found, where, clock), _changes(found, where), _layers(found, where),
        _front(found, where, clock),
    )  # fmt: skip
    more = any(each.more for each in found.cells)
    return (
        *(each if more else _without(each, _HEADS.index("more")) for each in of_cells),
        _correlations(found.correlations, where), _claims(found.claims, where),
    )  # fmt: skip


def _without(table: Table, column: int) -> Table:
    """The table without one of its columns of names."""
    columns, *rows = ((*row[:column], *row[column + 1 :]) for row in (table.columns, *table.rows))
    left = table.left - 1
    return replace(table, columns=columns, rows=tuple(rows), left=left, keys=left)


def _cells(found: Characterization, where: str, clock: Clock) -> Table:
    heads = (*_HEADS, "seeds", "accuracy %", "rate %", "k SynOps", "k cycles", *clock.head,
             "median", "p99", "worst", "hidden events", "input events")  # fmt: skip
    rows = []
    for each in found.cells:
        rows.append((
            *_name(each), _seeds(each), _spread(each, lambda one: 100 * one.accuracy, 2),
            _spread(each, lambda one: 100 * one.rate, 2), _spread(each, lambda one: one.synops / 1000, 1),
            _spread(each, lambda one: one.cycles / 1000, 2), *clock.cell(each),
            *(_plain(each, figure) for figure in (
                lambda one: one.median, lambda one: one.p99, lambda one: one.worst, lambda one: one.hidden,
                lambda one: one.inputs)),
        ))  # fmt: skip
    counted = ", ".join(f"{each:,}" for each in found.samples)
    notes = (f"{CYCLES_NOTE}, {counted} test samples; accuracy of the integers on all; rate: spikes per "
             "neuron and step, mean of the layers; ± sample standard deviation over seeds",)  # fmt: skip
    return Table(f"Cells. {where}", heads, tuple(rows), notes, 4, 4)


def _changes(found: Characterization, where: str) -> Table:
    names = ("accuracy", "cycles", "rate", "synops", "hidden")
    rows = [(*_name(each), *(_change(each, name) for name in names)) for each in found.cells]
    heads = (*_HEADS, "accuracy", "cycles", "rate", "SynOps", "hidden events")
    return Table(f"Differences. {where}", heads, tuple(rows), (CHANGE_NOTE,), 4, 4)


def _layers(found: Characterization, where: str) -> Table:
    """Sparsity layer by layer, and what the result waits for."""
    rows = []
    for each in found.cells:
        rates = zip(*(one.rates for one in each.figures), strict=False)
        shown = ", ".join(f"{100 * sum(rate) / len(rate):.1f}" for rate in rates) or NOTHING
        rows.append((*_name(each), shown, _plain(each, lambda one: 100 * one.input_share, 1),
                     _plain(each, lambda one: 100 * one.hidden_share, 1)))  # fmt: skip
    heads = (*_HEADS, "rate of each layer, %", "cycles for input events, %", "for hidden events, %")
    note = "cycles: those in which the result waits for sums of such events; the rest are sweeps and encoding"
    return Table(f"Layers. {where}", heads, tuple(rows), (note,), 4, 4)


def _front(found: Characterization, where: str, clock: Clock) -> Table:
    cells = {each.label: each for each in found.cells}
    rows = []
    for each in (cells[label] for label in found.front):
        rows.append((
            *_name(each), _spread(each, lambda one: one.cycles / 1000, 2), *clock.cell(each),
            _spread(each, lambda one: 100 * one.accuracy, 2), _change(each, "accuracy"),
        ))  # fmt: skip
    heads = (*_HEADS, "k cycles", *clock.head, "accuracy %", "accuracy against baseline")
    note = "none has fewer cycles and a higher accuracy, both as means over seeds"
    return Table(f"Pareto front. {where}", heads, tuple(rows), (note,), 4, 4)


def _correlations(correlations: Iterable[Correlation], where: str) -> Table:
    rows = []
    for each in correlations:
        p = NOTHING if each.p is None else "< 0.001" if each.p < 0.001 else f"{each.p:.3f}"
        network = "all networks" if each.network == EVERY else each.network
        rho = NOTHING if each.rho is None else f"{each.rho:+.2f}"
        rows.append((network, f"{each.predictor} → cycles", str(each.n), rho, p))
    heads = ("network", "of", "runs", "ρ", "p")
    return Table(f"What predicts cycles. {where}", heads, tuple(rows), (RHO_NOTE,))


def _claims(claims: Iterable[Claim], where: str) -> Table:
    rows = [
        (each.network, each.what, each.theirs,
         *(_best(best, each) for best in (each.same, each.best, each.kept)))
        for each in claims
    ]  # fmt: skip
    heads = ("network", "figure", "arXiv 2603.24891", "their choice here", "best here", "kept")
    return Table(f"The study's figures beside ours. {where}", heads, tuple(rows), (CLAIM_NOTE,), 6, 2)


_HEADS = ("network", "surrogate", "neuron", "more")


def _name(cell: Cell) -> tuple[str, str, str, str]:
    return cell.network, cell.surrogate, cell.neuron, cell.more


def _seeds(cell: Cell) -> str:
    done = len(cell.figures)
    return f"{done} of {done + len(cell.missing)}" if cell.missing else str(done)


def _spread(cell: Cell, figure: Figure, digits: int) -> str:
    found = cell.mean(figure)
    if found is None:
        return MISSING
    return f"{found.mean:,.{digits}f}" + ("" if found.sd is None else f" ± {found.sd:,.{digits}f}")


def _plain(cell: Cell, figure: Figure, digits: int = 0) -> str:
    found = cell.mean(figure)
    return MISSING if found is None else f"{found.mean:,.{digits}f}"


def _change(cell: Cell, name: str) -> str:
    if cell.is_baseline:
        return _BASELINE
    found = cell.changes.get(name)
    return NOTHING if found is None else _interval(found.mean, found)


def _best(found: Best | None, claim: Claim) -> str:
    if found is None:
        return NOTHING
    cell = found.cell.replace(f"{claim.network}, ", "")
    if claim.unit == "x":
        return f"{found.value:.2f} x: {cell}"
    return f"{_interval(found.value, found, f' {claim.unit}')}: {cell}"


def _interval(mean: float, found: Change | Best, unit: str = "") -> str:
    interval = "" if found.interval is None else " [{:+.1f}, {:+.1f}]".format(*found.interval)
    return f"{mean:+.1f}{unit}{interval}" + (f" {NOISE}" if found.noise else "")
