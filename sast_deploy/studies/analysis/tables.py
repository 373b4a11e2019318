"""Analyses as tables: one for each part, one row per figure, one column per network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sast_deploy.base.text import percent
from sast_deploy.show.blocks import Out, Table
from sast_deploy.studies.analysis.duel import Duel

Result = Mapping[str, Any]  # what `analyse` returns, with "test" (see duel.accuracies) beside the parts
Row = tuple[str, list[str]]

_MISSING = "-"
FORWARDS = (("hard", "hard spikes"), ("surrogate", "surrogate"))


def tables(results: Mapping[str, Result]) -> tuple[Table, ...]:
    """A table for each part; what a network does not have is shown as "-", and left out where none has it."""
    found = list(results.values())
    samples = " / ".join(dict.fromkeys(str(each["test"]["samples"]) for each in found if "test" in each))
    made = []
    for part, (title, lines) in _PARTS.items():
        if any(part in result for result in found):
            rows = tuple((label, *cells) for label, cells in lines(found) if {*cells} != {_MISSING})
            made.append(Table(title.format(samples=samples or "the"), ("", *results), rows, left=1))
    return tuple(made)


def _row(label: str, results: Sequence[Result], show: Callable[[Any], str], *path: str | int) -> Row:
    """`show` of what each result holds at `path`, where it holds that."""
    cells = []
    for result in results:
        value: Any = result
        try:
            for key in path:
                value = value[key]
        except (KeyError, IndexError, TypeError):  # of None
            value = None
        cells.append(_MISSING if value is None else show(value))
    return label, cells


def _accuracy(results: Sequence[Result]) -> Iterator[Row]:
    for key, run in FORWARDS:
        yield _row(run, results, percent, "test", f"{key}_accuracy")
    yield _row("transfer gap", results, percent, "test", "transfer_gap")


def _corruption(results: Sequence[Result], part: str, symbol: str) -> Iterator[Row]:
    levels = max((r[part]["levels"] for r in results if part in r), key=len)
    for index, level in enumerate(levels):
        for key, run in FORWARDS:

            def show(found: Any, key: str = key) -> str:
                if found[key] is None:
                    return _MISSING
                sd = found[f"{key}_sd"]
                return percent(found[key]) + ("" if sd is None else f" ± {percent(sd)}")

            yield _row(f"{symbol} = {level['amount']:g}, {run}", results, show, part, "levels", index)


def _margins(results: Sequence[Result]) -> Iterator[Row]:
    layers = max(len(r["margins"]["hard"]) for r in results if "margins" in r)

    def show(layer: Any) -> str:
        return f"{percent(layer['share'])}; {layer['sd']:.2f}"

    for key, run in FORWARDS:
        for index in range(layers):
            yield _row(f"layer {index}, {run}", results, show, "margins", key, index)
        yield _row(f"all layers, {run}", results, percent, "margins", f"{key}_share")


def _contraction(results: Sequence[Result]) -> Iterator[Row]:
    states, pairs = ("contraction", "states"), ("contraction", "pairs")
    yield _row("gamma_hat, the largest", results, "{:.3f}".format, *states, "gamma")
    yield _row("states with gamma > 1", results, percent, *states, "above_one")
    layers = max(len(r["contraction"]["states"]["layers"]) for r in results if "contraction" in r)
    for index in range(layers):
        layer = (*states, "layers", index)
        yield _row(f"layer {index}: gamma at 50, 99, 99.9 %", results, _quantiles, *layer, "quantiles")
        label = f"layer {index}: geometric mean of |du'/du|"
        yield _row(label, results, lambda log: f"{math.exp(log):.3f}", *layer, "log_carry")
    yield _row("state bound", results, _verdict, *states, "state_bound_holds")
    yield _row("largest |D logits| / |D input| found", results, "{:.1f}".format, *pairs, "worst")
    yield _row("bound on it from the weights", results, "{:.2g}".format, *pairs, "bound", "constant")
    yield _row("bound, whole and layer by layer", results, _verdict, *pairs, "holds")


def _quantiles(values: Sequence[float]) -> str:
    middle, _, high, higher = values
    return f"{middle:.2f} {high:.2f} {higher:.2f}"


def _verdict(holds: bool) -> str:
    return "holds" if holds else "VIOLATED"


def _thresholds(results: Sequence[Result]) -> Iterator[Row]:
    def factors(values: Any) -> str:
        return " ".join(f"{factor:g}" for factor in values)

    yield _row("factor of each layer", results, factors, "thresholds", "factors")
    for split in ("validation", "test"):
        for when in ("before", "after"):
            label = f"{split} accuracy {when}"
            yield _row(label, results, percent, "thresholds", f"{split}_{when}", "accuracy")
    yield _row("test: McNemar p", results, "{:.2g}".format, "thresholds", "test", "p")


# The title of each part's table, with the number of test samples, and its rows.
_PARTS: Mapping[str, tuple[str, Callable[[Sequence[Result]], Iterator[Row]]]] = {
    "test": ("accuracy on {samples} test samples", _accuracy),
    "drop": (
        "every event of {samples} test samples lost with probability p; mean and sd of the draws",
        partial(_corruption, part="drop", symbol="p"),
    ),
    "noise": (
        "weights + sigma rms(W) N(0, 1) on {samples} test samples; mean and sd of the draws",
        partial(_corruption, part="noise", symbol="sigma"),
    ),
    "margins": (
        "membranes with |u - theta| <= 0.2 on {samples} test samples (paper: baseline 4.8 %, SAST 2.3 %); "
        "sd of u - theta",
        _margins,
    ),
    "contraction": (
        "contraction, over every state of the validation part (paper: gamma_hat < 1)", _contraction,
    ),
    "thresholds": (
        "thresholds re-tuned on the validation part, hard spikes; tested on {samples} test samples",
        _thresholds,
    ),
}  # fmt: skip


def print_analyses(
    results: Mapping[str, Result],
    comparisons: Sequence[Duel],
    apart: Sequence[tuple[str, str]],
    out: Out,
) -> list[str]:
    """Print a table of each part and every comparison; the names of those that violate a bound."""
    for table in tables(results):
        out.print(table, "")
    for comparison in comparisons:
        out.print(*comparison.lines())
    for a, b in apart:
        out.print(f"{a} - {b}: not tested on the same recordings, so not compared")
    violated = [
        name for name, found in results.items() if not found.get("contraction", {}).get("holds", True)
    ]
    for name in violated:
        out.print(f"VIOLATED: a bound that must hold does not hold for {name}")
    return violated
