"""The first value in which an engine leaves the reference, and what led there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_deploy.engines.frames import Array
from sast_deploy.engines.reference import leak
from sast_deploy.program.fixedpoint import fit, shift
from sast_deploy.program.program import (
    CURRENT,
    NO_DECAY_FILTER,
    Dense,
    Program,
    SpikingLayer,
    layer_label,
    per_neuron,
)
from sast_deploy.program.record import SpikeRecord, first_unequal_state
from sast_deploy.program.sums import fan_in, layer_inputs

SHOWN_INPUTS = 8


@dataclass(frozen=True)
class Divergence:
    """Where two traces first differ, in the order sample, step, layer, neuron.

    number: of the layer among the spiking ones. expected, found: (membrane potential, spike).
    """

    sample: int
    step: int
    number: int
    neuron: int
    expected: tuple[int, int]
    found: tuple[int, int]


def first_divergence(expected: SpikeRecord, found: SpikeRecord) -> Divergence | None:
    """The first membrane potential or spike in which `found` is not `expected`; both have traces."""
    for place in first_unequal_state(expected, found):
        return Divergence(*place, _value(expected, *place), _value(found, *place))
    return None


def explain(
    program: Program, frames: Array, reference: SpikeRecord, at: Divergence, engine: str
) -> list[str]:
    """Lines for a person: both values, the inputs of that step, and the rule's arithmetic with numbers."""
    index, layer = list(program.spiking())[at.number]
    spikes = [trace.spikes[at.sample : at.sample + 1] for trace in reference.traces or ()]
    train = layer_inputs(program, frames[at.sample : at.sample + 1], spikes)[index][0]
    lines = [
        f"first difference: sample {at.sample}, step {at.step}, {layer_label(index, layer)}, "
        f"neuron {_place(program.shapes()[index + 1], at.neuron)}",
        f"  reference: membrane {at.expected[0]}, spike {at.expected[1]}",
        f"  {engine}: membrane {at.found[0]}, spike {at.found[1]}",
    ]
    synapses = fan_in(layer, program.shapes()[index], at.neuron)
    flat = train.reshape(len(train), -1)
    active = [
        (j, w, d, int(flat[at.step - d, j])) for j, w, d in synapses if at.step >= d and flat[at.step - d, j]
    ]
    lines.append(f"  inputs that are not 0 in this step: {len(active)} of {len(synapses)}")
    strongest = sorted(active, key=lambda synapse: -abs(synapse[1] * synapse[3]))
    for j, weight, delay, x in strongest[:SHOWN_INPUTS]:
        late = f", sent {delay} steps before" if delay else ""
        lines.append(
            f"    input {_place(program.shapes()[index], j)}: {x} x weight {weight} = {x * weight}{late}"
        )
    if len(active) > SHOWN_INPUTS:
        rest = sum(w * x for _, w, _, x in strongest[SHOWN_INPUTS:])
        lines.append(f"    and {len(active) - SHOWN_INPUTS} smaller ones: {rest}")
    sums = [sum(w * int(flat[t - d, j]) for j, w, d in synapses if t >= d) for t in range(at.step + 1)]
    if isinstance(layer, Dense) and layer.recurrent is not None:
        back = spikes[at.number][0, : at.step].astype(np.int64) @ layer.recurrent[at.neuron]
        sums = [a + int(own) for a, own in zip(sums, [0, *back], strict=True)]
    return lines + _arithmetic(program, layer, at, sums, reference)


def _arithmetic(
    program: Program, layer: SpikingLayer, at: Divergence, sums: list[int], reference: SpikeRecord
) -> list[str]:
    """The neuron's step by the rule, with Python integers, from the reference's state of the step before.

    sums: a_t of the neuron for every step up to the divergence.
    """
    rules, neurons = program.arithmetic, reference.counts[at.number].shape[1]
    bias, vth, v_decay, u_decay = (
        int(per_neuron(values, neurons)[at.neuron])
        for values in (layer.bias, layer.vth, layer.v_decay, layer.u_decay)
    )
    arriving = [shift(a, layer.weight_exp, rules.shift_rounding) for a in sums]
    current, cleared = 0, True
    for t, c in enumerate(arriving):
        cleared = program.clears(layer, t)
        left = 0 if cleared else leak(current, u_decay, rules.leak_rounding)
        current = c if u_decay == NO_DECAY_FILTER else fit(left + c, CURRENT, "wrap")
    u, s = (0, 0) if cleared else _value(reference, at.sample, at.step - 1, at.number, at.neuron)
    reset = s * (u if rules.reset == "zero" else vth)
    late = reset if rules.reset_rule == "subtract after-leak" else 0
    kept = leak(u - (reset - late), v_decay, rules.leak_rounding)
    total = kept + current + bias - late
    after = fit(total, rules.state, rules.overflow)
    fires = int(after >= vth if rules.comparison == ">=" else after > vth)
    return [
        f"  weighted sum {sums[-1]}, times 2**{layer.weight_exp}: {arriving[-1]}; "
        f"current {current}; bias {bias}",
        f"  the step before: membrane {u}, spike {s}; "
        f"threshold {vth}, reset {rules.reset_rule}, decay {v_decay}/4096",
        f"  by the rule: {kept} + {current} + {bias} - {late} = {total}, in {rules.state} {after}; "
        f"{after} {rules.comparison} {vth}: spike {fires}",
    ]


def _value(record: SpikeRecord, sample: int, step: int, number: int, neuron: int) -> tuple[int, int]:
    trace = (record.traces or ())[number]
    return int(trace.membrane[sample, step, neuron]), int(trace.spikes[sample, step, neuron])


def _place(shape: tuple[int, ...], i: int) -> str:
    """A neuron's number, with channel, row and column where it has them."""
    if len(shape) == 1:
        return str(i)
    return f"{i} (" + ", ".join(str(int(k)) for k in np.unravel_index(i, shape)) + ")"
