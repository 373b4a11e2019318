"""The executable specification: one sample at a time, Python integers only. Slow, obvious, right.

profiles/README.md says every rule in words and tables; where anything disagrees with this file, this
file is right. It uses no NumPy arithmetic, so nothing can overflow silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_deploy.fixedpoint import Arithmetic, divide_pow2, fit, shift
from sast_deploy.program import LEAK_BITS, Conv2d, Layer, Program, Readout, Shape, SpikingLayer, SumPool
from sast_deploy.simulate.record import SpikeRecord, Trace

# For each input j, the synapses (output i, weight) it drives.
Fanout = list[list[tuple[int, int]]]


def run_reference(
    program: Program,
    frames: npt.NDArray[np.uint8],
    trace: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> SpikeRecord:
    """Run every sample of `frames` (samples, time, C, H, W), counts 0..input_max, through the program."""
    simulator = _Reference(program)
    samples = progress(range(len(frames)))
    results = [simulator.run([step.ravel().tolist() for step in frames[n]]) for n in samples]
    width = [len(layer.membrane) for layer in simulator.neurons]
    spikes = [_stack([r.spikes[k] for r in results], program.steps, n) for k, n in enumerate(width)]
    traces = None
    if trace:
        membranes = [_stack([r.membranes[k] for r in results], program.steps, n) for k, n in enumerate(width)]
        traces = tuple(
            Trace(u.astype(np.int32), s.astype(np.uint8)) for u, s in zip(membranes, spikes, strict=True)
        )
    logits = np.array([r.logits for r in results], dtype=np.int64).reshape(len(results), len(program.classes))
    return SpikeRecord(tuple(s.sum(axis=1).astype(np.int32) for s in spikes), logits, traces)


def leak(membrane: int, v_decay: int, rounding: str) -> int:
    """membrane * (4096 - v_decay) / 4096, rounded."""
    return divide_pow2(membrane * ((1 << LEAK_BITS) - v_decay), LEAK_BITS, rounding)


class Neurons:
    """The LIF neurons of one layer: membrane potentials and remembered spikes, one integer each."""

    def __init__(self, layer: SpikingLayer, shape: Shape, rules: Arithmetic) -> None:
        """All states start at 0. bias and vth of a channel are those of each of its neurons."""
        size = int(np.prod(shape))
        per_channel = size // len(layer.vth)
        self.bias = [int(b) for b in layer.bias for _ in range(per_channel)]
        self.vth = [int(v) for v in layer.vth for _ in range(per_channel)]
        self.weight_exp, self.v_decay, self.rules = layer.weight_exp, layer.v_decay, rules
        self.membrane = [0] * size
        self.spiked = [0] * size

    def step(self, accumulated: list[int]) -> list[int]:
        """Advance by one step from the weighted sums a_t; returns the spikes s_t (0 or 1)."""
        for i, total in enumerate(accumulated):
            current = shift(total, self.weight_exp, self.rules.shift_rounding) + self.bias[i]
            u = self._reset(self.membrane[i], self.spiked[i], self.vth[i]) + current
            self.membrane[i] = fit(u, self.rules.state, self.rules.overflow)
        self.spiked = [self._fires(u, vth) for u, vth in zip(self.membrane, self.vth, strict=True)]
        return self.spiked

    def _reset(self, membrane: int, spiked: int, vth: int) -> int:
        """What the leak and the delayed reset leave of the last step's membrane potential."""
        if self.rules.reset == "subtract":
            return leak(membrane, self.v_decay, self.rules.leak_rounding) - vth * spiked
        return leak(membrane * (1 - spiked), self.v_decay, self.rules.leak_rounding)

    def _fires(self, membrane: int, vth: int) -> int:
        return int(membrane >= vth if self.rules.comparison == ">=" else membrane > vth)


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
        self.shapes = shapes
        self.fanouts = [synapses(layer, shapes[i]) for i, layer in enumerate(program.layers)]
        self.neurons = self._fresh()

    def _fresh(self) -> list[Neurons]:
        rules = self.program.arithmetic
        return [Neurons(layer, self.shapes[i + 1], rules) for i, layer in self.program.spiking()]

    def run(self, frames: list[list[int]]) -> _Run:
        self.neurons = self._fresh()
        result = _Run([[] for _ in self.neurons], [[] for _ in self.neurons], [0] * len(self.program.classes))
        for values in frames:
            self._step(values, result)
        return result

    def _step(self, values: list[int], result: _Run) -> None:
        spiking = 0
        for index, layer in enumerate(self.program.layers):
            total = accumulate(self.fanouts[index], values, int(np.prod(self.shapes[index + 1])))
            if isinstance(layer, SumPool):
                values = total
            elif isinstance(layer, Readout):
                rounding = self.program.arithmetic.shift_rounding
                for i, bias in enumerate(layer.bias.tolist()):
                    result.logits[i] += shift(total[i], layer.weight_exp, rounding) + bias
            else:
                values = self.neurons[spiking].step(total)
                result.membranes[spiking].append(list(self.neurons[spiking].membrane))
                result.spikes[spiking].append(list(values))
                spiking += 1


def accumulate(fanout: Fanout, values: list[int], outputs: int) -> list[int]:
    """a_i = sum_j W_ij * x_j over the inputs that are not zero."""
    total = [0] * outputs
    for j, x in enumerate(values):
        if x:
            for i, weight in fanout[j]:
                total[i] += weight * x
    return total


def synapses(layer: Layer, in_shape: Shape) -> Fanout:
    """The implemented synapses of a layer, input by input, zero weights included, borders left out."""
    if isinstance(layer, Conv2d):
        return _conv_synapses(layer, in_shape)
    if isinstance(layer, SumPool):
        return _pool_synapses(layer, in_shape)
    columns = layer.weight.T.tolist()
    return [list(enumerate(column)) for column in columns]


def _conv_synapses(layer: Conv2d, in_shape: Shape) -> Fanout:
    channels, height, width = in_shape
    out_channels, rows, columns = layer.out_shape(in_shape)
    group_in, group_out = layer.weight.shape[1], out_channels // layer.groups
    weight: list[list[list[list[int]]]] = layer.weight.tolist()
    fanout: Fanout = [[] for _ in range(channels * height * width)]
    for o in range(out_channels):
        first = (o // group_out) * group_in
        for row in range(rows):
            for column in range(columns):
                i = (o * rows + row) * columns + column
                for c, plane in enumerate(weight[o]):
                    for dy, line in enumerate(plane):
                        y = row * layer.stride[0] - layer.padding[0] + dy * layer.dilation[0]
                        for dx, w in enumerate(line):
                            x = column * layer.stride[1] - layer.padding[1] + dx * layer.dilation[1]
                            if 0 <= y < height and 0 <= x < width:
                                fanout[((first + c) * height + y) * width + x].append((i, w))
    return fanout


def _pool_synapses(layer: SumPool, in_shape: Shape) -> Fanout:
    channels, height, width = in_shape
    _, rows, columns = layer.out_shape(in_shape)
    fanout: Fanout = [[] for _ in range(channels * height * width)]
    for c in range(channels):
        for y in range(rows * layer.kernel[0]):
            for x in range(columns * layer.kernel[1]):
                i = (c * rows + y // layer.kernel[0]) * columns + x // layer.kernel[1]
                fanout[(c * height + y) * width + x].append((i, 1))
    return fanout


def _stack(samples: list[list[list[int]]], steps: int, neurons: int) -> npt.NDArray[np.int64]:
    """(samples, time, neurons) from nested lists, also where there are none."""
    return np.array(samples, dtype=np.int64).reshape(len(samples), steps, neurons)
