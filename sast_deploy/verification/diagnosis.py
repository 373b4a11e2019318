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
from sast_deploy.program.fixedpoint import OVERFLOWS, RESET_ORDERS, ROUNDINGS, Arithmetic
from sast_deploy.program.program import Program, Readout
from sast_deploy.program.record import SpikeRecord
from sast_deploy.program.sums import readout_sums
from sast_deploy.verification.integrators import ReadoutMutant, readout_mutants
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
        return tuple(_after_the_spikes(program, frames, record, lanes))
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
    if isinstance(program.layers[-1], Readout):
        sums = readout_sums(program, frames, [trace.spikes for trace in record.traces or ()])
        for each in readout_mutants(program, lanes):
            differs = not np.array_equal(record.logits, each.logits(sums))
            seen[each.name] = seen.get(each.name, False) or differs
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


def _after_the_spikes(
    program: Program, frames: Array, record: SpikeRecord, lanes: tuple[int, ...]
) -> Iterator[str]:
    """Mistakes after the last spike: the neurons obey the rules, counts or logits do not."""
    pairs = zip(record.counts, record.traces or (), strict=True)
    if any(not np.array_equal(counts, trace.spikes.sum(axis=1)) for counts, trace in pairs):
        yield "spike counts that are not the sums of the engine's own spikes"
    layer = program.layers[-1]
    if isinstance(layer, Readout):
        sums = readout_sums(program, frames, [trace.spikes for trace in record.traces or ()])
        if not np.array_equal(record.logits, ReadoutMutant("", layer, program.arithmetic).logits(sums)):
            mutants = readout_mutants(program, lanes)
            explaining = (m.name for m in mutants if np.array_equal(record.logits, m.logits(sums)))
            yield from dict.fromkeys(explaining)
