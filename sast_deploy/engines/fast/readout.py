"""The readout: its plan, and the kernels that run it over a tile of samples, all steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.base.errors import CompileError
from sast_deploy.engines.fast.bounds import Widths, choose_widths, largest_intermediate, largest_sum
from sast_deploy.engines.fast.events import ROWS, add_rows, find_nonzeros
from sast_deploy.engines.fast.neurons import (
    BIAS,
    BINARY,
    FILTERED,
    KEEP,
    KEEP_CURRENT,
    LEAK_BELOW,
    LEAK_EVEN,
    LEAK_HALF,
    LEFT,
    RIGHT,
    filter_current,
    rule_constants,
    scale,
)
from sast_deploy.engines.fast.tables import SPIKES, Array, Inputs, input_order, weight_rows
from sast_deploy.program.program import (
    DECODINGS,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Program,
    Readout,
    layer_label,
    per_neuron,
)
from sast_deploy.program.sums import readout_reach

LAST, MAX, MEAN = range(len(DECODINGS))


@dataclass(frozen=True, eq=False)
class ReadoutPlan:
    """The readout.

    arriving: what no weighted sum exceeds after its shift. vectors: int64 (5, classes), rows as neurons.py
    has them; those of spikes are 0.
    """

    layer: Readout
    arriving: int
    widths: Widths
    weight: Array
    partial: Array
    vectors: Array
    rules: Array

    @cached_property
    def sums(self) -> bool:
        """As the layer says, asked for once: a sample is classified in the time of ten such questions."""
        return self.layer.sums

    def check(self, steps: int, where: str) -> None:
        """CompileError where 64 bits may not hold what so many steps add up to."""
        needed, most = readout_reach(self.layer, self.arriving, steps), np.iinfo(np.int64).max
        if needed > most:
            what = f"intermediate results reach {needed} in {steps} steps"
            raise CompileError(what, where=where, expected=f"at most {most}")


def plan_readout(program: Program, index: int, inputs: Inputs) -> ReadoutPlan:
    """The plan of the last layer.

    Raises:
        CompileError: 64 bits may not hold an intermediate result of the program's steps.
    """
    layer, in_shape = program.layers[index], program.shapes()[index]
    assert isinstance(layer, Readout)
    label = layer_label(index, layer)
    widths = choose_widths(layer, inputs.x_max, program.arithmetic, label, inputs.low < 0)
    weight = weight_rows([input_order(layer.weight, in_shape, index == 0).T], widths)
    rules = rule_constants(program.arithmetic, layer.weight_exp)
    rules[BINARY], rules[FILTERED] = inputs == SPIKES, (layer.u_decay != NO_DECAY_FILTER).any()
    vectors = np.zeros((KEEP_CURRENT + 1, len(layer.weight)), np.int64)
    vectors[BIAS] = layer.bias
    for row, decay in ((KEEP, layer.v_decay), (KEEP_CURRENT, layer.u_decay)):
        vectors[row] = NO_DECAY_FILTER - per_neuron(decay, len(layer.weight))
    arriving = largest_intermediate(layer, largest_sum(layer, inputs.x_max), program.arithmetic)
    plan = ReadoutPlan(layer, arriving, widths, weight, np.empty(0, widths.partial), vectors, rules)
    plan.check(program.steps, label)
    return plan


def read_out(plan: ReadoutPlan, x: Array, logits: npt.NDArray[np.int64]) -> None:
    """logits (samples, classes) <- what the inputs x (samples, T, size) make of them."""
    layer, total = plan.layer, np.empty(plan.weight.shape[1], plan.widths.total)
    limit, delay = plan.widths.partial_inputs, int(layer.delay[0])
    common = (x, plan.weight, plan.partial, total, delay, limit, plan.rules)
    if plan.sums:
        run_sums(*common, plan.vectors[BIAS], logits)
    else:
        run_integrators(*common, plan.vectors, DECODINGS.index(layer.decoding), logits)


@compiled(error_model="numpy")
def run_sums(
    x: Any, weight: Any, partial: Any, total: Any, delay: int, limit: int, rules: Any, bias: Any, logits: Any
) -> int:  # pragma: no cover
    """logits <- sum over t of shift(W x_(t - delay), weight_exp) + bias; the number of nonzero inputs.

    x: (samples, T, size). total: scratch (lanes,). bias: int64 (classes,). logits: (samples, classes), out.
    """
    samples, steps, size = x.shape
    classes, binary = len(bias), rules[BINARY]
    busy, rows = np.empty(size, np.int32), np.empty(size + ROWS, np.int32)
    values, sums = np.empty(size + ROWS, partial.dtype), np.empty(len(total), partial.dtype)
    summed, wide = np.empty(size, np.int64), np.empty(len(total), np.int64)
    found = 0
    for sample in range(samples):
        logits[sample] = 0
        if rules[RIGHT] == 0:  # without rounding, the sum over time may come first
            summed[:] = 0
            for t in range(steps - delay):
                for j in range(size):
                    summed[j] += x[sample, t, j]
            wide[:] = 0
            for j in range(min(size, len(weight) - 1)):  # not the padding
                found += summed[j] != 0
                for k in range(len(total)):
                    wide[k] += summed[j] * weight[j, k]
            for k in range(classes):
                logits[sample, k] = (wide[k] << rules[LEFT]) + steps * bias[k]
            continue
        for t in range(steps):
            n = find_nonzeros(x[sample, t - delay], busy, rows) if t >= delay else 0
            found += n
            for i in range(0 if binary else n):
                values[i] = x[sample, t - delay, rows[i]]
            add_rows(rows, values, n, weight, sums, total, 0, limit, binary)
            scale(total, 0, classes, rules)
            for k in range(classes):
                logits[sample, k] += total[k] + bias[k]
    return found


@compiled(error_model="numpy")
def run_integrators(
    x: Any, weight: Any, partial: Any, total: Any, delay: int, limit: int, rules: Any, vectors: Any,
    decoding: int, logits: Any,
) -> None:  # pragma: no cover
    """logits <- the last, the largest or the sum of m_t = leak(m_(t - 1)) + c_t + bias of every class.

    decoding: LAST, MAX or MEAN; the rest as in run_sums, and vectors as ReadoutPlan has them.
    """
    samples, steps, size = x.shape
    classes, binary = logits.shape[1], rules[BINARY]
    busy, rows = np.empty(size, np.int32), np.empty(size + ROWS, np.int32)
    values, sums = np.empty(size + ROWS, partial.dtype), np.empty(len(total), partial.dtype)
    arriving, current = np.empty(classes, np.int64), np.empty(classes, np.int64)
    m = np.empty(classes, np.int64)
    for sample in range(samples):
        logits[sample], current[:], m[:] = 0, 0, 0
        for t in range(steps):
            n = find_nonzeros(x[sample, t - delay], busy, rows) if t >= delay else 0
            for i in range(0 if binary else n):
                values[i] = x[sample, t - delay, rows[i]]
            add_rows(rows, values, n, weight, sums, total, 0, limit, binary)
            scale(total, 0, classes, rules)
            for k in range(classes):
                arriving[k] = total[k]
            if rules[FILTERED]:
                filter_current(arriving, current, vectors, 0, classes, rules)
            integrate(m, arriving, vectors, rules)
            for k in range(classes):
                if t == 0 or decoding == LAST:
                    logits[sample, k] = m[k]
                elif decoding == MAX:
                    logits[sample, k] = max(logits[sample, k], m[k])
                else:
                    logits[sample, k] += m[k]


@inlined
def integrate(m: Any, arriving: Any, vectors: Any, rules: Any) -> None:  # pragma: no cover
    """m <- leak(m) + arriving + bias."""
    half, below, even = rules[LEAK_HALF], rules[LEAK_BELOW], rules[LEAK_EVEN]
    for k in range(len(m)):
        v = m[k] * vectors[KEEP, k]
        kept = (v + half + ((v >> 63) & below) + ((v >> LEAK_BITS) & even)) >> LEAK_BITS
        m[k] = kept + arriving[k] + vectors[BIAS, k]
