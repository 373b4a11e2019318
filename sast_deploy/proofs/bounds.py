"""What can be proved of an integer program before it runs, from its weights and its input's range alone.

Weighted sums. Inputs lie in x_min..x_max, 0 among them, so with the sums N of the negative and P of the
positive W_ij, a_i lies in x_max N + x_min P .. x_max P + x_min N; both ends are reached, and every partial
sum in any order lies between them.

Membrane potentials. Intervals that hold all values at every step; see intervals.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Dense,
    Int32Array,
    Program,
    Readout,
    Shape,
    SpikingLayer,
    layer_label,
    per_neuron,
)
from sast_deploy.program.sums import Weighted, integrated_reach, leaky_reach, weighted_layers, weighted_sums
from sast_deploy.proofs.intervals import Growth, Integration, Interval, firing_limit

SETTLING = 64  # steps beyond the program's own in which a bound may settle and so hold for any number
GROWTH = 30_000_000  # neurons times steps (a step costs as much as BUSY neurons, or more) that may be grown
BUSY = 1000
INT64_BITS = 63  # of a magnitude


@dataclass(frozen=True, eq=False)
class NeuronBounds:
    """Bounds of every output of one weighted layer, C, H, W order.

    sums: weighted sums a_t. membrane: u_t before fit; state: after it; current: c_t before its wrap.
    Of a readout m_t is both membrane and state; where it is a plain sum over time, all three are empty.
    settled: they hold for any number of steps, not only the program's. int64, or what 64 bits may not hold as
    Python integers.
    """

    sums: Interval
    membrane: Interval
    state: Interval
    current: Interval
    settled: bool


@dataclass(frozen=True)
class LayerProof:
    """What is proved of one weighted layer.

    name: "layer 0 (dense)". low, high: the exact worst-case weighted sum over all neurons.
    accumulator_bits: the signed width that holds it, shifted left where the exponent says so.
    membrane: lowest and highest membrane potential before saturation, empty for sums over time.
    saturating, wrapping, silent: neurons whose membrane may saturate (or wrap, under that rule), whose
    filtered current may wrap, that can never fire; all others are proved not to. settled: for any number
    of steps. zero_weights: share of weights that are 0. vth: smallest, median, largest threshold.
    """

    index: int
    name: str
    shape: Shape
    neurons: int
    exponent: int
    low: int
    high: int
    accumulator_bits: int
    membrane: tuple[int, ...] = ()
    saturating: int = 0
    wrapping: int = 0
    silent: int = 0
    settled: bool = True
    zero_weights: float = 0.0
    vth: tuple[int, ...] = ()


def prove(program: Program, known: dict[int, NeuronBounds] | None = None) -> tuple[LayerProof, ...]:
    """The proofs of every weighted layer, in order. known: the program's bounds, if they are at hand."""
    bounds = bound_neurons(program) if known is None else known
    return tuple(_proof(program, index, layer, bounds[index]) for index, layer in weighted_layers(program))


def bound_neurons(program: Program) -> dict[int, NeuronBounds]:
    """Bounds of every weighted layer, by its index in `program.layers`."""
    shapes, ranges, found = program.shapes(), program.input_ranges(), {}
    for index, layer in weighted_layers(program):
        sums = _sums(layer, shapes[index], ranges[index])
        if isinstance(layer, Readout):
            found[index] = _integrated(layer, sums, program.arithmetic, program.steps)
        else:
            found[index] = _membranes(layer, sums, program.arithmetic, program.steps)
    return found


def states_at_the_ends(program: Program, membranes: Sequence[npt.NDArray[np.int32]]) -> list[int | None]:
    """How many membrane potentials of each spiking layer lie at an end of their range; None where they wrap.

    Every saturated one does; one that came to lie there by chance counts too.
    """
    form, overflow = program.arithmetic.state, program.arithmetic.overflow
    lowest = form.lowest(overflow)
    if overflow == "wrap":
        return [None] * len(membranes)
    return [int(((u == lowest) | (u == form.high)).sum()) for u in membranes]


def signed_bits(low: int, high: int) -> int:
    """The width of the narrowest two's-complement format that holds both."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


def _sums(layer: Weighted, in_shape: Shape, reach: tuple[int, int]) -> Interval:
    ones, (smallest, largest) = np.ones((1, *in_shape), np.int64), reach
    falling, rising = (weighted_sums(layer, ones, part).ravel() for part in _signs(layer.weight))
    low, high = falling * largest + rising * smallest, rising * largest + falling * smallest
    recurrent = layer.recurrent if isinstance(layer, Dense) else None
    if recurrent is not None:
        negative, positive = _signs(recurrent)
        low, high = low + negative.sum(axis=1), high + positive.sum(axis=1)
    return Interval(low, high)


def _signs(weight: Int32Array) -> tuple[Int32Array, Int32Array]:
    """The negative and the positive part."""
    return np.minimum(weight, 0), np.maximum(weight, 0)


def _membranes(layer: SpikingLayer, sums: Interval, rules: Arithmetic, steps: int) -> NeuronBounds:
    growth = Growth(layer, sums, rules)
    affordable = GROWTH // max(len(sums.low), BUSY)
    if any(not growth.grow() for _ in range(min(steps, affordable))):
        return _bounds(growth, sums, settled=True)
    if steps > affordable:
        growth.widen()
        growth.grow()
        return _bounds(growth, sums, settled=True)
    within = _bounds(growth, sums, settled=False)
    settled = any(not growth.grow() for _ in range(SETTLING))
    ever = _bounds(growth, sums, settled=True)
    return ever if settled and _overflows(ever, rules) == _overflows(within, rules) else within


def _integrated(layer: Readout, sums: Interval, rules: Arithmetic, steps: int) -> NeuronBounds:
    """Of a readout; where too many steps or 64 bits do not let it grow, what bounds every class alike."""
    none = Interval(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if layer.sums:
        return NeuronBounds(sums, none, none, none, True)
    largest = max(-int(sums.low.min()), int(sums.high.max()), 0)
    arriving = (largest << max(layer.weight_exp, 0)) + 1  # by its rounding
    reach = integrated_reach(layer, arriving, steps)
    if steps <= GROWTH // max(len(sums.low), BUSY) and reach.bit_length() + LEAK_BITS < INT64_BITS:
        growth = Integration(layer, sums, rules)
        settled = any(not growth.grow() for _ in range(steps))
        return _bounds(growth, sums, settled)
    most = leaky_reach(arriving, int(layer.u_decay.min()), steps)
    reached, filtered = (np.full(len(sums.low), each, object) for each in (reach, most))
    membrane = Interval(-reached, reached)
    return NeuronBounds(sums, membrane, membrane, Interval(-filtered, filtered), settled=False)


def _overflows(bounds: NeuronBounds, rules: Arithmetic) -> tuple[int, int]:
    """How many neurons may leave the format of the state, and that of a filtered current."""
    membrane, current = bounds.membrane.leaves(rules.state, rules.overflow), bounds.current
    return int(membrane.sum()), int(current.leaves(CURRENT, "wrap").sum())


def _bounds(growth: Growth, sums: Interval, settled: bool) -> NeuronBounds:
    return NeuronBounds(sums, growth.membrane, growth.state, growth.current, settled)


def _proof(program: Program, index: int, layer: Weighted, bounds: NeuronBounds) -> LayerProof:
    low, high, left = int(bounds.sums.low.min()), int(bounds.sums.high.max()), max(layer.weight_exp, 0)
    neurons, bits, zeros = len(bounds.sums.low), signed_bits(low << left, high << left), [layer.weight == 0]
    if isinstance(layer, Dense) and layer.recurrent is not None:
        zeros.append(layer.recurrent == 0)
    proof = LayerProof(
        index, layer_label(index, layer), layer.weight.shape, neurons, layer.weight_exp, low, high, bits,
        zero_weights=float(np.hstack([each.ravel() for each in zeros]).mean()),
    )  # fmt: skip
    if isinstance(layer, Readout) and layer.sums:
        return proof
    rules, filtered = program.arithmetic, per_neuron(layer.u_decay, neurons) < NO_DECAY_FILTER
    proof = replace(
        proof,
        membrane=(int(bounds.membrane.low.min()), int(bounds.membrane.high.max())),
        wrapping=int((bounds.current.leaves(CURRENT, "wrap") & filtered).sum()),
        settled=bounds.settled,
    )
    if isinstance(layer, Readout):
        return proof
    return replace(
        proof,
        saturating=int(bounds.membrane.leaves(rules.state, rules.overflow).sum()),
        silent=int((bounds.state.high < firing_limit(layer, rules, neurons)).sum()),
        vth=tuple(int(v) for v in (layer.vth.min(), np.median(layer.vth), layer.vth.max())),
    )
