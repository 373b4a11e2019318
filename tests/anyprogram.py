"""Random programs of every kind that the specification allows, small enough for the pure-Python reference.

One generator, two sources of numbers: `Seeded` for programs by the thousand and for fuzzing, and
`tests.strategies.Drawn` for hypothesis, which can then make a failing program smaller.

    choose = Seeded(17, 4)
    program = any_program(choose)
    frames = any_frames(choose, program, samples=3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import OVERFLOWS, RESET_ORDERS, ROUNDINGS, Arithmetic, QFormat
from sast_deploy.program.program import (
    DECODINGS,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Layer,
    Program,
    Readout,
    Resampling,
    Shape,
    SumPool,
    Upsample,
    frozen_ints,
)
from sast_deploy.program.record import SpikeRecord

T = TypeVar("T")
STEPS = (2, 5, 1, 9, 3, 70, 1000)
SIZES = (1, 4, 7, 5)
SAMPLES = (1, 2, 3, 17, 5000)
MOST_WORK = 12_000  # neurons times steps of one sample
MOST_TOGETHER = 600_000  # the same of all samples, inputs included
LONGEST_DELAY = 62
COMPARISONS, RESETS = (">=", ">"), ("subtract", "zero")


class Choices(Protocol):
    """Where the numbers of a random program come from."""

    def integer(self, low: int, high: int) -> int:
        """One of low..high."""

    def pick(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""

    def ints(self, low: int, high: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """An array of numbers low..high."""


class Seeded:
    """Choices that follow from a seed of one or more integers."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def ints(self, low: int, high: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        return self.rng.integers(low, high + 1, shape)


def any_rules(choose: Choices, weight_bits: int | None = None, orders: bool = False) -> Arithmetic:
    """Every rounding, overflow, comparison and reset; states of 2 to 24 bits, weights of 2 to 16.

    orders: whether a subtraction may come before the leak; without, each seed's rules are those of old.
    """
    bits = choose.pick((8, choose.integer(2, 24), choose.integer(2, 24)))
    rules = Arithmetic(
        state=QFormat(bits, choose.integer(0, bits - 1)),
        weight_bits=weight_bits or choose.pick((8, choose.integer(2, 16))),
        overflow=choose.pick(OVERFLOWS),
        leak_rounding=choose.pick(ROUNDINGS),
        shift_rounding=choose.pick(ROUNDINGS),
        comparison=choose.pick(COMPARISONS),
        reset=choose.pick(RESETS),
    )
    ordered = orders and rules.reset == "subtract"
    return replace(rules, reset_order=choose.pick(RESET_ORDERS)) if ordered else rules


def any_program(
    choose: Choices, rules: Arithmetic | None = None, upsamples: bool = False, orders: bool = False,
    integrates: bool = False,
) -> Program:  # fmt: skip
    """One to three layers of any kind and geometry, and mostly a readout.

    upsamples: whether one of them may be an upsampling; orders: as in `any_rules`; integrates: whether there
    is a readout in any case, which may leak, filter and decode in any way. Each seed's program from before
    there was any of these stays.
    """
    rules = rules or any_rules(choose, orders=orders)
    interval = choose.pick((0, 0, 0, 1, 2, 5))
    shape = first = (choose.pick((1, 2, 3, 4)), choose.pick(SIZES), choose.pick(SIZES))
    layers: list[Layer] = []
    for _ in range(choose.integer(1, 3)):
        of_maps = (_any_conv, _any_pool, _any_upsample)[: 2 + upsamples]
        makers = (_any_dense, *of_maps) if len(shape) == 3 else (_any_dense,)
        layers.append(choose.pick(makers)(choose, rules, shape, interval))
        shape = layers[-1].out_shape(shape)
    if integrates or isinstance(layers[-1], Resampling) or choose.pick((True, True, False)):
        readout = _any_readout(choose, rules, shape)
        layers.append(_any_integrators(choose, readout) if integrates else readout)
        shape = layers[-1].out_shape(shape)
    largest, neurons = choose.pick((1, 4, 255)), sum(_neurons(first, layers))
    steps = choose.pick([n for n in STEPS if n * neurons <= MOST_WORK])
    classes = tuple(map(str, range(int(np.prod(shape)))))
    return Program("any", first, largest, steps, classes, rules, tuple(layers), interval)


def any_samples(choose: Choices, program: Program) -> int:
    """A number of samples, from 1 to 5,000, that takes not too long."""
    work = program.steps * (sum(_neurons(program.input_shape, program.layers)) + np.prod(program.input_shape))
    return choose.pick([n for n in SAMPLES if n * work <= MOST_TOGETHER or n == 1])


def any_frames(choose: Choices, program: Program, samples: int) -> npt.NDArray[np.uint8]:
    """Counts 0..input_max (samples, time, C, H, W): none, all 1, all input_max, or some at random."""
    shape = (samples, program.steps, *program.input_shape)
    kind = choose.pick(("some", "few", "most", "empty", "ones", "full"))
    if kind in ("empty", "ones", "full"):
        return np.full(shape, {"empty": 0, "ones": 1, "full": program.input_max}[kind], np.uint8)
    counts = choose.ints(0, program.input_max, shape)
    there = choose.ints(0, 9, shape) >= {"few": 9, "some": 6, "most": 1}[kind]
    return (counts * there).astype(np.uint8)


def _neurons(shape: Shape, layers: Sequence[Layer]) -> list[int]:
    """Outputs of every layer."""
    sizes = []
    for layer in layers:
        shape = layer.out_shape(shape)
        sizes.append(int(np.prod(shape)))
    return sizes


def _any_dense(choose: Choices, rules: Arithmetic, shape: Shape, interval: int) -> Dense:
    inputs, outputs = int(np.prod(shape)), choose.pick((1, 2, 3, 7))
    delays = choose.pick(((1,), (1,), (inputs,), (outputs, inputs)))
    recurrent = choose.pick((False, False, True))
    weight = _weights(choose, rules, (outputs, inputs))
    return Dense(
        weight=weight,
        delay=_delay(choose, delays),
        recurrent=_weights(choose, rules, (outputs, outputs)) if recurrent else None,
        **_any_neurons(choose, rules, weight, interval),
    )


def _any_conv(choose: Choices, rules: Arithmetic, shape: Shape, interval: int) -> Conv2d:
    channels = shape[0]
    groups = choose.pick([n for n in (1, channels, 2) if channels % n == 0])
    outputs = groups * choose.integer(1, 2)
    axes = [_any_axis(choose, size) for size in shape[1:]]
    kernel, stride, padding, dilation = zip(*axes, strict=True)
    weight = _weights(choose, rules, (outputs, channels // groups, *kernel))
    return Conv2d(
        weight=weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        delay=_delay(choose, (1,)),
        **_any_neurons(choose, rules, weight, interval),
    )


def _any_axis(choose: Choices, size: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of rows or columns, for at most four outputs."""
    padding, dilation = choose.pick((0, 1, 2, 4)), choose.pick((1, 2, 3))
    kernel = min(choose.integer(1, 4), (size + 2 * padding - 1) // dilation + 1)
    stride, free = choose.pick((1, 2, 3, 5)), size + 2 * padding - dilation * (kernel - 1) - 1
    return kernel, max(stride, free // 4 + 1), padding, dilation


def _any_pool(choose: Choices, rules: Arithmetic, shape: Shape, interval: int) -> SumPool:
    rows, columns = (choose.integer(1, min(size, 3)) for size in shape[1:])
    return SumPool((rows, columns), choose.pick((0, 0, -1, -3)))


def _any_upsample(choose: Choices, rules: Arithmetic, shape: Shape, interval: int) -> Upsample:
    rows, columns = (choose.integer(1, 3 if size < 8 else 1) for size in shape[1:])
    return Upsample((rows, columns))


def _any_readout(choose: Choices, rules: Arithmetic, shape: Shape) -> Readout:
    classes = choose.pick((1, 2, 3))
    weight = _weights(choose, rules, (classes, int(np.prod(shape))))
    bias = frozen_ints(choose.ints(-9, 9, (classes,)))
    return Readout(weight, bias, choose.integer(-4, 3), _delay(choose, (1,)))


def _any_integrators(choose: Choices, readout: Readout) -> Readout:
    decays = ((2048, 2048), (0, 0), (1, 1), (4095, 4095), (4096, 4096), (0, 4096))

    def vector() -> npt.NDArray[np.int64]:
        shape = choose.pick(((1,), readout.bias.shape))
        some = choose.ints(0, 1, shape) if choose.pick((False, True)) else 1
        return choose.ints(*choose.pick(decays), shape) * some

    v_decay, u_decay = vector(), NO_DECAY_FILTER - vector() * choose.pick((0, 1))
    readout = replace(readout, v_decay=frozen_ints(v_decay), u_decay=frozen_ints(u_decay))
    return replace(readout, decoding=choose.pick(DECODINGS))


def _weights(choose: Choices, rules: Arithmetic, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Weights of the whole width, of small ones, or the lowest everywhere, which has no positive twin."""
    low = -(1 << (rules.weight_bits - 1))
    span = choose.pick(((low, -1 - low), (low, -1 - low), (-1, 1), (low, low)))
    return frozen_ints(choose.ints(*span, shape))


def _delay(choose: Choices, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Delays 0 to 62, mostly none."""
    longest = choose.pick((0, 0, 0, 1, 3, LONGEST_DELAY))
    delay = choose.ints(0, longest, shape)
    delay.flat[0] = longest
    return frozen_ints(delay)


def _any_neurons(choose: Choices, rules: Arithmetic, weight: npt.NDArray[np.int32], interval: int) -> dict:
    """All fields of a layer's neurons; the exponent brings the weighted sums near the thresholds."""
    high, outputs = rules.state.high, len(weight)
    reach = int(np.abs(weight.astype(np.int64)).max(initial=1)) * np.sqrt(weight[0].size)
    exponent = round(np.log2(max(high, 1) / max(reach, 1))) + choose.integer(-3, 2)

    def vector(*spans: tuple[int, int]) -> npt.NDArray[np.int32]:
        shape = choose.pick(((1,), (outputs,)))
        return frozen_ints(choose.ints(*choose.pick(spans), shape))

    quarter, eighth = max(high // 4, 1), high // 8 + 1
    decays = ((2048, 2048), (0, 0), (1, 1), (4095, 4095), (4096, 4096), (0, 4096))
    unfiltered = [(NO_DECAY_FILTER, NO_DECAY_FILTER)] * 5
    return {
        "vth": vector((1, quarter), (1, quarter), (1, max(high, 1)), (0, 0), (-quarter, -1), (high, high)),
        "bias": vector((-eighth, eighth), (0, 0), (-high - 1, high)),
        "weight_exp": int(np.clip(exponent, -8, 7)),
        "v_decay": vector(*decays),
        "u_decay": vector(*unfiltered, *decays),
        "reset_offset": choose.integer(0, interval - 1) if interval else 0,
    }


def features(program: Program, frames: npt.NDArray[np.uint8], record: SpikeRecord) -> dict[str, bool]:
    """Which rare cases a program that was run has; the names are the same for every program."""
    lowest, highest = program.arithmetic.state.low, program.arithmetic.state.high
    traces, spiking = record.traces or (), [layer for _, layer in program.spiking()]
    membranes = np.concatenate([np.zeros(0), *(trace.membrane.ravel() for trace in traces)])
    spikes = np.concatenate([np.zeros(0), *(trace.spikes.ravel() for trace in traces)])
    found = {
        "no readout": not isinstance(program.layers[-1], Readout),
        "1 neuron": any(np.prod(shape) == 1 for shape in program.shapes()[1:]),
        "1 input": np.prod(program.input_shape) == 1,
        "reset by interval": bool(0 < program.reset_interval < program.steps),
        "filtered current": any((layer.u_decay < NO_DECAY_FILTER).any() for layer in spiking),
        "no leak": any((layer.v_decay == 0).any() for layer in spiking),
        "memoryless": any((layer.v_decay == 4096).any() for layer in spiking),
        "threshold 0": any((layer.vth == 0).any() for layer in spiking),
        "negative threshold": any((layer.vth < 0).any() for layer in spiking),
        "silent": bool(spikes.size and not spikes.any()),
        "always on": bool(spikes.size and spikes.all()),
        "membrane at its lowest": bool((membranes == lowest).any()),
        "membrane at its highest": bool((membranes == highest).any()),
        "empty frames": not frames.any(),
        "all ones": bool((frames == 1).all()),
        "all 255": bool((frames == 255).all()),
    }
    for name in ("overflow", "leak_rounding", "shift_rounding", "comparison", "reset"):
        options = {"overflow": OVERFLOWS, "comparison": COMPARISONS, "reset": RESETS}.get(name, ROUNDINGS)
        found |= {f"{name} {value}": getattr(program.arithmetic, name) == value for value in options}
    for name, value, options in (
        ("steps", program.steps, STEPS),
        ("samples", len(frames), SAMPLES),
        ("input_max", program.input_max, (1, 4, 255)),
        ("state bits", program.arithmetic.state.bits, range(2, 25)),
        ("weight bits", program.arithmetic.weight_bits, range(2, 17)),
    ):
        found |= {f"{name} {option}": value == option for option in options}
    return found | _layer_features(program)


def _layer_features(program: Program) -> dict[str, bool]:
    convs = [layer for layer in program.layers if isinstance(layer, Conv2d)]
    denses = [layer for layer in program.layers if isinstance(layer, Dense)]
    pools = [(x, y) for x, y in zip(program.layers, program.shapes(), strict=False) if isinstance(x, SumPool)]
    weighted = [layer for layer in program.layers if not isinstance(layer, Resampling)]
    axes = [
        axis for x in convs for axis in zip(x.weight.shape[2:], x.stride, x.padding, x.dilation, strict=True)
    ]
    lowest = -(1 << (program.arithmetic.weight_bits - 1))
    return {
        "kernel 1 x 1": any(layer.weight.shape[2:] == (1, 1) for layer in convs),
        "groups = channels": any(x.groups > 1 and x.weight.shape[1] == 1 for x in convs),
        "groups of many channels": any(x.groups > 1 and x.weight.shape[1] > 1 for x in convs),
        "dilation 3": any(kernel > 1 and dilation == 3 for kernel, _, _, dilation in axes),
        "stride > kernel": any(stride > kernel for kernel, stride, _, _ in axes),
        "padding > kernel": any(padding > kernel for kernel, _, padding, _ in axes),
        "recurrent": any(layer.recurrent is not None for layer in denses),
        "delay 62 that arrives": program.steps > LONGEST_DELAY and any(x.delay.max() == 62 for x in weighted),
        "delay beyond the end": any(layer.delay.max() >= program.steps for layer in weighted),
        "a delay for each input": any(1 < len(x.delay) == x.delay.size for x in denses),
        "a delay for each synapse": any(x.delay.ndim == 2 and x.delay.max() > 0 for x in denses),
        "pool with a remainder": any(s[1] % x.kernel[0] or s[2] % x.kernel[1] for x, s in pools),
        "averaging pool": any(layer.exponent < 0 for layer, _ in pools),
        "pool first": isinstance(program.layers[0], SumPool),
        "two pools": len(pools) > 1,
        "lowest weight": any((layer.weight == lowest).any() for layer in weighted),
        "lowest weight only": any((layer.weight == lowest).all() for layer in weighted),
        "weight -128 of 8 bits": lowest == -128 and any((layer.weight == -128).any() for layer in weighted),
        "shift to the left": any(layer.weight_exp > 0 for layer in weighted),
        "shift to the right": any(layer.weight_exp < 0 for layer in weighted),
    }
