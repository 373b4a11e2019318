"""What a compilation says: what is proved, what calibration gained, what stock NetX makes of the file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sast_deploy.base.text import percent
from sast_deploy.calibration import Calibrated, Score
from sast_deploy.compiler import Compilation
from sast_deploy.netx.file import NetFile
from sast_deploy.netx.stock_verdict import ZERO_RESET, StockVerdict, stock_verdict
from sast_deploy.show.blocks import Out, Table
from sast_deploy.show.inspection import proof_table


def print_compilation(
    net: NetFile, compilation: Compilation, calibrated: Calibrated | None, out: Out
) -> None:
    """What each calibration step did, what is proved, warnings and notes, and stock NetX's view."""
    if calibrated is not None:
        print_steps(calibrated, out)
    losses = [(layer.clipped_weights, layer.error) for layer in compilation.layers]
    out.print(proof_table([layer.proof for layer in compilation.layers], losses))
    out.print(*(f"warning: {warning}" for warning in compilation.warnings))
    out.print(*(f"note: {note}" for note in compilation.notes))
    for line in stock_lines(stock_verdict(net, [layer.proof for layer in compilation.layers])):
        out.print(line)
    out.print(f"program {net.program.digest()}")


def stock_lines(verdict: StockVerdict) -> list[str]:
    """What stock NetX makes of a file: one line, and one for everything that it would run otherwise."""
    if verdict.refused:
        first = "stock NetX refuses this file, which it would run otherwise; `sast-deploy simulate` runs it:"
        return [first, *(f"- {line}" for line in verdict.refused)]
    if not verdict.differences:
        return [f"note: stock NetX computes every membrane potential and spike: {verdict.call}"]
    lines = [f"note: stock NetX loads this file but runs it otherwise: {verdict.call}"]
    lines += [f"- {line}" for line in verdict.differences]
    if ZERO_RESET in verdict.differences:
        lines.append("`--strict-reset` writes a file that stock NetX refuses.")
    return lines


def compilation_facts(
    net: NetFile, compilation: Compilation, calibrated: Calibrated | None
) -> dict[str, Any]:
    """What --json says: digest, profile, what is proved of each weighted layer, warnings, notes, steps."""
    steps = None if calibrated is None else [
        {**vars(step), "before": _scored(step.before), "after": _scored(step.after)}
        for step in calibrated.steps
    ]  # fmt: skip
    layers = [{**asdict(each.proof), "clipped_weights": each.clipped_weights, "error": each.error}
              for each in compilation.layers]
    stock = stock_verdict(net, [each.proof for each in compilation.layers])
    return {
        "program_digest": net.program.digest(), "program": net.program.name,
        "arithmetic": asdict(net.program.arithmetic), "layers": layers, "warnings": compilation.warnings,
        "notes": compilation.notes,
        "stock_netx_loads": stock.loads, "stock_netx": asdict(stock), "calibration": steps,
    }  # fmt: skip


def _scored(score: Score | None) -> dict[str, Any] | None:
    return None if score is None else asdict(score)


def print_steps(result: Calibrated, out: Out) -> None:
    """One row per step: accuracy and loss on the judging samples, before and with it; whether it stays."""
    rows = []
    for step in result.steps:
        before, after = _cells(step.before), ("refused", "") if step.after is None else _cells(step.after)
        cells = (before[0], after[0], before[1], after[1], "yes" if step.kept else "no")
        rows.append((step.name, step.description, *cells, f"{step.seconds:.1f}"))
    title = f"calibration: fitted to {result.fitted:,} samples, judged on {result.chosen:,} others"
    columns = ("step", "what it does", "accuracy", "with it", "loss", "with it", "kept", "s")
    out.print(Table(title, columns, tuple(rows)))
    out.print(
        f"the trained network with hard spikes: {percent(result.wanted)} on these samples; the loss, "
        "which decides, is how far the integers' answers are from its own"
    )
    for step in result.steps:
        if step.refused:
            out.print(f"warning: step {step.name} was refused: {step.refused}")


def _cells(score: Score) -> tuple[str, str]:
    return percent(score.accuracy), f"{score.loss:.4g}"
