"""Tables of what the analyses found: event drop, weight noise, membrane margins, contraction, thresholds."""

from __future__ import annotations

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.groups import Group, baseline_of
from sast_deploy.studies.tables.paper import DROP, NMNIST, WITHIN, paper_set
from sast_deploy.studies.tables.table import NOTHING, TEST_NOTE, Row, difference, head, percent, spread, table
from sast_deploy.studies.tables.values import disturbed, figure

_WORDS = {
    "drop": ("Event drop: hard-spike accuracy % where each event is lost with probability p", "p"),
    "noise": ("Weight noise: hard-spike accuracy % with noise of σ times each layer's rms weight", "σ"),
}


def disturbance_table(part: str, data: str, groups: tuple[Group, ...]) -> Table | None:
    """Accuracy over the strength of a disturbance ("drop" or "noise"), the paper's beside it."""
    amounts = sorted({amount for each in groups for amount in amounts_of(part, each)})
    title, symbol = _WORDS[part]

    def row(each: Group) -> Row:
        against = difference(each, baseline_of(each, groups), disturbed(part, amounts[-1]))
        return [
            *head(each, groups),
            *((f"{symbol} = {amount:g}", _with_paper(part, each, amount)) for amount in amounts),
            (f"against baseline at {amounts[-1]:g}", against),
        ]

    notes = ("in brackets the paper's", TEST_NOTE) if part == "drop" else (TEST_NOTE,)
    return table(f"{title}. {data}", [row(each) for each in groups if amounts_of(part, each)], notes)


def amounts_of(part: str, each: Group) -> tuple[float, ...]:
    """The strengths at which a group was measured."""
    runs = (run.analysis.get(part) or {} for run in each.runs.values())
    return tuple(sorted({float(level["amount"]) for found in runs for level in found.get("levels", [])}))


def _with_paper(part: str, each: Group, amount: float) -> str:
    text = percent(each, disturbed(part, amount))
    paper = DROP[each.rho > 0].get(amount) if part == "drop" and paper_set(each) == NMNIST else None
    return f"{text} ({100 * paper:.1f})" if paper else text


def membrane_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Share of membranes close to threshold, the contraction proxy, and firing rates."""
    measured = [each for each in groups if _has(each, "margins") or _has(each, "contraction")]
    runs = (run.float or {} for each in measured for run in each.runs.values())
    layers = max((len(found.get("hard_rates", [])) for found in runs), default=0)
    shares, states = ("analysis", "margins"), ("analysis", "contraction", "states")

    def row(each: Group) -> Row:
        paper = f"{100 * WITHIN[each.rho > 0]:.1f}" if paper_set(each) == NMNIST else NOTHING
        rates = [figure("float", "hard_rates", layer) for layer in range(layers)]
        return [
            *head(each, groups),
            ("within ±0.2, smooth %", percent(each, figure(*shares, "surrogate_share"))),
            ("hard %", percent(each, figure(*shares, "hard_share"))),
            ("paper %", paper),
            ("γ̂", spread(each, figure(*states, "gamma"), 1.0, 2)),
            ("states with γ > 1 %", percent(each, figure(*states, "above_one"))),
            ("paper's γ̂", "< 1"),
            *((f"rate of layer {n}, hard", spread(each, rate, 1.0, 3)) for n, rate in enumerate(rates)),
        ]

    note = "γ̂ = α + max θ · max |σ'(u − θ)| over all visited states (a full validation pass)"
    return table(f"Membranes. {data}", map(row, measured), (note,))


def threshold_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """What thresholds tuned after training, on validation samples, gain on the test split."""
    part = ("analysis", "thresholds")
    before, after = (figure(*part, f"test_{when}", "accuracy") for when in ("before", "after"))

    def row(each: Group) -> Row:
        tried = max((run.analysis.get("thresholds") or {}).get("tried", 0) for run in each.runs.values())
        return [
            *head(each, groups),
            ("hard %", percent(each, before)),
            ("hard, thresholds tuned %", percent(each, after)),
            ("gain", difference(each, each, after, before)),
            ("settings tried, at most", str(tried)),
        ]

    rows = [row(each) for each in groups if _has(each, "thresholds")]
    return table(f"Control: thresholds tuned after training. {data}", rows, (TEST_NOTE,))


def _has(each: Group, part: str) -> bool:
    return any(part in run.analysis for run in each.runs.values())
