"""Tables of what the analyses found: event drop, weight noise, membrane margins, contraction, thresholds."""

from __future__ import annotations

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.accuracy import HEAD, KEYS, NAMES, head
from sast_deploy.studies.tables.groups import Group, baseline_of, compare
from sast_deploy.studies.tables.paper import DROP, NMNIST, WITHIN, paper_set
from sast_deploy.studies.tables.table import NOTHING, TEST_NOTE, difference, percent, spread
from sast_deploy.studies.tables.values import analysed, disturbed, hard, rate

_WORDS = {
    "drop": ("Event drop: hard-spike accuracy % where each event is lost with probability p", "p"),
    "noise": ("Weight noise: hard-spike accuracy % with noise of σ times each layer's rms weight", "σ"),
}


def disturbance_table(part: str, data: str, groups: tuple[Group, ...]) -> Table | None:
    """Accuracy over the strength of a disturbance ("drop" or "noise"), the paper's beside it."""
    amounts = sorted({amount for each in groups for amount in amounts_of(part, each)})
    if not amounts:
        return None
    title, symbol = _WORDS[part]
    strongest = amounts[-1]
    columns = (*HEAD, *(f"{symbol} = {amount:g}" for amount in amounts), f"against baseline at {strongest:g}")
    rows = []
    for each in groups:
        if not amounts_of(part, each):
            continue
        n, base = len(each.values(hard)), baseline_of(each, groups)
        found = compare(each, base, disturbed(part, strongest)) if base else None
        cells = [_with_paper(part, each, amount, n) for amount in amounts]
        rows.append((*head(each, groups), *cells, difference(found)))
    notes = ("in brackets the paper's", TEST_NOTE) if part == "drop" else (TEST_NOTE,)
    return Table(f"{title}. {data}", columns, tuple(rows), notes, NAMES, KEYS)


def amounts_of(part: str, each: Group) -> tuple[float, ...]:
    """The strengths at which a group was measured."""
    runs = (run.analysis.get(part) or {} for run in each.runs.values())
    return tuple(sorted({float(level["amount"]) for found in runs for level in found.get("levels", [])}))


def _with_paper(part: str, each: Group, amount: float, n: int) -> str:
    text = percent(each.mean(disturbed(part, amount)), n)
    paper = DROP[each.rho > 0].get(amount) if part == "drop" and paper_set(each) == NMNIST else None
    return f"{text} ({100 * paper:.1f})" if paper else text


def membrane_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Share of membranes close to threshold, the contraction proxy, and firing rates."""
    measured = [each for each in groups if any(_has(each, part) for part in ("margins", "contraction"))]
    if not measured:
        return None
    layers = max(len((r.float or {}).get("hard_rates", [])) for g in measured for r in g.runs.values())
    columns = (
        *HEAD, "within ±0.2, smooth %", "hard %", "paper %", "γ̂", "states with γ > 1 %", "paper's γ̂",
        *(f"rate of layer {layer}, hard" for layer in range(layers)),
    )  # fmt: skip
    rows = []
    for each in measured:
        n = len(each.values(hard))
        shares = (analysed("margins", key) for key in ("surrogate_share", "hard_share"))
        is_paper = paper_set(each) == NMNIST
        rows.append(
            (
                *head(each, groups), *(percent(each.mean(share), n) for share in shares),
                f"{100 * WITHIN[each.rho > 0]:.1f}" if is_paper else NOTHING,
                spread(each.mean(analysed("contraction", "states", "gamma")), n, 1.0, 2),
                spread(each.mean(analysed("contraction", "states", "above_one")), n, 100.0, 2), "< 1",
                *(spread(each.mean(rate(layer)), n, 1.0, 3) for layer in range(layers)),
            )
        )  # fmt: skip
    note = "γ̂ = α + max θ · max |σ'(u − θ)| over all visited states (a full validation pass)"
    return Table(f"Membranes. {data}", columns, tuple(rows), (note,), NAMES, KEYS)


def threshold_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """What thresholds tuned after training, on validation samples, gain on the test split."""
    rows = []
    for each in groups:
        if not _has(each, "thresholds"):
            continue
        n = len(each.values(hard))
        before, after = (analysed("thresholds", key, "accuracy") for key in ("test_before", "test_after"))
        tried = max((run.analysis.get("thresholds") or {}).get("tried", 0) for run in each.runs.values())
        rows.append(
            (
                *head(each, groups), percent(each.mean(before), n), percent(each.mean(after), n),
                difference(compare(each, each, after, before)), str(tried),
            )
        )  # fmt: skip
    columns = (*HEAD, "hard %", "hard, thresholds tuned %", "gain", "settings tried, at most")
    title = f"Control: thresholds tuned after training. {data}"
    return Table(title, columns, tuple(rows), (TEST_NOTE,), NAMES, KEYS) if rows else None


def _has(each: Group, part: str) -> bool:
    return any(part in run.analysis for run in each.runs.values())
