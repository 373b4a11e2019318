"""What the cores of a chip hold, as far as it is published: named constants with their sources."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sast_deploy.base.errors import UsageError

NEURONS, SYNAPSES, SYNAPSE_BITS = "neurons", "synapses", "synapse bits"
INPUT_AXONS, OUTPUT_AXONS = "input axons", "output axons"


@dataclass(frozen=True)
class Chip:
    """Capacities of one core, None where none is published, and the number of cores.

    name: what options call it. title: what people do. neurons, synapses, synapse_bits, input_axons,
    output_axons: of one core. weight_bits: widths in which it stores weights, sign included where the signs
    are mixed. programmable: whether neurons follow a program, so that resets, decays, thresholds and biases
    are no limit of the chip. sources: of the numbers. unknown: what decides too, and is not published.
    """

    name: str
    title: str
    cores: int
    neurons: int
    synapses: int | None
    synapse_bits: int | None
    input_axons: int | None
    output_axons: int | None
    weight_bits: tuple[int, ...]
    programmable: bool
    sources: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def capacities(self) -> dict[str, int]:
        """The published limits of one core, by their names."""
        every = {
            NEURONS: self.neurons, INPUT_AXONS: self.input_axons, OUTPUT_AXONS: self.output_axons,
            SYNAPSES: self.synapses, SYNAPSE_BITS: self.synapse_bits,
        }  # fmt: skip
        return {name: limit for name, limit in every.items() if limit is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


LOIHI1 = Chip(
    name="loihi1",
    title="Loihi 1",
    cores=128,
    neurons=1024,
    synapses=None,
    synapse_bits=16384 * 64,
    input_axons=4096,
    output_axons=4096,
    weight_bits=(1, 2, 3, 4, 5, 6, 8),
    programmable=False,
    sources=(
        "Davies et al., IEEE Micro 38(1), 2018: cores, neurons, synaptic memory",
        "nengo-loihi, block.py and validate.py: axons, widths and blocks of weights in memory",
    ),
    unknown=("what the host takes of the input axons",),
)
LOIHI2 = Chip(
    name="loihi2",
    title="Loihi 2",
    cores=128,
    neurons=(1 << 20) // 128,
    synapses=120_000_000 // 128,
    synapse_bits=None,
    input_axons=None,
    output_axons=None,
    weight_bits=tuple(range(1, 9)),
    programmable=True,
    sources=(
        "Intel Labs, technology brief of Loihi 2, 2021: 128 cores, up to 1 million neurons and 120 million "
        "synapses a chip; a core's share is a 128th of each",
    ),
    unknown=(
        "axons, and how one core's memory is shared out between neurons, synapses and axons",
        "what its compressed convolutions and sparse formats save; every synapse is counted here",
    ),
)
CHIPS = {chip.name: chip for chip in (LOIHI1, LOIHI2)}


def chip_of(name: str | Chip) -> Chip:
    """The chip of that name. Raises UsageError."""
    if isinstance(name, Chip):
        return name
    if name not in CHIPS:
        raise UsageError(f"no chip {name!r}", expected=" or ".join(CHIPS))
    return CHIPS[name]
