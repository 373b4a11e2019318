"""A program spread over the cores of a chip: which neurons stand on which core, and what that core holds.

Every core holds neurons of one layer, a block of its channels, rows and columns; a layer is split into as few
equal blocks as its cores' capacities allow, behind ones first, since a neuron has one output axon to every
core that it reaches. What is counted of a block:

    neurons        those that spike, and a readout's integrators
    synapses       weights that are not zero, one for each connection: a convolution's kernel counts at every
                   position
    synapse bits   synapses x the stored width of a weight, and a delay where there is one. No index and no
                   header is counted: a lower bound; `packed_bits` has both
    input axons    inputs that have a synapse in the block: neurons or pixels; those in one window of a pool
                   trigger the same synapses, and so share an axon
    output axons   for each neuron the blocks, behind it and of its own layer, in which it has a synapse

Pixels come from outside: they take input axons, but no core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Named
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np

from sast_deploy.program.fanout import Between, Block, cube, fan_out, through, weighted_with_sources, whole
from sast_deploy.program.geometry import Axis
from sast_deploy.program.program import (
    Conv2d,
    Dense,
    Int32Array,
    Program,
    Shape,
    layer_label,
)
from sast_deploy.program.sums import Int64Array, Weighted
from sast_deploy.proofs.chips import (
    INPUT_AXONS,
    LOIHI1,
    NEURONS,
    OUTPUT_AXONS,
    SYNAPSE_BITS,
    Chip,
    chip_of,
)

STORED_BITS, DELAY_BITS = 8, 6
STATE_BITS, STATE_EXTRA_BITS = 24, 6  # u and v, sign included; v's bits below the threshold's mantissa
WORD_BITS = 64  # of synaptic memory
LIST_WEIGHTS, LIST_HEADER_BITS = 64, 10  # nengo-loihi: so many weights of an axon share a header
INDEX_BITS = (6, 7, 8, 9, 10, 11, 12)  # of the neuron behind a weight, where not all of a row are stored


@dataclass(frozen=True)
class Part:
    """One core's share of a layer.

    block: its neurons. neurons, synapses, synapse_bits, input_axons, output_axons: see the module's text.
    packed_bits: the synapses as nengo-loihi packs them: per input axon lists of up to 64 weights, 10 bits of
    header each, in words of 64 bits, every weight from the first to the last that is not zero, or those that
    are not zero with an index each, whichever is less.
    """

    block: Block
    neurons: int
    synapses: int
    synapse_bits: int
    input_axons: int
    output_axons: int
    packed_bits: int

    def needs(self, limit: str) -> int:
        """What it needs of a capacity of `Chip.capacities`."""
        return int(getattr(self, limit.replace(" ", "_")))


@dataclass(frozen=True)
class LayerMapping:
    """The cores of one layer.

    index: in `Program.layers`. shape: (n,) or (C, H, W). bits: of a synapse, its delay included. split: into
    how many ranges of channels, of rows and of columns. alone: for each capacity the cores that it alone
    would ask for. least: what the neuron that needs most of it needs. binds: the capacity that asks for the
    most cores, the fullest where several do; "" on one core. beyond: capacities that even a single neuron
    exceeds. whole: what the layer needs of each capacity where the program is on one core, so that a neuron
    has one output axon at most.
    """

    index: int
    name: str
    shape: Shape
    bits: int
    split: tuple[int, int, int]
    parts: tuple[Part, ...]
    alone: Named[str, int]
    least: Named[str, int]
    binds: str
    beyond: tuple[str, ...]
    whole: Named[str, int]

    @property
    def cores(self) -> int:
        """How many."""
        return len(self.parts)

    def worst(self, limit: str) -> int:
        """What the core needs of a capacity that needs most of it."""
        return max(part.needs(limit) for part in self.parts)


@dataclass(frozen=True)
class Mapping:
    """A program on the cores of a chip, layer by layer, cores numbered in that order."""

    chip: Chip
    layers: tuple[LayerMapping, ...]

    @property
    def cores(self) -> int:
        """How many."""
        return sum(layer.cores for layer in self.layers)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Core by core."""
        return tuple(part for layer in self.layers for part in layer.parts)

    @property
    def fits_chip(self) -> bool:
        """Whether one chip has so many cores, and every core what its block needs."""
        return self.cores <= self.chip.cores and not any(layer.beyond for layer in self.layers)

    @cached_property
    def together(self) -> dict[str, int]:
        """What one core would need for all layers at once."""
        return {name: sum(layer.whole[name] for layer in self.layers) for name in self.chip.capacities}

    @property
    def fits_core(self) -> bool:
        """Whether one core has room for all layers at once."""
        return all(self.together[name] <= limit for name, limit in self.chip.capacities.items())

    @property
    def fullest(self) -> dict[str, tuple[int, int]]:
        """For each capacity (core, need) of the core that needs most of it, the first of equal ones."""
        found = {}
        for name in self.chip.capacities:
            needs = [part.needs(name) for part in self.parts]
            found[name] = (needs.index(max(needs)), max(needs))
        return found

    @property
    def overfull(self) -> int:
        """Cores whose memory would not hold their synapses as packed in words with headers."""
        limit = self.chip.synapse_bits
        return 0 if limit is None else sum(part.packed_bits > limit for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        layers = [
            {**asdict(layer), "shape": list(layer.shape), "cores": layer.cores} for layer in self.layers
        ]
        return {
            "chip": self.chip.to_dict(), "cores": self.cores, "fits_core": self.fits_core,
            "fits_chip": self.fits_chip, "overfull_when_packed": self.overfull, "layers": layers,
            "fullest": {name: {"core": at, "needs": need} for name, (at, need) in self.fullest.items()},
        }  # fmt: skip


def stored_weight_bits(weight: Int32Array, widths: tuple[int, ...] = LOIHI1.weight_bits) -> int:
    """The narrowest of the widths in which a core can store the weights; 0 where none can."""
    low, high = int(weight.min()), int(weight.max())
    for bits in widths:
        lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if low < 0 else (0, (1 << bits) - 1)
        if lowest <= low and high <= highest:
            return bits
    return 0


def mantissa_shift(program: Program) -> int:
    """Bits of the chip's v below a membrane LSB: 6, or 0 where the program counts in the chip's v itself."""
    thresholds = [layer.vth for _, layer in program.spiking()]
    whole = all((vth % (1 << STATE_EXTRA_BITS) == 0).all() for vth in thresholds)
    has_room = program.arithmetic.state.bits + STATE_EXTRA_BITS <= STATE_BITS
    return 0 if whole and not has_room else STATE_EXTRA_BITS


def chip_delay(layer: Weighted, program: Program) -> int:
    """The chip's delay: in stock Lava's programs a spike's way to the next core is one of the steps."""
    on_the_way = int(mantissa_shift(program) == 0 and layer.delay.min() > 0)
    return int(layer.delay.max()) - on_the_way


def map_program(program: Program, chip: str | Chip = "loihi1") -> Mapping:
    """Spread a program over cores. Raises UsageError: no such chip.

    >>> map_program(net.program).cores
    2
    """
    target, shapes = chip_of(chip), program.shapes()
    found: list[LayerMapping] = []
    axons: Int64Array | None = None  # of every neuron in front of what is mapped, (neurons,)
    for index, layer, between in reversed(list(weighted_with_sources(program))):
        after = cube(shapes[index + 1])
        behind = np.zeros(after, np.int64) if axons is None else axons.reshape(after)
        each = _stored_bits(layer, target) + (DELAY_BITS if chip_delay(layer, program) else 0)
        wants = _Wants(layer, between, shapes[index], after, behind, each)
        mapped = _mapped(index, layer, shapes[index + 1], wants, target)
        found.insert(0, mapped)
        fans = (fan_out(layer, shapes[index], True, part.block) for part in mapped.parts)
        axons = np.sum([through(between, fan) > 0 for fan in fans], axis=0, dtype=np.int64)
    return Mapping(target, tuple(found))


def _mapped(index: int, layer: Weighted, shape: Shape, wants: _Wants, chip: Chip) -> LayerMapping:
    least = {name: wants.most(name, wants.shape) for name in chip.capacities}
    beyond = tuple(name for name in chip.capacities if least[name] > chip.capacities[name])
    limits = {name: limit for name, limit in chip.capacities.items() if name not in beyond}
    split = _fewest(wants, limits)
    parts = tuple(wants.part(block, split[0]) for block in blocks(wants.shape, split))
    alone = {name: math.prod(_fewest(wants, {name: limit})) for name, limit in limits.items()}
    full = {name: max(part.needs(name) for part in parts) / limit for name, limit in limits.items()}
    binds = max(limits, key=lambda name: (alone[name], full[name])) if len(parts) > 1 else ""
    label, together = layer_label(index, layer), {name: wants.whole(name) for name in chip.capacities}
    return LayerMapping(index, label, shape, wants.each, split, parts, alone, least, binds, beyond, together)


def blocks(shape: tuple[int, int, int], split: tuple[int, int, int]) -> list[Block]:
    """The blocks of a layer (C, H, W), channels slowest."""
    spans = [list(pairwise(edges(size, count))) for size, count in zip(shape, split, strict=True)]
    return [Block(*each) for each in product(*spans)]


def edges(size: int, count: int) -> list[int]:
    """Where `count` nearly equal ranges of `size` begin, and the end."""
    return [size * number // count for number in range(count + 1)]


def _fewest(wants: _Wants, limits: Named[str, int]) -> tuple[int, int, int]:
    """The split (channels, rows, columns) into the fewest blocks that meet the limits; fewest tiles first."""
    channels, height, width = wants.shape
    best, least = wants.shape, math.prod(wants.shape) + 1
    for rows, columns in product(_counts(height), _counts(width)):
        tiles = rows * columns
        if tiles >= least:
            continue
        for ranges in range(1, channels + 1):
            if ranges * tiles >= least:
                break
            split = (ranges, rows, columns)
            if all(wants.most(name, split) <= limit for name, limit in limits.items()):
                best, least = split, ranges * tiles
    return best


def _counts(size: int) -> list[int]:
    """Numbers of ranges whose longest differ, from 1 on: the fewest ranges for every length."""
    return sorted({-(-size // length) for length in range(1, size + 1)})


class _Wants:
    """What blocks of one layer need of a core; never less than what `part` then counts.

    axons: of every neuron to cores behind it, (C, H, W). each: bits of a stored synapse.
    """

    def __init__(
        self, layer: Weighted, between: list[Between], before: Shape, after: tuple[int, int, int],
        axons: Int64Array, each: int,
    ) -> None:  # fmt: skip
        self.layer, self.between, self.before, self.shape, self.axons = layer, between, before, after, axons
        self.each = each
        self.used = (layer.weight != 0).reshape(len(layer.weight), -1)
        self.recurrent = layer.recurrent if isinstance(layer, Dense) else None
        if self.recurrent is not None:
            self.used = np.concatenate([self.used, self.recurrent != 0], axis=1)

    def most(self, limit: str, split: tuple[int, int, int]) -> int:
        """The largest need of any block."""
        if limit == NEURONS:
            return math.prod(-(-size // count) for size, count in zip(self.shape, split, strict=True))
        if limit == INPUT_AXONS:
            return self._input_axons(split)
        if limit == OUTPUT_AXONS:
            return self._output_axons(split)
        return self._synapses(split) * (self.each if limit == SYNAPSE_BITS else 1)

    def whole(self, limit: str) -> int:
        """What the layer needs of a core that holds the whole program."""
        if limit != OUTPUT_AXONS:
            return self.part(whole(self.shape), 1).needs(limit)
        sends = self.axons.ravel() > 0
        if self.recurrent is not None:
            sends = sends | (self.recurrent != 0).any(axis=0)
        return int(np.count_nonzero(sends))

    def part(self, block: Block, ranges: int) -> Part:
        """A block's needs, counted. ranges: of channels, into which its layer is split."""
        low, high = block.channels
        inputs = fan_out(self.layer, self.before, True, block)
        real = through(self.between, inputs)
        own = np.zeros(0, np.int64) if self.recurrent is None else (self.recurrent[low:high] != 0).sum(axis=0)
        synapses = int(inputs.sum() + own.sum())
        sent = int(block.of(self.axons).sum())
        if self.recurrent is not None:
            starts = edges(self.shape[0], ranges)[:-1]
            sent += int(np.logical_or.reduceat(self.recurrent[:, low:high] != 0, starts, axis=0).sum())
        axons = int(min(np.count_nonzero(real), np.count_nonzero(inputs)) + np.count_nonzero(own))
        packed = self._packed(block, np.concatenate([inputs, own]))
        return Part(block, block.neurons, synapses, synapses * self.each, axons, sent, packed)

    def _packed(self, block: Block, fans: Int64Array) -> int:
        """Bits of the lists of every input axon."""
        index = next((bits for bits in INDEX_BITS if block.neurons <= 1 << bits), INDEX_BITS[-1])
        sparse = _list_bits(fans, self.each + index)
        if isinstance(self.layer, Conv2d):
            return int(sparse.sum())
        used = self.used[slice(*block.channels)]
        last = len(used) - used[::-1].argmax(axis=0)
        spans = np.where(used.any(axis=0), last - used.argmax(axis=0), 0)
        return int(np.minimum(sparse, _list_bits(spans, self.each)).sum())

    def _input_axons(self, split: tuple[int, int, int]) -> int:
        starts = edges(self.shape[0], split[0])
        if not isinstance(self.layer, Conv2d):
            return int(np.logical_or.reduceat(self.used, starts[:-1], axis=0).sum(axis=1).max())
        per_group, groups = self.layer.weight.shape[1], self.layer.groups
        outputs = len(self.layer.weight) // groups
        channels = max(-(-high // outputs) - low // outputs for low, high in pairwise(starts)) * per_group
        seen = (_seen(axis, n) for axis, n in zip(self.layer.axes(self.before), split[1:], strict=True))
        return int(channels * math.prod(seen))

    def _output_axons(self, split: tuple[int, int, int]) -> int:
        sums = self.axons
        if self.recurrent is not None:
            sums = sums + split[0]
        for axis, count in enumerate(split):
            sums = np.add.reduceat(sums, edges(self.shape[axis], count)[:-1], axis=axis)
        return int(sums.max())

    def _synapses(self, split: tuple[int, int, int]) -> int:
        starts = edges(self.shape[0], split[0])[:-1]
        if not isinstance(self.layer, Conv2d):
            return int(np.add.reduceat(self.used.sum(axis=1), starts).max())
        taps = (self.layer.weight != 0).sum(axis=1)  # (channels, rows, columns) of the kernel
        rows, columns = (
            _met(axis, count) for axis, count in zip(self.layer.axes(self.before), split[1:], strict=True)
        )
        per_channel = np.einsum("oyx,y,x->o", taps, rows, columns)
        return int(np.add.reduceat(per_channel, starts).max())


def _seen(axis: Axis, count: int) -> int:
    """The most inputs that any of `count` ranges of outputs sees."""
    under = axis.under(np.arange(axis.outputs))
    ranges = (under[low:high] for low, high in pairwise(edges(axis.outputs, count)))
    return max(len(np.unique(each[(each >= 0) & (each < axis.size)])) for each in ranges)


def _met(axis: Axis, count: int) -> Int64Array:
    """(kernel,): for every tap the most outputs of any of `count` ranges that have an input under it."""
    under = axis.under(np.arange(axis.outputs))
    inside = ((under >= 0) & (under < axis.size)).astype(np.int64)
    return np.asarray(np.add.reduceat(inside, edges(axis.outputs, count)[:-1], axis=0).max(axis=0))


def _list_bits(weights: Int64Array, each: int) -> Int64Array:
    """Memory of axons with so many weights of `each` bits, in whole words per list."""
    full, rest = np.divmod(weights, LIST_WEIGHTS)
    whole = -(-(LIST_WEIGHTS * each + LIST_HEADER_BITS) // WORD_BITS)
    last = np.where(rest > 0, -(-(rest * each + LIST_HEADER_BITS) // WORD_BITS), 0)
    return np.asarray((full * whole + last) * WORD_BITS, np.int64)


def _stored_bits(layer: Weighted, chip: Chip) -> int:
    parts = [layer.weight, getattr(layer, "recurrent", None)]
    widths = [stored_weight_bits(part, chip.weight_bits) or STORED_BITS for part in parts if part is not None]
    return max(widths)
