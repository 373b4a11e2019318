"""What the kernels need of each layer, prepared once: its tables, constants and room."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from sast_deploy.engines.fast.bounds import (
    LADDER,
    UINT8_MAX,
    Widths,
    choose_widths,
    most_given,
    most_rows,
    resets_early,
)
from sast_deploy.engines.fast.events import ROWS
from sast_deploy.engines.fast.neurons import (
    BIAS,
    BINARY,
    EARLY,
    FILTERED,
    FLOOR,
    INTERVAL,
    KEPT,
    MOST,
    OFFSET,
    QUICK,
    RECURRENT,
    THRESHOLD,
    TOWARD_ZERO,
    UNCHECKED,
    rule_constants,
)
from sast_deploy.engines.fast.readout import ReadoutPlan, plan_readout
from sast_deploy.engines.fast.rows import pair_rows
from sast_deploy.engines.fast.tables import (
    SPIKES,
    Array,
    Inputs,
    aligned,
    conv_segments,
    conv_table,
    dense_tables,
    stored_size,
    weight_rows,
    widest,
)
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import (
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    Readout,
    Resampling,
    Shape,
    SpikingLayer,
    layer_label,
)

UNITY = 1 << LEAK_BITS
FEW_INPUTS = 256  # of a place, up to which events can be so few that they are added to it one by one


class Synapses(NamedTuple):
    """What the kernel of a spiking layer reads of its weights; see kernels.py for the arrays' shapes.

    unit_of: for each input the unit it belongs to: inputs that are addressed together. units: their number.
    partial: an empty array of the partial sums' type. delay_rows: rows of weights of each of the delays.
    limit: the largest sum of inputs that a partial sum may take in.
    """

    weight: Array
    partial: Array
    unit_of: Array
    units: int
    segment_of: Array
    segments: Array
    delays: Array
    delay_rows: int
    limit: int


class Lanes(NamedTuple):
    """What `run_lanes` reads of a layer of P places x G groups whose neurons take whole vectors of lanes.

    weight: uint8, of `pair_rows`. unit_of, units, segment_of: as in Synapses; its segments are seen, uint32
    (S, 2), and offsets. narrow, wide: (5, G * lanes), int16 and int32; see neurons.py. narrow_rows: the most
    inputs of a neuron for which 16 bits hold everything; -1 if none. wide_rows: the most whose sum 16 bits
    hold; unit_rows: if they are spikes. room: the most segments of a place. channels: of maps, which are
    counted channel-first; 1 of others. resting: uint8 (P * G,), whether silence leaves membranes of 0 as they
    are. state, listed: empty arrays of the types of membranes and of positions.

    Where few inputs reach a place, events' weights can be added to it one by one: table, int8 (rows, lanes),
    in plain order; targets, int64 (n, 2): the places that a unit reaches and what is added to the number of
    an input for its row; those of unit j are targets[targets_of[j] : targets_of[j + 1]]. Else all three have
    no rows.
    """

    weight: Array
    lanes: int
    unit_of: Array
    units: int
    segment_of: Array
    seen: Array
    offsets: Array
    narrow: Array
    wide: Array
    narrow_rows: int
    wide_rows: int
    unit_rows: int
    room: int
    channels: int
    resting: Array
    state: Array
    listed: Array
    table: Array
    targets_of: Array
    targets: Array


@dataclass(frozen=True, eq=False)
class SpikingPlan:
    """A dense or convolutional layer. lanes: where vectors do it.

    room: the most rows that one position can need. index_type: holds a position of the input and a row of the
    table.
    """

    layer: SpikingLayer
    in_shape: Shape
    out_shape: Shape
    widths: Widths
    synapses: Synapses
    room: int
    index_type: type[Any]
    vectors: Array
    rules: Array
    lanes: Lanes | None

    @cached_property
    def fields(self) -> tuple[Any, ...]:
        """Those of `lanes`, as kernels take them."""
        return tuple(self.lanes or ())

    @cached_property
    def entries(self) -> int:
        """Inputs of a step."""
        return prod(self.in_shape)

    @property
    def places(self) -> int:
        """Positions times groups."""
        return len(self.synapses.segment_of) - 1

    @property
    def groups(self) -> int:
        """Parts of the channels that are convolved apart."""
        return self.layer.groups if isinstance(self.layer, Conv2d) else 1

    @cached_property
    def no_events(self) -> tuple[Array, Array, Array]:
        """Lists of events where there are none, of the types that `EventFrames` has."""
        assert self.lanes is not None
        empty = np.empty(0, np.int64), np.empty(0, self.lanes.listed.dtype), np.empty(0, np.uint8)
        for array in empty:
            array.flags.writeable = False
        return empty

    @cached_property
    def counted(self) -> bool:
        """Whether events of equal counts are added together: a dense layer of inputs that are no spikes."""
        return self.lanes is not None and isinstance(self.layer, Dense) and not self.rules[BINARY]


@dataclass(frozen=True, eq=False)
class ResamplingPlan:
    """A sum pool or an upsampling; its outputs are stored as out_type."""

    layer: Resampling
    in_shape: Shape
    out_shape: Shape
    out_type: type[Any]
    rules: Array


Plan = SpikingPlan | ResamplingPlan | ReadoutPlan


def make_plans(program: Program) -> tuple[Plan, ...]:
    """One plan per layer; the range of each layer's inputs follows from the layers in front of it.

    Raises:
        CompileError: a layer whose intermediate results need more than 64 bits.
    """
    plans: list[Plan] = []
    # Frames may be all that their type holds, where that is wide enough.
    ends = program.input_ranges((program.input_min, max(program.input_max, -program.input_min, UINT8_MAX)))
    ranges = [Inputs(*pair) for pair in ends]
    for index, layer in enumerate(program.layers):
        if isinstance(layer, Resampling):
            plans.append(_plan_resampling(program, layer, index, ranges))
        else:
            make = plan_readout if isinstance(layer, Readout) else _plan_spiking
            plans.append(make(program, index, ranges[index]))
    for made in plans:
        tables = (getattr(made, name, None) or () for name in ("synapses", "lanes"))
        for array in (*vars(made).values(), *chain(*tables)):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False  # so that kernels need not expect writes: 8 % less time
    return tuple(plans)


def _plan_resampling(
    program: Program, layer: Resampling, index: int, ranges: list[Inputs]
) -> ResamplingPlan:
    before, after = program.shapes()[index : index + 2]
    rules = rule_constants(program.arithmetic, layer.exponent)
    return ResamplingPlan(layer, before, after, ranges[index + 1].stored_type, rules)


def _plan_spiking(program: Program, index: int, inputs: Inputs) -> SpikingPlan:
    layer, (in_shape, out_shape) = program.layers[index], program.shapes()[index : index + 2]
    assert isinstance(layer, (Dense, Conv2d))
    label = layer_label(index, layer)
    widths = choose_widths(layer, inputs.x_max, program.arithmetic, label, inputs.low < 0)
    if isinstance(layer, Conv2d):
        groups, tables, delays = layer.groups, [conv_table(layer)], layer.delay.astype(np.int64)
        unit, units = in_shape[0] // groups, in_shape[1] * in_shape[2] * groups
        segment_of, segments = conv_segments(layer, in_shape)
    else:
        groups, (tables, delays) = 1, dense_tables(layer, in_shape, index == 0)
        unit, units = layer.weight.shape[1], 1
        segment_of, segments = np.array([0, 1], np.int32), np.array([[0, 1, 0]], np.int32)
    delay_rows = len(tables[0])
    room = len(delays) * unit * widest(segment_of, segments) + out_shape[0] + ROWS
    rules = rule_constants(program.arithmetic, layer.weight_exp)
    rules[INTERVAL], rules[OFFSET] = program.reset_interval, layer.reset_offset
    rules[BINARY], rules[RECURRENT] = inputs == SPIKES, -1
    checks = index == 0 and inputs.stored_type is np.uint8 and program.input_max < UINT8_MAX
    rules[MOST] = program.input_max if checks else UNCHECKED
    if isinstance(layer, Dense) and layer.recurrent is not None:
        rules[RECURRENT] = len(delays) * delay_rows
        tables.append(layer.recurrent.T)
    rules[EARLY] = resets_early(layer, program.arithmetic)
    rules[FILTERED] = bool((layer.u_decay != NO_DECAY_FILTER).any())
    rows = max(sum(map(len, tables)) + 1, stored_size(unit * units))
    index_type = np.uint16 if rows <= np.iinfo(np.uint16).max else np.int32
    unit_of = (np.arange(stored_size(unit * units)) // unit).astype(np.int32)
    synapses = Synapses(
        weight_rows(tables, widths), np.empty(0, widths.partial), unit_of, units, segment_of, segments,
        delays, delay_rows, widths.partial_inputs,
    )  # fmt: skip
    constants = _constants(layer, program)
    vectors = np.tile(constants.astype(widths.total), prod(out_shape[1:]))
    plain = widths.types == LADDER[0] and not (delays.any() or rules[FILTERED] or rules[RECURRENT] >= 0)
    lanes = None
    if plain and inputs.stored_type is np.uint8:
        x_max = max(1, min(inputs.x_max, program.input_max) if index == 0 else inputs.x_max)
        rules[BINARY] = x_max == 1
        rules[QUICK] = quick_step(layer, program.arithmetic)
        lanes = _plan_lanes(layer, program, synapses, constants, x_max, groups)
    return SpikingPlan(layer, in_shape, out_shape, widths, synapses, room, index_type, vectors, rules, lanes)


def _plan_lanes(
    layer: SpikingLayer, program: Program, synapses: Synapses, constants: Array, x_max: int, groups: int
) -> Lanes:
    """16 bits hold the sum of n inputs, and what is added to it, where the n largest weights allow it.

    x_max: the largest input, 1 or more.
    """
    rules, lanes, short = program.arithmetic, synapses.weight.shape[1], np.iinfo(np.int16).max
    beside = int(np.abs(constants[BIAS]).max() + np.abs(constants[THRESHOLD]).max())
    room = (short - beside - (1 << max(-layer.weight_exp, 0))) >> max(layer.weight_exp, 0)
    fits = rules.state.high + most_given(layer, rules) <= short and rules.overflow != "wrap"
    padding = np.zeros((len(constants), groups, lanes), np.int64)
    padding[THRESHOLD] = short
    padding[:, :, : len(layer.weight) // groups] = constants.reshape(len(constants), groups, -1)
    wide = padding.reshape(len(constants), -1)
    narrow_rows = most_rows(layer, room // x_max) if fits else -1
    silent = (constants[BIAS] == 0) & (constants[THRESHOLD] > 0)
    units, size = synapses.units, int(np.searchsorted(synapses.unit_of, synapses.units))
    places = (len(synapses.segment_of) - 1) // groups
    return Lanes(
        aligned(pair_rows(synapses.weight)), lanes, synapses.unit_of[:size], units,
        synapses.segment_of.astype(np.uint32), synapses.segments[:, :2].astype(np.uint32),
        synapses.segments[:, 2].astype(np.int64), np.clip(wide, -short - 1, short).astype(np.int16),
        wide.astype(np.int32), narrow_rows,
        most_rows(layer, short // x_max), most_rows(layer, short), int(np.diff(synapses.segment_of).max()),
        len(layer.weight) if isinstance(layer, Conv2d) else 1,
        np.tile(silent.reshape(groups, -1).all(axis=1), places).astype(np.uint8),
        np.empty(0, np.int16 if rules.state.bits <= 16 else np.int32),
        np.empty(0, np.uint16 if size <= 1 << 16 else np.int32),
        *_scattered(layer, synapses, narrow_rows),
    )  # fmt: skip


def _scattered(layer: SpikingLayer, synapses: Synapses, narrow_rows: int) -> tuple[Array, Array, Array]:
    """table, targets_of and targets of `Lanes`: where places see few inputs, all of which 16 bits hold."""
    inputs = layer.weight[0].size
    if isinstance(layer, Dense) or inputs > min(FEW_INPUTS, narrow_rows):
        return synapses.weight[:0], np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    begin, end, offset = synapses.segments.astype(np.int64).T
    width, segments_of_place = end - begin, np.diff(synapses.segment_of)
    place = np.repeat(np.arange(len(segments_of_place)), segments_of_place)
    unit = np.repeat(begin - width.cumsum() + width, width) + np.arange(width.sum())
    by_unit = np.argsort(unit, kind="stable")
    targets_of = np.searchsorted(unit[by_unit], np.arange(synapses.units + 1))
    targets = np.stack([np.repeat(place, width), np.repeat(offset, width)], axis=1)[by_unit]
    return synapses.weight, targets_of, targets


def quick_step(layer: SpikingLayer, arithmetic: Arithmetic) -> int:
    """Which of the short ways through steps.py, of 16 bits, holds for all neurons, else 0."""
    if layer.weight_exp < 0 or arithmetic.state.bits > 16:
        return 0
    if not layer.v_decay.any():
        return KEPT
    if most_given(layer, arithmetic):
        return 0  # 16 bits may not hold what the reset leaves
    ways = {"floor": FLOOR, "toward-zero": TOWARD_ZERO}
    return ways.get(arithmetic.leak_rounding, 0) if layer.v_decay.all() else 0


def _constants(layer: SpikingLayer, program: Program) -> Array:
    """int64 (5, channels or neurons): BIAS, THRESHOLD, DROP, KEEP, KEEP_CURRENT."""
    rules = program.arithmetic
    vth = layer.vth.astype(np.int64)
    threshold = vth if rules.comparison == ">=" else vth + 1
    drop = vth if rules.reset == "subtract" else np.zeros(1, np.int64)
    rows = (layer.bias, threshold, drop, UNITY - layer.v_decay, UNITY - layer.u_decay)
    return np.array([np.broadcast_to(row, len(layer.weight)) for row in rows], np.int64)
