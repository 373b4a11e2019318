"""The integer program: all that exists after the compiler, and all that a simulator may read.

For layer l and step t, with every quantity an integer:

    a_t = sum_j W_ij * x_j,(t - delay_ij) + sum_j R_ij * s_j,(t-1)             exact
    c_t = shift(a_t, weight_exp)                                              no current filter
    c_t = fit(leak(c_{t-1}, u_decay) + shift(a_t, weight_exp), 24 bits, wrap)  u_decay < 4096
    u_t = fit(leak(u_{t-1}, v_decay) + c_t + bias - vth * s_{t-1})             reset "subtract", after-leak
    u_t = fit(leak(u_{t-1} - vth * s_{t-1}, v_decay) + c_t + bias)             reset "subtract", before-leak
    u_t = fit(leak(u_{t-1} * (1 - s_{t-1}), v_decay) + c_t + bias)             reset "zero"
    s_t = u_t >= vth  (or u_t > vth)
    m_t = leak(m_{t-1}, v_decay) + c_t + bias                                  readout
    logits = m_T, max_t m_t or sum_t m_t

with leak(u, d) = u * (4096 - d) / 4096. u, c, s, m and what is under way are 0 before the first step of
every sample. With a reset_interval N, u, c and s are cleared too before every step t (from 0) with
t % N = reset_offset of the layer. profiles/README.md states each rule in words and tables.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt

from sast_deploy.base.rules import INT32, Choice, Instance, Ints, Items, Text, Whole
from sast_deploy.base.settings import Checked
from sast_deploy.program.fixedpoint import Arithmetic, IntArray, QFormat, divide_pow2_array, shift
from sast_deploy.program.geometry import Axis

LEAK_BITS = 12
NO_DECAY_FILTER = 1 << LEAK_BITS  # u_decay at which nothing of the last step's current is left
CURRENT = QFormat(24, 0)  # the register of a filtered current; Loihi's wraps
DELAY_MAX = 63  # 62 steps of a stock synapse's own, and the one by which its spikes are late
STEPS_MAX = 1_000_000
SIZE_MAX = 1 << 24  # inputs or neurons of one layer: 16 chips of Loihi 2
WIDE = 1 << 16  # kernels, strides and the like
LABEL = Text(1 << 20, without="", whole=True)
DECODINGS = ("last", "max", "mean")  # of a readout's membrane potential over time
Shape = tuple[int, ...]
Int32Array = npt.NDArray[np.int32]


def frozen_ints(values: npt.ArrayLike) -> Int32Array:
    """A read-only int32 copy; ValueError where a value is not an integer of 32 bits."""
    array = np.array(values)
    with np.errstate(invalid="ignore"):
        copy = array.astype(np.int32)
    if array.dtype.kind not in "biuf" or not np.array_equal(copy, array):
        raise ValueError("values are not 32-bit integers")
    copy.flags.writeable = False
    return copy


def per_neuron(values: Int32Array, neurons: int) -> Int32Array:
    """(neurons,) from one value for the layer, one per channel (C, H, W order) or one per neuron."""
    return values.repeat(neurons // len(values))


def leak(values: IntArray, decay: npt.NDArray[Any], rounding: str) -> IntArray:
    """values * (4096 - decay) / 4096, rounded: what one step leaves of membranes or currents, int64."""
    return divide_pow2_array(values * (NO_DECAY_FILTER - decay), LEAK_BITS, rounding)


# Parameters of a layer that has no current filter and no delays; shared, since they are read-only.
UNFILTERED, NO_DELAY = frozen_ints([NO_DECAY_FILTER]), frozen_ints([0])
NO_DECAY = NO_DELAY  # of a membrane potential


# Parameters of neurons, by name; and their kinds: one for the layer, or one for each channel or neuron.
PER_NEURON = ("bias", "vth", "v_decay", "u_decay")
PerNeuron = Annotated[Int32Array, Ints("1 or out")]
Decay = Annotated[Int32Array, Ints("1 or out", low=0, high=NO_DECAY_FILTER)]
ClassDecay = Annotated[Int32Array, Ints("1 or classes", low=0, high=NO_DECAY_FILTER)]
Exponent = Annotated[int, Whole(-31, 31)]
OneDelay = Annotated[Int32Array, Ints("1", low=0, high=DELAY_MAX)]
Positive = Annotated[tuple[int, int], Items(Whole(1, WIDE), 2, 2)]
Offset = Annotated[int, Whole(0, STEPS_MAX)]


class Flattens:
    """The geometry of a layer with `weight` (out, in)."""

    def out_shape(self: Any, in_shape: Shape) -> Shape:
        """(out,) after the input (C, H, W) or (in,) is flattened in C, H, W order."""
        _need(math.prod(in_shape) == self.weight.shape[1], f"weight {self.weight.shape} after {in_shape}")
        return (self.weight.shape[0],)


class Convolves:
    """The geometry of a layer with `weight` (O, I/groups, kH, kW), stride, padding, dilation and groups."""

    def out_shape(self: Any, in_shape: Shape) -> Shape:
        """(O, H', W'), the outputs of both axes."""
        rows, columns = (axis.outputs for axis in self.axes(in_shape))
        return (self.weight.shape[0], rows, columns)

    def axes(self: Any, in_shape: Shape) -> tuple[Axis, Axis]:
        """The geometry of the rows and of the columns over an input (C, H, W)."""
        _need(len(in_shape) == 3, f"a convolution after {in_shape}")
        channels, *size = in_shape
        _need(channels == self.weight.shape[1] * self.groups, f"weight {self.weight.shape} after {in_shape}")
        kernel, options = self.weight.shape[2:], (self.stride, self.padding, self.dilation)
        rows, columns = map(Axis, size, kernel, *options)
        fits = rows.outputs > 0 and columns.outputs > 0
        _need(fits, f"kernel {self.weight.shape} larger than its input {in_shape}")
        return rows, columns


class Pools:
    """The geometry of windows `kernel` (rows, columns), stride = kernel."""

    @property
    def area(self: Any) -> int:
        """Inputs that one output sums."""
        return math.prod(self.kernel)

    def out_shape(self: Any, in_shape: Shape) -> Shape:
        """(C, H // kH, W // kW); rows and columns that fill no window are dropped."""
        _need(len(in_shape) == 3, f"pool {self.kernel} after {in_shape}")
        channels, height, width = in_shape
        _need(height >= self.kernel[0] and width >= self.kernel[1], f"pool {self.kernel} after {in_shape}")
        return (channels, height // self.kernel[0], width // self.kernel[1])


class Upsamples:
    """The geometry of copies, `factors` (rows, columns) of each input."""

    area: ClassVar[int] = 1  # as a pool's

    def out_shape(self: Any, in_shape: Shape) -> Shape:
        """(C, H * fH, W * fW)."""
        _need(len(in_shape) == 3, f"upsample {self.factors} after {in_shape}")
        channels, height, width = in_shape
        return (channels, height * self.factors[0], width * self.factors[1])


@dataclass(frozen=True, eq=False)
class Dense(Checked, Flattens):
    """Fully connected LIF layer. All arrays int32.

    weight: (out, in). bias, vth, v_decay, u_decay: (out,), or (1,) for the whole layer.
    weight_exp: power of two that takes the weighted sum to membrane LSBs.
    v_decay, u_decay: leak of membrane and current in 1/4096 per step, 0 (none) to 4096 (memoryless).
    delay: steps from spike to synapse, (1,), (in,) or (out, in).
    recurrent: weights (out, out) of the layer's own spikes of the step before, or None.
    reset_offset: see Program.reset_interval.

    >>> one = np.ones(1, np.int32)
    >>> sast.Dense(np.eye(3, dtype=np.int32), bias=0 * one, vth=64 * one, weight_exp=6, v_decay=128 * one).vth
    array([64], dtype=int32)
    """

    kind: ClassVar[str] = "dense"
    weight: Annotated[Int32Array, Ints("out in")]
    bias: PerNeuron
    vth: PerNeuron
    weight_exp: Exponent
    v_decay: Decay
    u_decay: Decay = field(default_factory=lambda: UNFILTERED)
    delay: Annotated[Int32Array, Ints("1 or in or out in", low=0, high=DELAY_MAX)] = field(
        default_factory=lambda: NO_DELAY
    )
    recurrent: Annotated[Int32Array | None, Ints("out out", optional=True)] = None
    reset_offset: Offset = 0


@dataclass(frozen=True, eq=False)
class Conv2d(Checked, Convolves):
    """Convolutional LIF layer, torch's cross-correlation, no bias in the padding.

    weight: (O, I/groups, kH, kW). bias, vth, v_decay, u_decay: (O,), per channel, or (1,).
    stride, padding, dilation: (rows, columns). delay: (1,). The rest as in Dense.

    >>> one = np.ones(1, np.int32)
    >>> parameters = dict(bias=0 * one, vth=64 * one, weight_exp=6, v_decay=128 * one, groups=1)
    >>> square = dict(stride=(2, 2), padding=(1, 1), dilation=(1, 1))
    >>> sast.Conv2d(np.ones((4, 2, 3, 3), np.int32), **parameters, **square).out_shape((2, 34, 34))
    (4, 17, 17)
    """

    kind: ClassVar[str] = "conv"
    weight: Annotated[Int32Array, Ints("out channels rows columns")]
    bias: PerNeuron
    vth: PerNeuron
    weight_exp: Exponent
    v_decay: Decay
    stride: Positive
    padding: Annotated[tuple[int, int], Items(Whole(0, WIDE), 2, 2)]
    dilation: Positive
    groups: Annotated[int, Whole(1, WIDE)]
    u_decay: Decay = field(default_factory=lambda: UNFILTERED)
    delay: OneDelay = field(default_factory=lambda: NO_DELAY)
    reset_offset: Offset = 0

    def __post_init__(self) -> None:
        """Refuse parameters that do not fit the weights."""
        super().__post_init__()
        _need(len(self.weight) % self.groups == 0, f"{len(self.weight)} channels in {self.groups} groups")


@dataclass(frozen=True, eq=False)
class SumPool(Checked, Pools):
    """Sums of windows of `kernel` (rows, columns), stride = kernel: shift(sum, exponent); no neurons.

    exponent: 0 for the sum; -n for the average over 2**n, with the shift's rounding.

    >>> sast.SumPool((2, 2)).out_shape((4, 17, 17))
    (4, 8, 8)
    """

    kind: ClassVar[str] = "pool"
    kernel: Positive
    exponent: Exponent = 0


@dataclass(frozen=True, eq=False)
class Upsample(Checked, Upsamples):
    """Nearest neighbour: out[c, y, x] = in[c, y // fH, x // fW] with `factors` (fH, fW); no neurons.

    >>> sast.Upsample((2, 2)).out_shape((4, 8, 8))
    (4, 16, 16)
    """

    kind: ClassVar[str] = "upsample"
    exponent: ClassVar[int] = 0
    factors: Positive


@dataclass(frozen=True, eq=False)
class Readout(Checked, Flattens):
    """Non-spiking output: leaky integrators m, in membrane LSBs and of any size, that are never reset.

        m_t = leak(m_(t - 1), v_decay) + c_t + bias        c_t as in spiking layers, of W s_(t - delay)

    logits: m after the last step ("last"), its largest value ("max"), or the sum over all steps ("mean",
    times the number of steps). Without leak and filter the last m is the sum of all that arrived.

    weight (classes, in), bias (classes,), delay (1,), v_decay, u_decay: (1,) or (classes,); int32.

    >>> sast.Readout(np.eye(3, dtype=np.int32), bias=np.zeros(3, np.int32), weight_exp=0).sums
    True
    """

    kind: ClassVar[str] = "readout"
    added_later: ClassVar[frozenset[str]] = frozenset({"v_decay", "u_decay", "decoding"})
    weight: Annotated[Int32Array, Ints("classes in")]
    bias: Annotated[Int32Array, Ints("classes")]
    weight_exp: Exponent
    delay: OneDelay = field(default_factory=lambda: NO_DELAY)
    v_decay: ClassDecay = field(default_factory=lambda: NO_DECAY)
    u_decay: ClassDecay = field(default_factory=lambda: UNFILTERED)
    decoding: Annotated[str, Choice(DECODINGS)] = DECODINGS[0]

    @property
    def sums(self) -> bool:
        """Whether its logits are plain sums over time of what arrives and of the bias."""
        return not self.v_decay.any() and (self.u_decay == NO_DECAY_FILTER).all() and self.decoding == "last"


Resampling = SumPool | Upsample
Layer = Dense | Conv2d | Resampling | Readout
SpikingLayer = Dense | Conv2d


def layer_label(index: int, layer: Layer) -> str:
    """What people are told of a layer: "layer 2 (conv)"."""
    return f"layer {index} ({layer.kind})"


@dataclass(frozen=True, eq=False)
class Program(Checked):
    """A complete integer network; equality is `digest()`.

    name: for people. input_shape (C, H, W). input_min, input_max: the smallest and the largest input; counts
    of events start at 0. steps: T. classes: the label of each logit. layers: hidden layers, then one
    Readout; without a Readout the last layer spikes, and the logits are its spike counts. reset_interval: 0,
    or see the module's text.

    >>> [layer.kind for layer in net.program.layers]
    ['dense', 'readout']
    """

    added_later: ClassVar[frozenset[str]] = frozenset({"input_min"})
    name: Annotated[str, LABEL]
    input_shape: Annotated[Shape, Items(Whole(1, SIZE_MAX), 3, 3)]
    input_max: Annotated[int, Whole(1, INT32.max)]
    steps: Annotated[int, Whole(1, STEPS_MAX)]
    classes: Annotated[tuple[str, ...], Items(LABEL, most=SIZE_MAX)]
    arithmetic: Arithmetic
    layers: Annotated[tuple[Layer, ...], Items(Instance(get_args(Layer)), 1)]
    reset_interval: Annotated[int, Whole(0, STEPS_MAX)] = 0
    input_min: Annotated[int, Whole(INT32.min + 1, 0)] = 0

    def __post_init__(self) -> None:
        """Refuse a program whose values and shapes do not follow from one another."""
        super().__post_init__()
        shapes = self.shapes()
        for shape in shapes:
            _need(math.prod(shape) <= SIZE_MAX, f"a layer of {shape}, more than {SIZE_MAX:,} values")
        self._check_values()
        _need(not isinstance(self.layers[-1], Resampling), "a last layer that neither reads out nor spikes")
        _need(not any(isinstance(layer, Readout) for layer in self.layers[:-1]), "a readout that is not last")
        logits = int(np.prod(shapes[-1]))
        _need(logits == len(self.classes), f"{logits} logits for {len(self.classes)} classes")

    def _check_values(self) -> None:
        """Weights within the rules' width, offsets within the interval, inputs of layers within 31 bits."""
        most = 1 << (self.arithmetic.weight_bits - 1)
        for index, layer in enumerate(self.layers):
            for name in ("weight", "recurrent"):
                part = getattr(layer, name, None)
                inside = part is None or (part.min() >= -most and part.max() < most)
                _need(inside, f"layer {index}: {name} beyond {-most}..{most - 1}, its weight_bits")
            offset = getattr(layer, "reset_offset", 0)
            inside = offset < max(self.reset_interval, 1)
            _need(inside, f"layer {index}: reset_offset {offset} of reset_interval {self.reset_interval}")
        for index, (low, high) in enumerate(self.input_ranges()):
            _need(-low <= INT32.max and high <= INT32.max, f"layer {index}: inputs {low}..{high}")

    def input_ranges(self, first: tuple[int, int] | None = None) -> list[tuple[int, int]]:
        """The smallest and the largest input of every layer: counts, spikes, or what pools make of them.

        first: of the first layer; None: the program's.
        """
        ranges, ends = [], first or (self.input_min, self.input_max)
        for layer in self.layers:
            ranges.append(ends)
            ends = _output_range(layer, *ends, self.arithmetic.shift_rounding)
        return ranges

    def shapes(self) -> tuple[Shape, ...]:
        """Shape of the input and of every layer's output, so one more than there are layers."""
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.out_shape(shapes[-1]))
        return tuple(shapes)

    @property
    def byte_inputs(self) -> bool:
        """Whether uint8 holds every input."""
        return self.input_min >= 0 and self.input_max <= np.iinfo(np.uint8).max

    def spiking(self) -> Iterator[tuple[int, SpikingLayer]]:
        """(index in `layers`, layer) of every layer that has neurons."""
        for index, layer in enumerate(self.layers):
            if isinstance(layer, (Dense, Conv2d)):
                yield index, layer

    def clears(self, layer: SpikingLayer, step: int) -> bool:
        """Whether u, c and s of the layer are cleared before a step (from 0) of a sample."""
        interval = self.reset_interval
        return step == 0 or (interval > 0 and step % interval == layer.reset_offset)

    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) over every field, arrays as little-endian int32 in C order."""
        sha = hashlib.sha256()
        _feed(sha, self)
        return sha.hexdigest()


def _output_range(layer: Layer, low: int, high: int, rounding: str) -> tuple[int, int]:
    if not isinstance(layer, Resampling):
        return 0, 1
    low, high = (shift(end * layer.area, layer.exponent, rounding) for end in (low, high))
    return low, high


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(f"inconsistent program: {problem}")


def _feed(sha: Any, value: Any) -> None:
    """Feed a value to the hash, unambiguously: every field is preceded by its name and shape."""
    if isinstance(value, Checked):
        sha.update(f"<{type(value).__name__}>".encode())
        for name, part in value.said():
            sha.update(f"{name}=".encode())
            _feed(sha, part)
    elif isinstance(value, np.ndarray):
        sha.update(f"int32{list(value.shape)}".encode())
        sha.update(np.ascontiguousarray(value, dtype="<i4").tobytes())
    elif isinstance(value, tuple):
        sha.update(f"({len(value)}:".encode())
        for item in value:
            _feed(sha, item)
    else:
        sha.update((json.dumps(value) + ";").encode())
