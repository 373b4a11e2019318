"""From a program and its lanes to the circuit: what every layer of it holds, in integers.

A layer of the circuit takes events (value, channel, row, column), adds one word of LANES weights to one row
of LANES sums in each cycle, sweeps one row of neurons in each cycle, and sends events on. Rows lie position
by position, at each the words of every group of channels:

    row = (y * width + x) * (groups * words) + group * words + word
    words = ceil(channels of a group / lanes)

Dense layers and readouts are one position with one group. A pool whose exponent is 0 is no layer: what comes
after it takes its inputs' coordinates. Any other pool, and the counts of a last layer's spikes, are layers of
one lane whose weights are all 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError, UsageError
from sast_deploy.program.fixedpoint import shift
from sast_deploy.program.geometry import Axis
from sast_deploy.program.program import (
    CURRENT,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    Readout,
    Shape,
    SumPool,
    Upsample,
    layer_label,
)
from sast_deploy.program.sums import Weighted, integrated_reach
from sast_deploy.proofs.bounds import bound_neurons, signed_bits
from sast_deploy.proofs.intervals import Interval
from sast_deploy.rtl.supported import check_supported

LANES = 8  # of a layer, where nobody says how many; fewer where it has fewer outputs
LANES_MAX = 1024
LOGIT_BITS = 64
BANKED = 4096  # words of weights from which on every lane has a memory of its own
Kind = Literal["spikes", "pool", "readout", "counts"]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reach:
    """One axis of a layer, coordinate by coordinate of its inputs; all int64 (size,).

    taps: how many of the kernel's a value there meets. tap, output: the first of them and the output under
    it. tap_step, output_step: from one tap to the next.
    """

    taps: Ints
    tap: Ints
    output: Ints
    tap_step: int = 0
    output_step: int = 0


@dataclass(frozen=True, eq=False)
class Unit:
    """One layer of the circuit.

    kind: what it sends. index: of its layer in the program; counts of spikes, that of the layer that spikes.
    in_shape: of its events' coordinates, before any pool that it takes over. out_shape; groups, channels: of
    one group's outputs; lanes; words: rows of a group at one position; positions.
    rows, columns: their axes. flat: inputs of one position, by which weights' addresses go on.
    sums: smallest and largest weighted sum. value: of inputs, likewise. steps: that its integrals hold.
    layer: of the program, where it has weights. delays: of every input, in the order of weights, or one.
    """

    kind: Kind
    index: int
    label: str
    in_shape: Shape
    out_shape: Shape
    groups: int
    channels: int
    lanes: int
    rows: Reach
    columns: Reach
    flat: int
    sums: tuple[int, int]
    value: tuple[int, int]
    steps: int
    exponent: int = 0
    layer: Weighted | None = None
    delays: Ints = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def words(self) -> int:
        """Rows of a group's neurons at one position: what an event adds at every tap."""
        return -(-self.channels // self.lanes)

    @property
    def positions(self) -> int:
        """Of outputs; a channel each at every one."""
        return math.prod(self.out_shape[1:]) if self.kind != "counts" else 1

    @property
    def row_count(self) -> int:
        """Of neurons, in words of `lanes`."""
        return self.positions * self.groups * self.words

    @property
    def slots(self) -> int:
        """Steps whose sums are kept at once."""
        return int(self.delays.max()) + 1

    def neurons(self) -> Ints:
        """int64 (rows, lanes): the number of every neuron, C, H, W order; -1 where a lane has none."""
        word, lane = np.divmod(np.arange(self.words * self.lanes), self.lanes)
        channel = word * self.lanes + lane
        channel = np.where(channel < self.channels, channel, -1).reshape(self.words, self.lanes)
        group = np.arange(self.groups)[:, None, None] * self.channels
        place = np.arange(self.positions)[:, None, None, None]
        numbers = np.where(channel >= 0, (channel + group) * self.positions + place, -1)
        return np.asarray(numbers.reshape(-1, self.lanes))

    def cycles(self) -> Ints:
        """int64, of in_shape: cycles that one event of every coordinate takes; at least one."""
        taps = self.rows.taps[:, None] * self.columns.taps[None, :] * self.words
        return np.asarray(np.broadcast_to(np.maximum(taps, 1), self.in_shape))


@dataclass(frozen=True, eq=False)
class Plan:
    """The circuit of a program: its layers in order. lanes: of those that have weights."""

    program: Program
    units: tuple[Unit, ...]

    @property
    def lanes(self) -> tuple[int, ...]:
        """Of every layer with weights."""
        return tuple(unit.lanes for unit in self.units if unit.layer is not None)


def weighted_outputs(program: Program) -> list[tuple[str, int]]:
    """(label, outputs that lanes can share) of every layer with weights."""
    found = []
    for index, layer in enumerate(program.layers):
        if isinstance(layer, (Dense, Conv2d, Readout)):
            outputs = len(layer.weight) // (layer.groups if isinstance(layer, Conv2d) else 1)
            found.append((layer_label(index, layer), outputs))
    return found


def choose_lanes(program: Program, lanes: Sequence[int] | None) -> tuple[int, ...]:
    """The lanes of every layer with weights; None: 8, or as many as there are outputs.

    Raises UsageError: another number of them, or one beyond its layer's outputs.
    """
    layers = weighted_outputs(program)
    if lanes is None:
        return tuple(min(LANES, outputs) for _, outputs in layers)
    if len(lanes) != len(layers):
        names = ", ".join(label for label, _ in layers)
        raise UsageError(f"{len(lanes)} numbers of lanes", expected=f"{len(layers)}, of {names}")
    for count, (label, outputs) in zip(lanes, layers, strict=True):
        most = min(outputs, LANES_MAX)
        if not 1 <= count <= most:
            raise UsageError(f"{count} lanes of {label}", expected=f"1 to {most}")
    return tuple(lanes)


def plan_circuit(program: Program, lanes: Sequence[int] | None = None, steps: int | None = None) -> Plan:
    """The circuit; steps: that a sample may have, where those are more than the program's.

    Raises:
        CompileError: what the circuit does not hold, by name. UsageError: see `choose_lanes`.
    """
    check_supported(program)
    chosen, most = iter(choose_lanes(program, lanes)), max(program.steps, steps or 0)
    return Plan(program, tuple(_units(program, chosen, most)))


@dataclass(frozen=True)
class _Source:
    """Where a layer's events come from: their coordinates, the ends of their values, the pools on the way."""

    shape: Shape
    value: tuple[int, int]
    pools: tuple[SumPool, ...] = ()

    def pooled(self, sides: Sequence[Reach]) -> tuple[Reach, Reach]:
        """Rows and columns of a layer, from its own inputs to those of the pools before it."""
        rows, columns = sides
        return _pooled(rows, self.shape, self.pools, 1), _pooled(columns, self.shape, self.pools, 2)


def _units(program: Program, lanes: Iterator[int], steps: int) -> Iterator[Unit]:
    source = _Source(program.input_shape, (program.input_min, program.input_max))
    bounds = bound_neurons(program)
    for index, layer in enumerate(program.layers):
        assert not isinstance(layer, Upsample)  # refused
        if isinstance(layer, SumPool) and layer.exponent == 0:
            source = replace(source, pools=(*source.pools, layer))
            continue
        if isinstance(layer, SumPool):
            unit = _pool(program, index, layer, source, steps)
            source = _Source(unit.out_shape, program.input_ranges()[index + 1])
        else:
            unit = _weighted(program, index, layer, source, next(lanes), bounds[index].sums, steps)
            source = _Source(unit.out_shape, (0, 1))
        yield unit
    if unit.kind == "spikes":
        yield _counts(unit.index, unit.out_shape, steps)


def _pool(program: Program, index: int, pool: SumPool, source: _Source, steps: int) -> Unit:
    shape, out = program.shapes()[index : index + 2]
    low, high = (end * pool.area for end in program.input_ranges()[index])
    sides = [_axis(Axis(size, k, k)) for size, k in zip(shape[1:], pool.kernel, strict=True)]
    rows, columns = source.pooled(sides)
    return Unit(
        kind="pool", index=index, label=layer_label(index, pool), in_shape=source.shape, out_shape=out,
        groups=shape[0], channels=1, lanes=1, rows=rows, columns=columns, flat=1, sums=(low, high),
        value=source.value, steps=steps, exponent=pool.exponent,
    )  # fmt: skip


def _weighted(
    program: Program, index: int, layer: Weighted, source: _Source, lanes: int, sums: Interval, steps: int
) -> Unit:
    shape, out = program.shapes()[index : index + 2]
    groups = layer.groups if isinstance(layer, Conv2d) else 1
    rows, columns = source.pooled(_sides(layer, shape))
    ends = min(0, int(sums.low.min())), max(0, int(sums.high.max()))
    return Unit(
        kind="readout" if isinstance(layer, Readout) else "spikes",
        index=index, label=layer_label(index, layer), in_shape=source.shape, out_shape=_three(out),
        groups=groups, channels=len(layer.weight) // groups, lanes=lanes, rows=rows, columns=columns,
        flat=_flat(layer, shape), sums=ends, value=source.value, steps=steps, exponent=layer.weight_exp,
        layer=layer, delays=_delays(layer, shape),
    )  # fmt: skip


def _counts(index: int, shape: Shape, steps: int) -> Unit:
    """The counts of the last layer's spikes: rows lie as its neurons do, C, H, W order."""
    rows, columns = (Reach(np.ones(n, np.int64), np.zeros(n, np.int64), np.arange(n)) for n in shape[1:])
    size = math.prod(shape)
    return Unit(
        kind="counts", index=index, label="spike counts", in_shape=shape, out_shape=(size, 1, 1), groups=size,
        channels=1, lanes=1, rows=rows, columns=columns, flat=1, sums=(0, 1), value=(0, 1), steps=steps,
    )  # fmt: skip


def _three(shape: Shape) -> Shape:
    """(C, H, W), of neurons in a row too."""
    return shape if len(shape) == 3 else (*shape, 1, 1)


def _flat(layer: Weighted, shape: Shape) -> int:
    return shape[0] if isinstance(layer, Conv2d) else math.prod(shape)


def _sides(layer: Weighted, shape: Shape) -> tuple[Reach, Reach]:
    """The axes of a layer with weights: of a dense one, `tap` is the position of the input."""
    if isinstance(layer, Conv2d):
        rows, columns = layer.axes(shape)
        return _axis(rows), _axis(columns)
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    nothing = np.zeros(height, np.int64), np.zeros(width, np.int64)
    return (Reach(np.ones(height, np.int64), np.arange(height) * width, nothing[0]),
            Reach(np.ones(width, np.int64), np.arange(width), nothing[1]))  # fmt: skip


def _axis(axis: Axis) -> Reach:
    """Of a convolution: the taps that each input meets, and the outputs under them."""
    common = math.gcd(axis.stride, axis.dilation)
    meets: list[list[tuple[int, int]]] = [[] for _ in range(axis.size)]
    for output, inputs in enumerate(axis.under(np.arange(axis.outputs)).tolist()):
        for tap, place in enumerate(inputs):
            if 0 <= place < axis.size:
                meets[place].append((tap, output))
    first = [min(each, default=(0, 0)) for each in meets]
    taps = np.array([len(each) for each in meets], np.int64)
    tap, output = np.array(first, np.int64).T
    return Reach(taps, tap, output, axis.stride // common, -axis.dilation // common)


def _pooled(reach: Reach, shape: Shape, pools: Sequence[SumPool], axis: int) -> Reach:
    """The same for the inputs of the pools before the layer; none where a value fills no window."""
    if len(shape) < 3:
        return reach
    size, place = shape[axis], np.arange(shape[axis])
    inside = np.ones(size, bool)
    for pool in pools:
        kernel = pool.kernel[axis - 1]
        size //= kernel
        place = place // kernel
        inside &= place < size
    place = np.where(inside, place, 0)
    taps = np.where(inside, reach.taps[place], 0)
    return replace(reach, taps=taps, tap=reach.tap[place], output=reach.output[place])


def _delays(layer: Any, shape: Shape) -> Ints:
    """One for all, or of every input in the order of weights: position by position, channel by channel."""
    delay = layer.delay.astype(np.int64)
    if (delay == delay.flat[0]).all():
        return np.asarray(delay.flat[:1])
    delay = delay[0] if delay.ndim == 2 else delay  # of several, each the same: no others are supported
    return np.asarray(delay.reshape(_three(shape)).transpose(1, 2, 0).ravel())


def current_range(unit: Unit, rounding: str) -> tuple[int, int]:
    """The smallest and the largest sum after its shift."""
    low, high = (shift(end, unit.exponent, rounding) for end in unit.sums)
    return low, high


def integral_bits(unit: Unit, rounding: str) -> tuple[int, int]:
    """Bits of a readout's membrane potential and of its logits. Raises CompileError beyond 64."""
    if unit.kind == "counts":
        bits = unit.steps.bit_length() + 1
        return bits, bits
    layer = unit.layer
    assert isinstance(layer, Readout)
    reach = integrated_reach(layer, max(map(abs, current_range(unit, rounding))), unit.steps)
    membrane = reach.bit_length() + 1
    logit = (reach * unit.steps).bit_length() + 1 if layer.decoding == "mean" else membrane
    if logit > LOGIT_BITS:
        raise CompileError(f"logits of {logit} bits", where=unit.label, expected=f"at most {LOGIT_BITS}")
    return membrane, logit


def filtered(layer: Any) -> bool:
    """Whether a current filter remembers anything."""
    return layer is not None and bool((layer.u_decay < NO_DECAY_FILTER).any())


def current_bits(unit: Unit, rounding: str) -> int:
    """Bits of the current: of what arrives, and of the register of a filter."""
    low, high = current_range(unit, rounding)
    return max(signed_bits(low, high) + 1, CURRENT.bits if filtered(unit.layer) else 0)
