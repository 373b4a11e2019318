"""Analyses as aligned text: one row per figure, one column per network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]  # what `analyse` returns, with "test" (see compare.accuracies) beside the parts
Row = tuple[str, list[str]]

_MISSING = "-"
_RUNS = (("hard", "hard spikes"), ("surrogate", "surrogate"))


def table(results: Mapping[str, Result]) -> str:
    """All parts of the named analyses; a part or layer that a network does not have is shown as "-"."""
    found = list(results.values())
    rows: list[Row] = [("", list(results))]
    for part, lines in _PARTS.items():
        if any(part in result for result in found):
            rows += list(lines(found))
    width = max(len(label) for label, cells in rows if cells)
    columns = [max(len(cells[i]) for _, cells in rows if cells) for i in range(len(found))]
    return "\n".join(
        f"{label:<{width}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(cells, columns, strict=True))
        if cells
        else label
        for label, cells in rows
    )


def _row(label: str, results: Sequence[Result], show: Callable[[Any], str], *path: str | int) -> Row:
    """`show` of what each result holds at `path`, where it holds that."""
    cells = []
    for result in results:
        value: Any = result
        try:
            for key in path:
                value = value[key]
        except (KeyError, IndexError):
            cells.append(_MISSING)
        else:
            cells.append(show(value))
    return f"  {label}", cells


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _accuracy(results: Sequence[Result]) -> Iterator[Row]:
    yield "test accuracy", []
    for key, run in _RUNS:
        yield _row(run, results, _percent, "test", f"{key}_accuracy")
    yield _row("transfer gap", results, _percent, "test", "transfer_gap")


def _drop(results: Sequence[Result]) -> Iterator[Row]:
    yield "every event lost with probability p; mean and sd of the draws", []
    yield from _corruption(results, "drop", "p")


def _noise(results: Sequence[Result]) -> Iterator[Row]:
    yield "weights + sigma rms(W) N(0, 1); mean and sd of the draws", []
    yield from _corruption(results, "noise", "sigma")


def _corruption(results: Sequence[Result], part: str, symbol: str) -> Iterator[Row]:
    levels = max((r[part]["levels"] for r in results if part in r), key=len)
    for index, level in enumerate(levels):
        for key, run in _RUNS:

            def show(found: Any, key: str = key) -> str:
                sd = found[f"{key}_sd"]
                return _percent(found[key]) + ("" if sd is None else f" ± {100 * sd:.2f}")

            yield _row(f"{symbol} = {level['amount']:g}, {run}", results, show, part, "levels", index)


def _margins(results: Sequence[Result]) -> Iterator[Row]:
    yield "membranes with |u - theta| <= 0.2 (paper: baseline 4.8 %, SAST 2.3 %); sd of u - theta", []
    layers = max(len(r["margins"]["hard"]) for r in results if "margins" in r)

    def show(layer: Any) -> str:
        return f"{layer['share']:.2%}; {layer['sd']:.2f}"

    for key, run in _RUNS:
        for index in range(layers):
            yield _row(f"layer {index}, {run}", results, show, "margins", key, index)
        yield _row(f"all layers, {run}", results, _percent, "margins", f"{key}_share")


def _contraction(results: Sequence[Result]) -> Iterator[Row]:
    yield "contraction, over every state of the validation part (paper: gamma_hat < 1)", []
    states, pairs = ("contraction", "states"), ("contraction", "pairs")
    yield _row("gamma_hat, the largest", results, "{:.3f}".format, *states, "gamma")
    yield _row("states with gamma > 1", results, _percent, *states, "above_one")
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
    yield "thresholds re-tuned on the validation part, hard spikes", []

    def factors(values: Any) -> str:
        return " ".join(f"{factor:g}" for factor in values)

    yield _row("factor of each layer", results, factors, "thresholds", "factors")
    for split in ("validation", "test"):
        for when in ("before", "after"):
            label = f"{split} accuracy {when}"
            yield _row(label, results, _percent, "thresholds", f"{split}_{when}", "accuracy")
    yield _row("test: McNemar p", results, "{:.2g}".format, "thresholds", "test", "p")


_PARTS: Mapping[str, Callable[[Sequence[Result]], Iterator[Row]]] = {
    "test": _accuracy,
    "drop": _drop,
    "noise": _noise,
    "margins": _margins,
    "contraction": _contraction,
    "thresholds": _thresholds,
}
