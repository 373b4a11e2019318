"""A second specification, for checks of many samples: NumPy over samples, written from profiles/README.md.

It shares no arithmetic with reference.py, which stays the last word, nor with any other engine, and goes
another way: layer by layer, all steps of many samples at once. Arrays are (time, inputs or neurons, samples),
neurons in C, H, W order. Everything is an integer, and exact:

Products. BLAS multiplies floating-point matrices only, so sums run in it where the layer's weights prove them
exact: no partial sum, in whatever order, exceeds max_i sum_j |W_ij| * max |x|. Below 2**24 float32 holds
every one of them, below 2**53 float64; else they are added in int64, and from 2**63 on as Python integers.

Neurons. int32 where `_Neurons` proves that it holds every value on the way through a step, else int64, else
Python integers. Nothing is ever rounded but by the rules, and nothing wraps but by the rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from sast_deploy.base.errors import CompileError
from sast_deploy.engines.frames import Frames, Progress, check_frames
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import (
    Conv2d,
    Dense,
    Program,
    Readout,
    Resampling,
    Shape,
    SpikingLayer,
    Upsample,
)
from sast_deploy.program.record import SpikeRecord, empty_record

Array = npt.NDArray[Any]
# Types of products and of states, and the magnitude from which on each no longer holds all integers.
PRODUCTS = ((1 << 24, np.float32), (1 << 53, np.float64), (1 << 63, np.int64))
STATES = ((1 << 31, np.int32), (1 << 63, np.int64))
BLOCK = 24 << 20  # bytes that the widest layer may take of the samples and steps that run together
ONE = 4096  # decays count in 1/4096


class Watch(Protocol):
    """Sees all that happens in the spiking layers of a run, block by block."""

    def __call__(self, number: int, samples: slice, sums: Array, membranes: Array, spikes: Array) -> None:
        """number: of the layer among the spiking ones. sums: a_t. All (time, neurons, samples), of some steps
        of some samples.
        """


def run_vectorised(
    program: Program,
    frames: Frames,
    *,
    trace: bool = False,
    batch: int | None = None,
    progress: Progress = iter,
    watch: Watch | None = None,
) -> SpikeRecord:
    """Run every sample of `frames`, integers (samples, time, C, H, W); bit-equal with `run_reference`.

    The number of steps is that of the frames. Memory is flat in the number of samples and of steps, records
    aside. batch: samples that run together, chosen by memory where None.

    Raises:
        DataError: frames of another shape or type, or with values that the program does not take.
        CompileError: a logit that 64 bits do not hold.
    """
    check_frames(program, frames, program.name)
    network = _Network(program, frames.shape[1])
    sizes = [part.size for part in network.spiking]
    record = empty_record(sizes, len(frames), frames.shape[1], len(program.classes), trace)
    # A second thread of BLAS waits, and spins, where another process has its processor.
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in progress(network.run(frames, record, batch, watch)):
            pass
    return record


class _Network:
    """The layers of a program, ready to run frames of so many steps."""

    def __init__(self, program: Program, steps: int) -> None:
        self.name, self.steps = program.name, steps
        shapes, ranges = program.shapes(), program.input_ranges()
        self.parts: list[_Resampling | _Spiking | _Readout] = []
        for layer, shape, (low, high) in zip(program.layers, shapes, ranges, strict=False):
            if isinstance(layer, Resampling):
                self.parts.append(_Resampling(layer, shape, program.arithmetic))
                continue
            sums = _Sums(layer, shape, max(-low, high))
            if isinstance(layer, Readout):
                self.parts.append(_Readout(layer, sums, program.arithmetic, steps))
            else:
                self.parts.append(_Spiking(layer, sums, program.arithmetic, program.reset_interval))
        self.spiking = [part for part in self.parts if isinstance(part, _Spiking)]
        widest = max(part.bytes for part in self.parts)
        self.columns = max(1, BLOCK // widest)  # steps of samples that run together

    def run(
        self, frames: Frames, record: SpikeRecord, batch: int | None, watch: Watch | None
    ) -> Iterator[int]:
        """Fill in the record; the samples as they finish."""
        rows = batch or max(1, self.columns // max(1, self.steps))
        for start in range(0, len(frames), rows):
            samples = slice(start, min(start + rows, len(frames)))
            self._run_samples(np.asarray(frames[samples]), samples, record, watch)
            yield from range(samples.start, samples.stop)

    def _run_samples(self, frames: Array, samples: slice, record: SpikeRecord, watch: Watch | None) -> None:
        for part in self.parts:
            part.start(len(frames))
        for counts in record.counts:
            counts[samples] = 0
        for first in range(0, self.steps, self.columns):
            steps = slice(first, min(first + self.columns, self.steps))
            train = frames[:, steps].reshape(len(frames), steps.stop - first, -1).transpose(1, 2, 0)
            for part in self.parts:
                train = part.advance(train, first)
            for number, part in enumerate(self.spiking):
                self._keep(number, part, samples, steps, record)
                if watch is not None:
                    watch(number, samples, part.arrived, part.membranes, part.spikes)
        last = self.parts[-1]
        logits = self._checked(last.logits.T) if isinstance(last, _Readout) else record.counts[-1][samples]
        record.logits[samples] = logits

    def _keep(self, number: int, part: _Spiking, samples: slice, steps: slice, record: SpikeRecord) -> None:
        record.counts[number][samples] += part.spikes.sum(axis=0, dtype=np.int32).T
        if record.traces is not None:
            trace = record.traces[number]
            trace.membrane[samples, steps] = part.membranes.transpose(2, 0, 1)
            trace.spikes[samples, steps] = part.spikes.transpose(2, 0, 1)

    def _checked(self, logits: Array) -> Array:
        """(samples, classes) as they are; CompileError where 64 bits hold one of them not."""
        held = np.iinfo(np.int64)
        for reached in logits if logits.dtype == object else ():
            if not held.min <= min(reached) <= max(reached) <= held.max:
                what = f"logits reach {max(map(abs, reached))}"
                raise CompileError(what, where=self.name, expected=f"at most {held.max}")
        return logits


class _Sums:
    """The weighted sums of a layer: a = sum_j W_j x_j(t - delay_j).

    most: what no partial sum exceeds. kind: the type in which they are added.
    """

    def __init__(self, layer: Dense | Conv2d | Readout, in_shape: Shape, largest: int) -> None:
        """largest: magnitude of the inputs."""
        self.most = _most(layer.weight) * largest
        self.kind = _type_for(self.most, PRODUCTS)
        self.weight = layer.weight.astype(self.kind)
        self.under: Array | None = None
        if isinstance(layer, Conv2d):
            self.under = _under_the_taps(layer, *in_shape[1:])
            self.weight = self.weight.reshape(layer.groups, len(layer.weight) // layer.groups, -1)
        self.delay, self.delays = layer.delay, np.unique(layer.delay).tolist()
        self.inputs, self.channels = math.prod(in_shape), in_shape[0]
        self.late, self.size = max(self.delays), math.prod(layer.out_shape(in_shape))
        patches = 0 if self.under is None else self.channels * self.under.size
        self.bytes = (self.inputs + patches) * self.kind.itemsize

    def start(self, samples: int) -> None:
        """Nothing is under way."""
        self.past = np.zeros((self.late, self.inputs, samples), self.kind)

    def of(self, train: Array) -> Array:
        """(time, outputs, samples) of the next steps, from their inputs."""
        steps, _, samples = train.shape
        whole = np.ascontiguousarray(train, self.kind)
        if self.late:
            whole = np.concatenate([self.past, whole])
            self.past = whole[steps:]
        total: Array | None = None
        for delay in self.delays:
            weight = self.weight if len(self.delays) == 1 else np.where(self.delay == delay, self.weight, 0)
            part = self._product(weight, whole[self.late - delay :][:steps])
            total = part if total is None else total + part
        return np.asarray(total).reshape(steps, self.size, samples)

    def _product(self, weight: Array, train: Array) -> Array:
        if self.under is None:
            return np.asarray(weight @ train)
        maps = train.reshape(len(train), self.channels, -1, train.shape[2])
        padded = np.concatenate([maps, np.zeros_like(maps[:, :, :1])], axis=2)
        patches = padded.take(self.under, axis=2)  # (time, channels, taps, places, samples)
        return np.asarray(weight @ patches.reshape(len(train), *weight.shape[::2], -1))


class _Resampling:
    """A pool or an upsampling."""

    def __init__(self, layer: Resampling, in_shape: Shape, rules: Arithmetic) -> None:
        self.layer, self.in_shape, self.rounding = layer, in_shape, rules.shift_rounding
        self.bytes = 8 * (math.prod(in_shape) + math.prod(layer.out_shape(in_shape)))

    def start(self, samples: int) -> None:
        """Nothing to forget."""

    def advance(self, train: Array, first: int) -> Array:
        """int64: 31-bit inputs and 2**24 of them at most in a window, so that 64 bits hold every sum."""
        steps, _, samples = train.shape
        maps = train.reshape(steps, *self.in_shape, samples)
        if isinstance(self.layer, Upsample):
            rows, across = self.layer.factors
            return maps.repeat(rows, axis=2).repeat(across, axis=3).reshape(steps, -1, samples)
        (rows, across), (channels, height, width) = self.layer.kernel, self.in_shape
        whole = maps[:, :, : height // rows * rows, : width // across * across]
        windows = whole.reshape(steps, channels, height // rows, rows, width // across, across, samples)
        sums = windows.sum(axis=(3, 5), dtype=np.int64)
        return _shifted(sums, self.layer.exponent, self.rounding).reshape(steps, -1, samples)


class _Spiking:
    """Synapses and LIF neurons of a layer.

    arrived, membranes, spikes: a_t, u_t and s_t (time, neurons, samples) of the steps that ran last.
    """

    def __init__(self, layer: SpikingLayer, sums: _Sums, rules: Arithmetic, interval: int) -> None:
        self.sums, self.size, self.interval, self.offset = sums, sums.size, interval, layer.reset_offset
        recurrent, most = layer.recurrent if isinstance(layer, Dense) else None, sums.most
        self.recurrent: Array | None = None
        if recurrent is not None:
            most += _most(recurrent)
            self.recurrent = recurrent.astype(_type_for(_most(recurrent), PRODUCTS))
        self.neurons = _Neurons(layer, self.size, rules, most)
        self.bytes = sums.bytes + self.size * (sums.kind.itemsize + 2 * self.neurons.kind.itemsize)

    def start(self, samples: int) -> None:
        """Every sample starts with nothing remembered and nothing under way."""
        self.sums.start(samples)
        self.neurons.clear(samples)
        self.sent = np.zeros((self.size, samples), np.uint8)  # the last step's spikes; no reset stops them

    def advance(self, train: Array, first: int) -> Array:
        """Spikes (time, neurons, samples), uint8; first: the number of the first step."""
        self.arrived = _integers(self.sums.of(train), self.neurons.kind)
        self.membranes = np.empty_like(self.arrived)
        self.spikes = np.empty(self.arrived.shape, np.uint8)
        for t, total in enumerate(self.arrived):
            if self.interval and (first + t) % self.interval == self.offset:
                self.neurons.clear(train.shape[2])
            if self.recurrent is not None:
                total += _integers(self.recurrent @ self.sent, self.neurons.kind)
            self.sent = self.spikes[t] = self.neurons.step(total)
            self.membranes[t] = self.neurons.membrane
        return self.spikes


class _Neurons:
    """The LIF neurons of one layer: current, membrane potential and remembered spike, (neurons, samples)."""

    def __init__(self, layer: SpikingLayer, size: int, rules: Arithmetic, most: int) -> None:
        """most: the largest magnitude of a weighted sum."""
        self.rules, self.exponent, self.size = rules, layer.weight_exp, size
        parameters = [layer.bias, layer.vth, layer.v_decay, layer.u_decay]
        bias, vth, v_decay, u_decay = (values.repeat(size // len(values))[:, None] for values in parameters)
        self.filtered = u_decay < ONE
        state, current = 1 << (rules.state.bits - 1), (1 << 23) * bool(self.filtered.any())
        peaks = [int(np.abs(values.astype(np.int64)).max()) for values in (bias, vth)]
        self.early = rules.reset_order == "before-leak"
        # No value on the way through a step exceeds the sum of all that go into one: the leaks' products, the
        # sum before and after its shift, half of what a shift to the right divides by, bias and threshold.
        addends = (
            (state + self.early * peaks[1]) * ONE, current * ONE, most, most << max(self.exponent, 0),
            1 << max(-self.exponent, 0), *peaks,
        )  # fmt: skip
        self.kind = _type_for(sum(addends), STATES)
        self.bias, self.vth = bias.astype(self.kind), vth.astype(self.kind)
        self.keeps, self.current_keeps = (ONE - v_decay).astype(self.kind), (ONE - u_decay).astype(self.kind)

    def clear(self, samples: int) -> None:
        """Current, membrane potential and remembered spike become 0."""
        self.current, self.membrane = np.zeros((2, self.size, samples), self.kind)
        self.spiked = np.zeros((self.size, samples), np.uint8)

    def step(self, total: Array) -> Array:
        """One step from the weighted sums: spikes 0 or 1, uint8, all (neurons, samples)."""
        arriving = _shifted(total, self.exponent, self.rules.shift_rounding)
        if self.filtered.any():
            arriving = _filtered(self.current, arriving, self.current_keeps, self.rules)
        self.current = arriving
        if self.early:
            left = self._leak(self.membrane - self.vth * self.spiked, self.keeps)
        elif self.rules.reset == "subtract":
            left = self._leak(self.membrane, self.keeps) - self.vth * self.spiked
        else:
            left = self._leak(self.membrane * (1 - self.spiked), self.keeps)
        self.membrane = _fitted(left + self.current + self.bias, self.rules)
        fires = self.membrane >= self.vth if self.rules.comparison == ">=" else self.membrane > self.vth
        self.spiked = fires.astype(np.uint8)
        return self.spiked

    def _leak(self, values: Array, keeps: Array) -> Array:
        return _divided(values * keeps, 12, self.rules.leak_rounding)


class _Readout:
    """The logits: (classes, samples), added up block by block; of leaky integrators, step by step."""

    def __init__(self, layer: Readout, sums: _Sums, rules: Arithmetic, steps: int) -> None:
        self.layer, self.sums, self.exponent, self.rules = layer, sums, layer.weight_exp, rules
        bias = int(np.abs(layer.bias.astype(np.int64)).max())
        shifts = (sums.most << max(self.exponent, 0)) + (1 << max(-self.exponent, 0))
        most = sums.most + (shifts + bias) * (steps + 1)
        if not layer.sums:
            # Of the membrane, which no leak makes larger; in a step it is multiplied by ONE, and added up.
            membrane = (shifts + (1 << 23) + bias) * (steps + 1)
            most = sums.most + membrane * max(2 * ONE, steps + 1)
        self.kind = _type_for(most, STATES)
        self.bias, self.bytes = layer.bias.astype(self.kind)[:, None], sums.bytes
        self.keeps, self.current_keeps = (
            (ONE - each.repeat(sums.size // len(each))[:, None]).astype(self.kind)
            for each in (layer.v_decay, layer.u_decay)
        )

    def start(self, samples: int) -> None:
        """All states and logits start at 0, and nothing is under way."""
        self.sums.start(samples)
        self.current, self.membrane, self.logits = np.zeros((3, self.sums.size, samples), self.kind)

    def advance(self, train: Array, first: int) -> Array:
        """The logits so far; first: the number of the first step."""
        arrived = _integers(self.sums.of(train), self.kind)
        arrived = _shifted(arrived, self.exponent, self.rules.shift_rounding)
        if self.layer.sums:
            self.logits = self.logits + arrived.sum(axis=0, dtype=self.kind) + self.bias * len(train)
        else:
            for t, arriving in enumerate(arrived, first):
                self.logits = self._step(arriving, t)
        return np.asarray(self.logits)

    def _step(self, arriving: Array, t: int) -> Array:
        self.current = _filtered(self.current, arriving, self.current_keeps, self.rules)
        left = _divided(self.membrane * self.keeps, 12, self.rules.leak_rounding)
        self.membrane = np.asarray(left + self.current + self.bias)
        if t == 0 or self.layer.decoding == "last":
            return np.asarray(self.membrane)
        together = np.maximum if self.layer.decoding == "max" else np.add
        return np.asarray(together(self.logits, self.membrane))


def _type_for(most: int, kinds: Sequence[tuple[int, type]]) -> np.dtype[Any]:
    """The first of the types that holds all integers up to +-most; Python's own integers where none does."""
    return next((np.dtype(kind) for limit, kind in kinds if most < limit), np.dtype(object))


def _integers(sums: Array, kind: np.dtype[Any]) -> Array:
    """Whole numbers as integers: by way of int64, since floats would stay floats in an array of objects."""
    return (sums.astype(np.int64) if sums.dtype.kind == "f" and kind.hasobject else sums).astype(kind)


def _most(weight: npt.NDArray[np.int32]) -> int:
    """max_i sum_j |W_ij|; 2**24 weights of 32 bits stay far below 64 bits."""
    return int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max())


def _under_the_taps(layer: Conv2d, height: int, width: int) -> npt.NDArray[np.int64]:
    """(taps, places): the input (row * width + column) under every tap; height * width in the padding.

    A kernel stands at every `stride` of the padded rows on which its last tap still lies within them.
    """
    axes = []
    for axis, size in enumerate((height, width)):
        padding, reach = layer.padding[axis], layer.dilation[axis] * (layer.weight.shape[2 + axis] - 1)
        starts = np.arange(-padding, size + padding - reach, layer.stride[axis])
        axes.append(np.arange(0, reach + 1, layer.dilation[axis])[:, None] + starts)
    rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = np.where(inside, rows * width + columns, height * width)
    return places.reshape(places.shape[0] * places.shape[1], -1)


def _shifted(values: Array, exponent: int, rounding: str) -> Array:
    """values * 2**exponent, rounded where that divides."""
    return values << exponent if exponent >= 0 else _divided(values, -exponent, rounding)


def _divided(values: Array, exponent: int, rounding: str) -> Array:
    """values / 2**exponent, rounded: the floor, and 1 more where what remains says so."""
    if exponent == 0:
        return values
    floor, remainder, half = values >> exponent, values & ((1 << exponent) - 1), 1 << (exponent - 1)
    if rounding == "floor":
        return floor
    if rounding == "toward-zero":
        return np.asarray(floor + ((values < 0) & (remainder > 0)))
    if rounding == "half-up":
        return np.asarray(floor + (remainder >= half))
    return np.asarray(floor + ((remainder > half) | ((remainder == half) & (floor & 1 == 1))))  # half-even


def _filtered(current: Array, arriving: Array, keeps: Array, rules: Arithmetic) -> Array:
    """The current: what arrives, and where some of it is kept (keeps / ONE) what is left of the last one."""
    left = _divided(current * keeps, 12, rules.leak_rounding)
    return np.where(keeps > 0, _wrapped(left + arriving, 24), arriving)


def _wrapped(values: Array, bits: int) -> Array:
    """values modulo 2**bits, into -2**(bits-1) .. 2**(bits-1) - 1."""
    half = 1 << (bits - 1)
    return np.asarray(((values + half) & (2 * half - 1)) - half)


def _fitted(values: Array, rules: Arithmetic) -> Array:
    """Within the membrane potential's format, by its rule of overflow."""
    if rules.overflow == "wrap":
        return _wrapped(values, rules.state.bits)
    top = (1 << (rules.state.bits - 1)) - 1
    bottom = -top if rules.overflow == "saturate-symmetric" else -top - 1
    return np.asarray(np.minimum(np.maximum(values, bottom), top))
