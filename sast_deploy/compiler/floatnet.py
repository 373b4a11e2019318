"""A network in floating point, as NumPy arrays: what the compiler reads, free of torch.

A spiking layer with weights A, recurrent weights R, delays d, bias b, threshold theta, leak alpha and current
leak kappa, at step t:

    a_t = sum_j A_ij x_j,(t - d_ij) + sum_j R_ij s_j,(t-1)
    c_t = a_t                                                no current filter
    c_t = kappa * c_{t-1} + a_t                              with one
    u_t = alpha * u_{t-1} + c_t + b - theta * s_{t-1}        reset "subtract", "after-leak"
    u_t = alpha * (u_{t-1} - theta * s_{t-1}) + c_t + b      reset "subtract", "before-leak"
    u_t = alpha * u_{t-1} * (1 - s_{t-1}) + c_t + b          reset "zero"
    s_t = (u_t >= theta)                                     comparison ">="; or (u_t > theta)

    m_t = alpha * m_{t-1} + c_t + b                          with a readout, whose alpha is 1 by default
    logits = m_T / T                                         decoding "last" without leak: a mean
    logits = m_T, max_t(m_t) or mean_t(m_t)                  else, decoding "last", "max", "mean"
    logits = sum_t(s_t)                                      without readout, of the last layer

x of the first layer is the frame's count divided by `input_clip`. u, c, s and what is under way are 0 before
the first step of every sample; what would arrive after the last step is lost. Nothing here can be constructed
wrong: ValueError says what was found where, and what is expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sast_deploy.base.rules import INT32, Choice, Floats, Ints, Items, Whole
from sast_deploy.base.settings import check_fields
from sast_deploy.program.fixedpoint import COMPARISONS, RESET_ORDERS, RESETS, check_order
from sast_deploy.program.program import (
    DECODINGS,
    SIZE_MAX,
    STEPS_MAX,
    WIDE,
    Convolves,
    Flattens,
    Int32Array,
    Pools,
    Positive,
    Shape,
    Upsamples,
    frozen_ints,
)

LONGEST_DELAY = 62  # steps; what the buffer of a stock synapse holds
FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Numbers = npt.ArrayLike  # one number for the whole layer, (1,), or one for each neuron or channel
Pair = int | tuple[int, int]  # rows and columns, or one number for both

PerNeuron = Annotated[FloatArray, Floats("out")]
Threshold = Annotated[FloatArray, Floats("out", positive=True)]
Leak = Annotated[FloatArray | None, Floats("out", low=0, high=1, optional=True)]
OneDelay = Annotated[Int32Array, Ints("1", low=0, high=LONGEST_DELAY)]


@dataclass(frozen=True, eq=False)
class FloatDense(Flattens):
    """Fully connected spiking layer.

    weight: float32 (out, in). bias, threshold (above 0): float32 (out,). leak: the share of the membrane
    potential that a step keeps, alpha, float32 (out,), 0 to 1; None: the network's. current_leak: that of the
    current, kappa; None or 0: no filter. delay: steps from spike to synapse, int32 (1,), (in,) or (out, in),
    0 to 62. recurrent: float32 (out, out), from the layer's own spikes of the step before, or None.

    One number stands for all neurons. Raises ValueError.

    >>> sast.FloatDense([[0.5, -0.5], [1.0, 0.25]], leak=[0.5, 0.75]).threshold.tolist()
    [1.0, 1.0]
    """

    weight: Annotated[FloatArray, Floats("out in")]
    bias: PerNeuron
    threshold: Threshold
    leak: Leak
    current_leak: Leak
    delay: Annotated[Int32Array, Ints("1 or in or out in", low=0, high=LONGEST_DELAY)]
    recurrent: Annotated[FloatArray | None, Floats("out out", optional=True)]

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: Numbers = 0.0,
        threshold: Numbers = 1.0,
        leak: Numbers | None = None,
        current_leak: Numbers | None = None,
        delay: npt.ArrayLike = 0,
        recurrent: npt.ArrayLike | None = None,
    ) -> None:
        _keep(
            self, weight=weight, bias=bias, threshold=threshold, leak=leak, current_leak=current_leak,
            delay=_whole(delay), recurrent=recurrent,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FloatConv2d(Convolves):
    """Convolutional spiking layer, torch's cross-correlation, no bias in the padding.

    weight: float32 (O, I/groups, kH, kW). bias, threshold, leak, current_leak: (O,), per channel. stride,
    padding, dilation: (rows, columns), or one number for both. delay: int32 (1,). The rest as in FloatDense.

    >>> sast.FloatConv2d(np.ones((4, 2, 3, 3)), stride=2, padding=1, leak=0.5).out_shape((2, 34, 34))
    (4, 17, 17)
    """

    weight: Annotated[FloatArray, Floats("out channels rows columns")]
    bias: PerNeuron
    threshold: Threshold
    stride: Positive
    padding: Annotated[tuple[int, int], Items(Whole(0, WIDE), 2, 2)]
    dilation: Positive
    groups: Annotated[int, Whole(1, WIDE)]
    leak: Leak
    current_leak: Leak
    delay: OneDelay

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: Numbers = 0.0,
        threshold: Numbers = 1.0,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        leak: Numbers | None = None,
        current_leak: Numbers | None = None,
        delay: int = 0,
    ) -> None:
        _keep(
            self, weight=weight, bias=bias, threshold=threshold, stride=_pair(stride), padding=_pair(padding),
            dilation=_pair(dilation), groups=groups, leak=leak, current_leak=current_leak,
            delay=_whole(delay),
        )  # fmt: skip
        channels = len(self.weight)
        _need(channels % self.groups == 0, f"{channels} channels in {self.groups} groups", "as many in each")


@dataclass(frozen=True, eq=False)
class FloatPool(Pools):
    """Average pooling of spikes over windows `kernel` (rows, columns), stride = kernel; one number: both.

    >>> sast.FloatPool(2).out_shape((4, 17, 17))
    (4, 8, 8)
    """

    kernel: Positive

    def __init__(self, kernel: Pair) -> None:
        _keep(self, kernel=_pair(kernel))


@dataclass(frozen=True, eq=False)
class FloatUpsample(Upsamples):
    """Nearest-neighbour upsampling by `factors` (rows, columns): copies; one number: both.

    >>> sast.FloatUpsample(2).out_shape((4, 8, 8))
    (4, 16, 16)
    """

    factors: Positive

    def __init__(self, factors: Pair) -> None:
        _keep(self, factors=_pair(factors))


@dataclass(frozen=True, eq=False)
class FloatReadout(Flattens):
    """Leaky integrators that never spike; by default, without leak, sums over time.

    weight: float32 (classes, in). bias: (classes,). delay: int32 (1,). leak: the share of the membrane
    potential m that a step keeps, (classes,), 0 to 1; None: 1. current_leak: as in FloatDense. decoding: the
    logits are the "last" m, its largest value over time, "max", or its "mean".

    >>> sast.FloatReadout(np.eye(2)).bias.tolist()
    [0.0, 0.0]
    """

    weight: Annotated[FloatArray, Floats("out in")]
    bias: PerNeuron
    delay: OneDelay
    leak: Leak
    current_leak: Leak
    decoding: Annotated[str, Choice(DECODINGS)]

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: Numbers = 0.0,
        delay: int = 0,
        leak: Numbers | None = None,
        current_leak: Numbers | None = None,
        decoding: str = "last",
    ) -> None:
        _keep(
            self, weight=weight, bias=bias, delay=_whole(delay), leak=leak, current_leak=current_leak,
            decoding=decoding,
        )  # fmt: skip


FloatSpiking = FloatDense | FloatConv2d
FloatResampling = FloatPool | FloatUpsample
FloatLayer = FloatSpiking | FloatResampling | FloatReadout


def _plain(number: Any) -> Any:
    """NumPy's integers as Python's: a largest count is what `frames.max()` returns."""
    return number.item() if isinstance(number, np.integer) else number


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A network in floating point, ready to compile.

    layers: at least one that spikes; a FloatReadout may be the last. Without one the last layer spikes, and
    the logits are its spike counts. input_shape: (C, H, W); n or (n,) is (n, 1, 1). steps: T. alpha: the leak
    of layers without one of their own; it has no default value, because every trainer has another (ours 0.5,
    neurons without leak 1), and a wrong one changes every spike without a word. input_clip: the count that
    training scaled to 1.0. input_max: the largest count of a frame; None: input_clip. classes: the label of
    each logit; None: "0", "1", ... reset: "subtract" or "zero", what it was trained with; a profile's own may
    differ. reset_order: whether "subtract" acts "after-leak" or "before-leak"; frameworks differ. comparison:
    whether a membrane potential ">=" or ">" the threshold fires.

    Raises ValueError.

    >>> sast.FloatNetwork([sast.FloatDense(np.eye(2), leak=0.5)], input_shape=2, steps=4).classes
    ('0', '1')
    """

    input_min: ClassVar[int] = 0  # of counts
    layers: tuple[FloatLayer, ...]
    input_shape: Annotated[tuple[int, int, int], Items(Whole(1, SIZE_MAX), 3, 3)]
    steps: Annotated[int, Whole(1, STEPS_MAX)]
    alpha: float | None
    input_clip: Annotated[int, Whole(1, INT32.max)]
    input_max: Annotated[int, Whole(1, INT32.max)]
    classes: tuple[str, ...]
    reset: Annotated[str, Choice(RESETS)]
    reset_order: Annotated[str, Choice(RESET_ORDERS)]
    comparison: Annotated[str, Choice(COMPARISONS)]

    def __init__(
        self,
        layers: Iterable[FloatLayer],
        input_shape: int | Sequence[int],
        steps: int,
        alpha: float | None = None,
        input_clip: int = 1,
        input_max: int | None = None,
        classes: Iterable[str] | None = None,
        reset: str = "subtract",
        reset_order: str = "after-leak",
        comparison: str = ">=",
    ) -> None:
        shape = tuple(np.atleast_1d(np.asarray(input_shape)).tolist())
        largest = input_clip if input_max is None else input_max
        if isinstance(layers, FloatLayer) or not isinstance(layers, Iterable):
            raise ValueError(f"FloatNetwork.layers = a {type(layers).__name__}; expected a list of layers")
        _keep(
            self, layers=tuple(layers), input_shape=(*shape, 1, 1) if len(shape) == 1 else shape,
            steps=_plain(steps), alpha=alpha, input_clip=_plain(input_clip), input_max=_plain(largest),
            classes=classes, reset=reset, reset_order=reset_order, comparison=comparison,
        )  # fmt: skip
        check_order(reset, reset_order)
        self._check_layers()
        self._check_leaks()
        outputs = math.prod(self.shapes()[-1])
        names = tuple(map(str, range(outputs))) if classes is None else tuple(classes)
        _need(all(isinstance(name, str) for name in names), f"classes {names!r}"[:90], "texts")
        _need(len(names) == outputs, f"{outputs} logits for {len(names)} classes", "as many")
        object.__setattr__(self, "classes", names)

    def shapes(self) -> tuple[Shape, ...]:
        """Shape of the input and of every layer's output, so one more than there are layers."""
        shapes: list[Shape] = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(layer.out_shape(shapes[-1]))
            except ValueError as error:
                what = str(error).removeprefix("inconsistent program: ")
                raise ValueError(f"inconsistent network: layer {index}: {what}") from None
        return tuple(shapes)

    def leak(self, layer: FloatSpiking) -> Float64Array:
        """The layer's own leak, else the network's: (neurons,) or (channels,)."""
        if layer.leak is not None:
            return layer.leak.astype(np.float64)
        return np.full(len(layer.weight), self.alpha, np.float64)

    def _check_layers(self) -> None:
        layers = self.layers
        for index, layer in enumerate(layers):
            _need(isinstance(layer, FloatLayer), f"layer {index} is {type(layer).__name__}", "a FloatLayer")
        _need(any(isinstance(layer, FloatSpiking) for layer in layers), "no layer spikes", "one at least")
        last = f"{type(layers[-1]).__name__} is last"
        _need(not isinstance(layers[-1], FloatResampling), last, "a readout, or a layer that spikes")
        early = any(isinstance(layer, FloatReadout) for layer in layers[:-1])
        _need(not early, "a readout before the last layer", "one at most, and last")
        largest = self.input_max
        for index, (layer, shape) in enumerate(zip(layers, self.shapes()[1:], strict=True)):
            where, size = f"layer {index} has", math.prod(shape)
            _need(size <= SIZE_MAX, f"{where} {size:,} values", f"at most {SIZE_MAX:,}")
            largest = largest * layer.area if isinstance(layer, FloatResampling) else 1
            _need(largest <= INT32.max, f"{where} sums up to {largest:,}", f"at most {INT32.max:,}")

    def _check_leaks(self) -> None:
        alpha: Any = self.alpha
        known = isinstance(alpha, (int, float, np.floating)) and not isinstance(alpha, bool)
        right = alpha is None or (known and 0 <= alpha <= 1)
        _need(right, f"alpha = {alpha!r}", "a number from 0 to 1, the share that a step keeps, or None")
        if alpha is not None:
            object.__setattr__(self, "alpha", float(alpha))
            return
        for index, layer in enumerate(self.layers):
            own = not isinstance(layer, FloatSpiking) or layer.leak is not None
            _need(own, f"layer {index} has no leak", "leak of the layer, or alpha of the network")


def _keep(thing: Any, **values: Any) -> None:
    """Set the fields of a frozen dataclass, each as its rule keeps it."""
    for name, value in values.items():
        object.__setattr__(thing, name, value)
    check_fields(thing)


def _whole(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """int32 of one axis at least, where every value is one; else as it is, for the rule to refuse."""
    try:
        return np.atleast_1d(frozen_ints(values))
    except ValueError:
        return np.atleast_1d(values)


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list) else value


def _need(condition: bool, problem: str, expected: str) -> None:
    if not condition:
        raise ValueError(f"inconsistent network: {problem}; expected {expected}")
