"""The executable specification: one sample at a time, Python integers only. Slow, obvious, right.

profiles/README.md says every rule in words and tables; where anything disagrees with this file, this
file is right. It uses no NumPy arithmetic, so nothing can overflow silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sast_deploy.base.errors import CompileError
from sast_deploy.engines.frames import Frames, check_frames
from sast_deploy.program.fixedpoint import Arithmetic, divide_pow2, fit, shift
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Int32Array,
    Layer,
    Program,
    Readout,
    Shape,
    SpikingLayer,
    SumPool,
    Upsample,
    per_neuron,
)
from sast_deploy.program.record import SpikeRecord, empty_record

# For each input j, the synapses it drives, in groups: (outputs, one weight for each, delay in steps).
Fanout = list[list[tuple[slice, list[int], int]]]


def run_reference(
    program: Program,
    frames: Frames,
    trace: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> SpikeRecord:
    """Run every sample of `frames`, integers (samples, time, C, H, W), through the program.

    The number of steps is that of the frames.

    Raises:
        DataError: frames of another shape or type, or with values that the program does not take.
        CompileError: a logit that 64 bits do not hold.
    """
    check_frames(program, frames, program.name)
    simulator = _Reference(program)
    sizes = [neurons.size for neurons in simulator.neurons.values()]
    samples, steps = frames.shape[:2]
    record = empty_record(sizes, samples, steps, len(program.classes), trace)
    for n in progress(range(len(frames))):
        result = simulator.run([step.ravel().tolist() for step in frames[n]])
        try:
            record.logits[n] = result.logits
        except OverflowError:
            expected = f"at most {np.iinfo(np.int64).max}"
            what = f"logits reach {max(map(abs, result.logits))}"
            raise CompileError(what, where=program.name, expected=expected) from None
        for k, size in enumerate(sizes):
            spikes = np.array(result.spikes[k], np.uint8).reshape(-1, size)
            record.counts[k][n] = spikes.sum(axis=0, dtype=np.int32)
            if record.traces is not None:
                record.traces[k].spikes[n] = spikes
                record.traces[k].membrane[n] = np.array(result.membranes[k], np.int32).reshape(-1, size)
    return record


def leak(state: int, decay: int, rounding: str) -> int:
    """state * (4096 - decay) / 4096, rounded."""
    return divide_pow2(state * ((1 << LEAK_BITS) - decay), LEAK_BITS, rounding)


def filtered(current: int, arriving: int, decay: int, rules: Arithmetic) -> int:
    """The current: what arrives, and with a filter what is left of the step before."""
    if decay == NO_DECAY_FILTER:
        return arriving
    return fit(leak(current, decay, rules.leak_rounding) + arriving, CURRENT, "wrap")


class Neurons:
    """The LIF neurons of one layer: current, membrane potential and remembered spike, one integer each."""

    def __init__(self, layer: SpikingLayer, shape: Shape, rules: Arithmetic) -> None:
        """All states start at 0."""
        self.size = int(np.prod(shape))
        self.bias, self.vth = self._ints(layer.bias), self._ints(layer.vth)
        self.v_decay, self.u_decay = self._ints(layer.v_decay), self._ints(layer.u_decay)
        self.weight_exp, self.rules = layer.weight_exp, rules
        self.clear()

    def _ints(self, values: Int32Array) -> list[int]:
        return [int(value) for value in per_neuron(values, self.size)]

    def clear(self) -> None:
        """Current, membrane potential and remembered spike of every neuron become 0."""
        self.current, self.membrane, self.spiked = ([0] * self.size for _ in range(3))

    def step(self, accumulated: list[int]) -> list[int]:
        """Advance by one step from the weighted sums a_t; returns the spikes s_t (0 or 1)."""
        for i, total in enumerate(accumulated):
            arriving = shift(total, self.weight_exp, self.rules.shift_rounding)
            self.current[i] = filtered(self.current[i], arriving, self.u_decay[i], self.rules)
            u = self._after_reset(i) + self.current[i] + self.bias[i]
            self.membrane[i] = fit(u, self.rules.state, self.rules.overflow)
        self.spiked = [self._fires(u, vth) for u, vth in zip(self.membrane, self.vth, strict=True)]
        return self.spiked

    def _after_reset(self, i: int) -> int:
        """What the leak and the delayed reset leave of the last step's membrane potential."""
        u, decay, rounding = self.membrane[i], self.v_decay[i], self.rules.leak_rounding
        if self.rules.reset == "zero":
            return leak(u * (1 - self.spiked[i]), decay, rounding)
        reset = self.vth[i] * self.spiked[i]
        if self.rules.reset_order == "before-leak":
            return leak(u - reset, decay, rounding)
        return leak(u, decay, rounding) - reset

    def _fires(self, membrane: int, vth: int) -> int:
        return int(membrane >= vth if self.rules.comparison == ">=" else membrane > vth)


class Integrators:
    """The readout of one sample: current and membrane potential of every class, and its logit so far."""

    def __init__(self, layer: Readout, rules: Arithmetic) -> None:
        """All states start at 0."""
        self.layer, self.rules, self.classes = layer, rules, len(layer.weight)
        self.bias = layer.bias.tolist()
        self.v_decay = per_neuron(layer.v_decay, self.classes).tolist()
        self.u_decay = per_neuron(layer.u_decay, self.classes).tolist()
        self.clear()

    def clear(self) -> None:
        """Current, membrane potential and logit of every class as before the first step."""
        self.current, self.membrane = [0] * self.classes, [0] * self.classes
        self.logits: list[int] | None = None

    def step(self, accumulated: list[int]) -> list[int]:
        """Advance by one step from the weighted sums a_t; returns the logits of the steps up to this one."""
        for i, total in enumerate(accumulated):
            arriving = shift(total, self.layer.weight_exp, self.rules.shift_rounding)
            self.current[i] = filtered(self.current[i], arriving, self.u_decay[i], self.rules)
            kept = leak(self.membrane[i], self.v_decay[i], self.rules.leak_rounding)
            self.membrane[i] = kept + self.current[i] + self.bias[i]
        self.logits = self._decoded()
        return self.logits

    def _decoded(self) -> list[int]:
        if self.logits is None or self.layer.decoding == "last":
            return list(self.membrane)
        pairs = zip(self.logits, self.membrane, strict=True)
        if self.layer.decoding == "max":
            return [max(pair) for pair in pairs]
        return [sum(pair) for pair in pairs]


class Synapses:
    """The synapses of one layer; a spike adds its weight to the sum of the step at which it arrives."""

    def __init__(self, layer: Layer, in_shape: Shape) -> None:
        """Nothing is under way at the start."""
        self.fanout = synapses(layer, in_shape)
        self.outputs = int(np.prod(layer.out_shape(in_shape)))
        recurrent = layer.recurrent if isinstance(layer, Dense) else None
        self.recurrent = [] if recurrent is None else recurrent.T.tolist()
        self.clear()

    def clear(self) -> None:
        """Forget what is under way."""
        self.pending: dict[int, list[int]] = {}

    def send(self, values: list[int], t: int) -> None:
        """The inputs of step t set out: W_ij * x_j arrives at step t + delay_ij."""
        for j, x in enumerate(values):
            if x:
                for outputs, weights, delay in self.fanout[j]:
                    total = self._sum(t + delay)
                    total[outputs] = [a + w * x for a, w in zip(total[outputs], weights, strict=True)]

    def feed_back(self, spikes: list[int], t: int) -> None:
        """The layer's own spikes of step t set out: R_ij arrives at step t + 1."""
        for weights, spike in zip(self.recurrent, spikes, strict=False):
            if spike:
                total = self._sum(t + 1)
                for i, weight in enumerate(weights):
                    total[i] += weight

    def arrive(self, t: int) -> list[int]:
        """a_t of every output."""
        return self.pending.pop(t, [0] * self.outputs)

    def _sum(self, t: int) -> list[int]:
        if t not in self.pending:
            self.pending[t] = [0] * self.outputs
        return self.pending[t]


@dataclass
class _Run:
    """One sample: [layer][time][neuron] lists and the logits."""

    membranes: list[list[list[int]]]
    spikes: list[list[list[int]]]
    logits: list[int]


class _Reference:
    def __init__(self, program: Program) -> None:
        self.program = program
        shapes = program.shapes()
        self.synapses = [Synapses(layer, shapes[i]) for i, layer in enumerate(program.layers)]
        self.neurons = {
            index: Neurons(layer, shapes[index + 1], program.arithmetic) for index, layer in program.spiking()
        }
        last = program.layers[-1]
        self.readout = Integrators(last, program.arithmetic) if isinstance(last, Readout) else None

    def run(self, frames: list[list[int]]) -> _Run:
        for synapses_of_layer in self.synapses:
            synapses_of_layer.clear()
        for neurons in self.neurons.values():
            neurons.clear()
        if self.readout is not None:
            self.readout.clear()
        empty: list[list[list[int]]] = [[] for _ in self.neurons]
        result = _Run(empty, [[] for _ in self.neurons], [0] * len(self.program.classes))
        for t, values in enumerate(frames):
            self._step(t, values, result)
        return result

    def _step(self, t: int, values: list[int], result: _Run) -> None:
        for index, layer in enumerate(self.program.layers):
            self.synapses[index].send(values, t)
            total = self.synapses[index].arrive(t)
            if isinstance(layer, SumPool):
                values = [shift(a, layer.exponent, self.program.arithmetic.shift_rounding) for a in total]
            elif isinstance(layer, Upsample):
                values = total
            elif isinstance(layer, Readout):
                assert self.readout is not None
                result.logits = self.readout.step(total)
            else:
                values = self._spike(index, layer, t, total, result)
        if not isinstance(self.program.layers[-1], Readout):
            result.logits = [logit + spike for logit, spike in zip(result.logits, values, strict=True)]

    def _spike(self, index: int, layer: SpikingLayer, t: int, total: list[int], result: _Run) -> list[int]:
        neurons, number = self.neurons[index], list(self.neurons).index(index)
        interval = self.program.reset_interval
        if interval and t % interval == layer.reset_offset:
            neurons.clear()
        spikes = neurons.step(total)
        self.synapses[index].feed_back(spikes, t)
        result.membranes[number].append(list(neurons.membrane))
        result.spikes[number].append(list(spikes))
        return spikes


def synapses(layer: Layer, in_shape: Shape) -> Fanout:
    """The implemented synapses of a layer, input by input, zero weights included, borders left out."""
    if isinstance(layer, Conv2d):
        return _conv_synapses(layer, in_shape)
    if isinstance(layer, SumPool):
        return _pool_synapses(layer, in_shape)
    if isinstance(layer, Upsample):
        return _upsample_synapses(layer, in_shape)
    delays = np.broadcast_to(layer.delay, layer.weight.shape).T.tolist()
    return [_by_delay(*column) for column in zip(layer.weight.T.tolist(), delays, strict=True)]


def _by_delay(weights: list[int], delays: list[int]) -> list[tuple[slice, list[int], int]]:
    """The synapses of one input with every output: one group for each delay, 0 where it is another."""
    if len(set(delays)) == 1:
        return [(slice(None), weights, delays[0])]
    synapse = list(zip(weights, delays, strict=True))
    return [(slice(None), [w if d == delay else 0 for w, d in synapse], delay) for delay in set(delays)]


def _conv_synapses(layer: Conv2d, in_shape: Shape) -> Fanout:
    """Groups of the outputs (o, row, column) that share row and column: they lie rows * columns apart."""
    channels, height, width = in_shape
    out_channels, rows, columns = layer.out_shape(in_shape)
    group_in, group_out, plane = layer.weight.shape[1], out_channels // layer.groups, rows * columns
    delay = int(layer.delay[0])
    fanout: Fanout = [[] for _ in range(channels * height * width)]
    for channel, dy, dx in np.ndindex(channels, *layer.weight.shape[2:]):
        first = channel // group_in * group_out
        weights = layer.weight[first : first + group_out, channel % group_in, dy, dx].tolist()
        for row, column in np.ndindex(rows, columns):
            y = row * layer.stride[0] - layer.padding[0] + dy * layer.dilation[0]
            x = column * layer.stride[1] - layer.padding[1] + dx * layer.dilation[1]
            if 0 <= y < height and 0 <= x < width:
                start = first * plane + row * columns + column
                outputs = slice(start, start + (group_out - 1) * plane + 1, plane)
                fanout[(channel * height + y) * width + x].append((outputs, weights, delay))
    return fanout


def _pool_synapses(layer: SumPool, in_shape: Shape) -> Fanout:
    channels, height, width = in_shape
    _, rows, columns = layer.out_shape(in_shape)
    fanout: Fanout = [[] for _ in range(channels * height * width)]
    for c in range(channels):
        for y in range(rows * layer.kernel[0]):
            for x in range(columns * layer.kernel[1]):
                i = (c * rows + y // layer.kernel[0]) * columns + x // layer.kernel[1]
                fanout[(c * height + y) * width + x].append((slice(i, i + 1), [1], 0))
    return fanout


def _upsample_synapses(layer: Upsample, in_shape: Shape) -> Fanout:
    channels, height, width = in_shape
    fanout: Fanout = [[] for _ in range(channels * height * width)]
    for i, (c, y, x) in enumerate(np.ndindex(layer.out_shape(in_shape))):
        j = (c * height + y // layer.factors[0]) * width + x // layer.factors[1]
        fanout[j].append((slice(i, i + 1), [1], 0))
    return fanout
