"""Name the rule that an engine breaks, from the trace it left.

Each rule of profiles/README.md has mutants here: the mistakes people make. A mutant explains an engine if
every step of every layer that breaks the true rule follows, by the mutated rule, from the engine's own
membrane potentials and spikes of the step before and from its own inputs. Everything is recomputed with
arrays, apart from the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sast_deploy.engines.frames import Array
from sast_deploy.program.fixedpoint import OVERFLOWS, RESET_ORDERS, ROUNDINGS, Arithmetic, shift_array
from sast_deploy.program.program import Program, Readout
from sast_deploy.program.record import SpikeRecord
from sast_deploy.program.sums import Int64Array, layer_inputs, sums_over_time
from sast_deploy.verification.mutants import Mutant, layer_views


def diagnose(
    program: Program, frames: Array, record: SpikeRecord, lanes: tuple[int, ...] = (1,)
) -> tuple[str, ...]:
    """Names of all mutants that explain the record of an engine that ran `frames`; empty where none does.

    lanes: how many samples apart one neuron state may have served two samples, in a batched engine.
    """
    views = layer_views(program, frames, record)
    truth = Mutant("", program.arithmetic)
    broken = [view for view in views if not view.obeys(truth)]
    if not broken:
        return tuple(_readout_mutants(program, frames, record))
    found = [m.name for m in mutants(program, lanes) if all(view.obeys(m) for view in broken)]
    return tuple(dict.fromkeys(found))


def unseen(
    program: Program, frames: Array, record: SpikeRecord, lanes: tuple[int, ...] = (1,)
) -> tuple[str, ...]:
    """Names of the mutants that a right engine's `record` of these frames could not tell from the rules."""
    views = layer_views(program, frames, record)
    seen: dict[str, bool] = {}
    for mutant in mutants(program, lanes):
        seen[mutant.name] = seen.get(mutant.name, False) or not all(view.obeys(mutant) for view in views)
    return tuple(name for name, found in seen.items() if not found)


def mutants(program: Program, lanes: tuple[int, ...]) -> Iterator[Mutant]:
    """Every mistake that has a name."""
    rules = program.arithmetic
    for name, other in _other_rules(rules):
        yield Mutant(name, other)
    yield Mutant("no saturation", rules, unlimited=True)
    if rules.reset == "subtract":
        yield Mutant("reset one step early", rules, one_early=True)
        if rules.reset_order == "after-leak":
            yield Mutant("saturation before the reset", rules, fit_first=True)
            yield Mutant("saturation before the reset", rules, fit_first=True, fit_again=True)
    yield Mutant("kernel axes swapped", rules, swapped=True)
    yield Mutant("bias filtered by the current decay", rules, filtered_bias=True)
    for apart in lanes:
        for membrane, spike, what in (
            (0, 1, "remembered spike"),
            (1, 0, "membrane potential"),
            (1, 1, "state"),
        ):
            name = f"{what} not cleared between samples"
            yield Mutant(name, rules, keeps_membrane=bool(membrane), keeps_spike=bool(spike), lanes=apart)


def _other_rules(rules: Arithmetic) -> Iterator[tuple[str, Arithmetic]]:
    for rounding in ROUNDINGS:
        if rounding != rules.leak_rounding:
            other = replace(rules, leak_rounding=rounding)
            yield f"leak rounded {rounding} instead of {rules.leak_rounding}", other
        if rounding != rules.shift_rounding:
            other = replace(rules, shift_rounding=rounding)
            yield f"weighted sums rounded {rounding} instead of {rules.shift_rounding}", other
    for overflow in OVERFLOWS:
        if overflow != rules.overflow:
            yield f"{overflow} instead of {rules.overflow}", replace(rules, overflow=overflow)
    comparison = ">" if rules.comparison == ">=" else ">="
    yield f"{comparison} instead of {rules.comparison}", replace(rules, comparison=comparison)
    if rules.reset == "zero":
        for order in RESET_ORDERS:
            yield "reset by subtraction", replace(rules, reset="subtract", reset_order=order)
        return
    yield "reset to zero", replace(rules, reset="zero", reset_order="after-leak")
    for order, name in (("after-leak", "reset after the leak"), ("before-leak", "reset before the leak")):
        if order != rules.reset_order:
            yield name, replace(rules, reset_order=order)


def _readout_mutants(program: Program, frames: Array, record: SpikeRecord) -> Iterator[str]:
    """Mistakes after the last spike: the neurons obey the rules, counts or logits do not."""
    traces = record.traces or ()
    sums = zip(record.counts, traces, strict=True)
    if any(not np.array_equal(c, t.spikes.sum(axis=1)) for c, t in sums):
        yield "spike counts that are not the sums of the engine's own spikes"
    layer, rules = program.layers[-1], program.arithmetic
    if isinstance(layer, Readout):
        train = layer_inputs(program, frames, [trace.spikes for trace in traces])[len(program.layers) - 1]
        sums_t, bias = sums_over_time(layer, train, layer.weight), layer.bias.astype(np.int64)
        whole = program.steps * bias

        def scaled(values: Int64Array, rounding: str = rules.shift_rounding) -> Int64Array:
            return shift_array(values, layer.weight_exp, rounding)

        if not np.array_equal(record.logits, scaled(sums_t).sum(axis=1) + whole):
            candidates = [("readout bias added once", scaled(sums_t).sum(axis=1) + bias)]
            candidates.append(("readout shifted once, after all steps", scaled(sums_t.sum(axis=1)) + whole))
            for other in ROUNDINGS:
                name = f"readout sums rounded {other} instead of {rules.shift_rounding}"
                candidates.append((name, scaled(sums_t, other).sum(axis=1) + whole))
            yield from (name for name, logits in candidates if np.array_equal(record.logits, logits))
