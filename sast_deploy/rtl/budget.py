"""What a circuit takes of a gate array, before any synthesis: block memories and multipliers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sast_deploy.rtl.memories import Built, Parameters

# Words and bits of one block: the shapes that ECP5's DP16KD takes, Lattice FPGA-TN-02204, table 2.
BLOCK_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
FEW, SMALL = 64, 2048  # words, or bits, of a constant memory that is made of logic instead
LOGIC_WORDS, LOGIC_BITS = 16, 4  # of one memory made of logic, 16 of which Yosys takes for as dear as a block
DEAR = 16


@dataclass(frozen=True)
class Device:
    """blocks: of 18 kbit; multipliers: 18 x 18 bits. source: where that is said."""

    name: str
    blocks: int
    multipliers: int
    source: str = "Lattice ECP5 family data sheet, FPGA-DS-02012, table 1.1"


DEVICES = {
    "ecp5-25k": Device("ECP5-25", 56, 28),
    "ecp5-45k": Device("ECP5-45", 108, 72),
    "ecp5-85k": Device("ECP5-85", 208, 156),
}


@dataclass(frozen=True)
class Use:
    """Of one layer. blocks, multipliers: estimated. weight_bits, state_bits: of its memories."""

    layer: str
    blocks: int
    multipliers: int
    weight_bits: int
    state_bits: int


def uses(layers: Sequence[Built]) -> tuple[Use, ...]:
    """What every layer of a circuit takes, the queue behind it included."""
    return tuple(_use(layer, last=layer is layers[-1]) for layer in layers)


def blocks_of(words: int, bits: int, written: bool = False) -> int:
    """Block memories of so many words; 0 where logic is cheaper. written: whether it is, or constant."""
    blocks = min(-(-words // depth) * -(-bits // width) for depth, width in BLOCK_SHAPES)
    if written:
        return blocks if -(-words // LOGIC_WORDS) * -(-bits // LOGIC_BITS) > DEAR * blocks else 0
    return 0 if words <= FEW or words * bits <= SMALL else blocks


def _use(layer: Built, last: bool) -> Use:
    constants = [(len(each.words), each.words.shape[1] * each.bits) for each in layer.memories]
    states = list(_states(layer, last))
    return Use(
        layer.unit.label,
        sum(blocks_of(*each) for each in constants) + sum(blocks_of(*each, written=True) for each in states),
        _multipliers(layer),
        sum(words * bits for words, bits in constants), sum(words * bits for words, bits in states),
    )  # fmt: skip


def _states(layer: Built, last: bool) -> Iterator[tuple[int, int]]:
    """(words, bits of one) of every memory that is written: sums, states, rows to encode, the queue."""
    unit, parameters = layer.unit, layer.parameters
    rows, lanes = unit.row_count, unit.lanes
    yield rows * unit.slots, lanes * int(parameters["ACCUMULATOR"])
    yield rows, lanes * layer.outputs[0]
    if unit.kind != "pool":
        yield rows, lanes * layer.membrane
    if unit.kind == "spikes":
        yield rows, lanes
    if parameters.get("FILTER"):
        yield rows, lanes * int(parameters["CURRENT"])
    if unit.kind in ("readout", "counts"):
        yield rows, lanes * int(parameters["LOGIT"])
    if not last:
        yield math.prod(unit.out_shape) + 1, sum(layer.outputs) + 2


def _multipliers(layer: Built) -> int:
    """One a lane where events have values, and for each leak whose factor is not the same power of two."""
    unit, parameters = layer.unit, layer.parameters
    graded = int(parameters["IN_VALUE"]) > 1 and unit.layer is not None
    leaks = bool(parameters["LEAKS"]) and unit.kind != "pool" and not _shifts(parameters, "KEEP")
    filters = bool(parameters.get("FILTER")) and not _shifts(parameters, "FILTER_KEEP")
    return unit.lanes * (graded + leaks + filters)


def _shifts(parameters: Parameters, keep: str) -> bool:
    """Whether a leak is a shift alone: the same for all neurons, by a power of two, or nothing is left."""
    return bool(parameters[f"{keep}_CONSTANT"]) and int(parameters.get(f"{keep}_VALUE", 0)).bit_count() <= 1
