"""What a chip's cores can hold, and which layers fit them; capacities are `chips`', cores `mapping`'s.

Sources of the other numbers, Loihi 1's: Davies et al., IEEE Micro 38(1), 2018; nengo-loihi `block.py` and
`validate.py`; Brian2Loihi; lava-nc. Loihi 2's neurons are programs: only capacities and weights limit it.
One membrane LSB is taken as one unit of the threshold's mantissa, 2**6 of the
chip's v; where a layer's exponent is too small for that, the whole layer is scaled up by 2**k. A program
whose membranes leave no room for these 6 bits and whose thresholds are multiples of 64, as stock Lava's, is
counted in the chip's v itself. Thresholds and biases are shown in units of the mantissa either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.lava_constants import VTH_MANT_MAX
from sast_deploy.program.program import NO_DECAY_FILTER, Int32Array, Program, Readout, SpikingLayer
from sast_deploy.program.sums import Weighted, weighted_layers
from sast_deploy.proofs.bounds import NeuronBounds, bound_neurons, signed_bits
from sast_deploy.proofs.chips import INPUT_AXONS, LOIHI1, OUTPUT_AXONS, SYNAPSE_BITS, SYNAPSES, Chip
from sast_deploy.proofs.intervals import Interval
from sast_deploy.proofs.mapping import (
    STATE_BITS,
    STATE_EXTRA_BITS,
    STORED_BITS,
    LayerMapping,
    Mapping as CoreMapping,
    chip_delay,
    mantissa_shift,
    map_program,
    stored_weight_bits,
)

# STORED_BITS: weights stand left-aligned in 8 bits; mixed signs cost one LSB, so 9 bits of which 8 count.
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -8, 7
BIAS_MANTISSA_MAX = (1 << 12) - 1  # 13 bits with sign
BIAS_EXP_MAX = 7  # 3 bits; a bias is mantissa * 2**exponent of the chip's v
DECAY_MAX = (1 << 12) - 1
DELAY_MAX = 62
RESET, PROGRAMMED = "zero", "any: neurons are programs"
PROGRAM = "program"  # stands for the layer in a check of the whole program
FITS = "fits {cores} in every row that the file decides"
BREAKS = "does not fit a {chip} core"
WHY = {  # what a broken limit means
    **{
        name: f"a core has {{allowed}} {name} for a neuron; one of {{layer}} needs {{needs}}"
        for name in (INPUT_AXONS, OUTPUT_AXONS, SYNAPSES, SYNAPSE_BITS)
    },
    "weight bits": "the chip stores weights of {allowed} bits; those of {layer} are {needs}",
    "weight exponent": "Loihi 1 multiplies weights by 2^-8 to 2^7; {layer} needs 2^{needs}",
    "delay": f"Loihi 1 delays spikes by at most {DELAY_MAX} steps; {{layer}} needs {{needs}}",
    "threshold": f"Loihi 1 has thresholds from 0 to {VTH_MANT_MAX}; {{layer}} needs {{needs}}",
    "bias": "Loihi 1 has biases of 12 bits, the sign apart, times a power of two; {layer} needs {needs}",
    "decay": f"Loihi 1 has decays from 0 to {DECAY_MAX}; {{layer}} needs {{needs}}",
    "state bits": f"Loihi 1 has membranes of {STATE_BITS} bits; those of {{layer}} need {{needs}}",
    "current bits": f"Loihi 1 has currents of {STATE_BITS} bits; those of {{layer}} may need {{needs}}",
    "cores": "the program needs {needs} cores, of {allowed}",
    "reset": "Loihi 1 resets to zero; this program subtracts",
}


@dataclass(frozen=True)
class LimitCheck:
    """One limit and what one layer needs of it.

    cores: how many cores the layer must be spread over for this limit alone; 0 where the limit is not
    one of capacity. meets: False where no number of cores helps.
    """

    layer: str
    limit: str
    needs: str
    allowed: str
    cores: int
    meets: bool

    @property
    def why(self) -> str:
        """What it means that the limit is broken."""
        return WHY[self.limit].format(
            layer=self.layer, needs=self.needs, allowed=self.allowed.partition(" a ")[0]
        )

    def __str__(self) -> str:
        """As in `input axons 5873 of 4096, layer 0`."""
        place = "" if self.layer == PROGRAM else f", {self.layer.partition(' (')[0]}"
        return f"{self.limit} {self.needs} of {self.allowed.partition(' a ')[0]}{place}"


def broken_limits(checks: Sequence[LimitCheck]) -> tuple[LimitCheck, ...]:
    """Those that no number of cores meets."""
    return tuple(check for check in checks if not check.meets)


def verdict(checks: Sequence[LimitCheck], chip: Chip = LOIHI1) -> str:
    """Whether the chip's cores hold the program, and how many it takes, by all rows; one line."""
    broken = broken_limits(checks)
    if broken:
        return f"{BREAKS.format(chip=chip.title)}: {'; '.join(map(str, broken))}"
    needs = max((check.cores for check in checks if check.layer == PROGRAM), default=1)
    return FITS.format(cores=f"a {chip.title} core" if needs <= 1 else f"{needs} {chip.title} cores")


def check_limits(
    program: Program, bounds: Mapping[int, NeuronBounds] | None = None, mapping: CoreMapping | None = None
) -> tuple[LimitCheck, ...]:
    """Every limit for every weighted layer, in order, then the chip's. bounds, mapping: if they are at hand;
    without a mapping the chip is Loihi 1.
    """
    mapping = map_program(program) if mapping is None else mapping
    chip, checks = mapping.chip, []
    bounds = bound_neurons(program) if bounds is None else bounds
    for (index, layer), mapped in zip(weighted_layers(program), mapping.layers, strict=True):
        found = [*_capacity(mapped, chip), _weight_bits(layer, chip)]
        found += [] if chip.programmable else _values(layer, program, bounds[index])
        checks += [LimitCheck(mapped.name, *check) for check in found]
    needs, has = mapping.cores, chip.cores
    checks.append(LimitCheck(PROGRAM, "cores", str(needs), f"{has} a chip", needs, needs <= has))
    reset, allowed = program.arithmetic.reset, PROGRAMMED if chip.programmable else RESET
    meets = chip.programmable or reset == RESET
    return (*checks, LimitCheck(PROGRAM, "reset", reset, allowed, 0, meets))


_Found = tuple[str, str, str, int, bool]  # the fields of a LimitCheck behind `layer`


def _capacity(mapped: LayerMapping, chip: Chip) -> list[_Found]:
    """What the layer needs in all, and on how many cores; of input axons the neuron that has the most."""
    found: list[_Found] = []
    for name, limit in chip.capacities.items():
        meets = name not in mapped.beyond
        if name == INPUT_AXONS or not meets:
            cores = mapped.alone.get(name, 1)
            found.append((name, str(mapped.least[name]), f"{limit} a neuron", cores, meets))
        else:
            total = sum(part.needs(name) for part in mapped.parts)
            found.append((name, str(total), f"{limit} a core", mapped.alone[name], True))
    return found


def _weight_bits(layer: Weighted, chip: Chip) -> _Found:
    """Whether a core stores the weights, the recurrent ones apart, in one of its widths."""
    low, high = int(layer.weight.min()), int(layer.weight.max())
    bits, (*narrow, widest) = stored_weight_bits(layer.weight, chip.weight_bits), chip.weight_bits
    allowed = f"{narrow[0]}..{narrow[-1]} or {widest}"
    return ("weight bits", f"{low}..{high}: {bits or 'more'}", allowed, 0, bits > 0)


def _values(layer: Weighted, program: Program, bounds: NeuronBounds) -> list[_Found]:
    """The limits on single numbers."""
    bits, below = stored_weight_bits(layer.weight), mantissa_shift(program)
    aligned = STORED_BITS + int(layer.weight.min() < 0) - (bits or STORED_BITS)
    exponent = layer.weight_exp - aligned - (STATE_EXTRA_BITS - below)
    k = max(0, WEIGHT_EXP_MIN - exponent)
    delay, exponents = chip_delay(layer, program), f"{WEIGHT_EXP_MIN}..{WEIGHT_EXP_MAX}"
    found: list[_Found] = [
        ("weight exponent", f"{exponent + k}", exponents, 0, exponent + k <= WEIGHT_EXP_MAX),
        ("delay", str(delay), f"0..{DELAY_MAX}", 0, delay <= DELAY_MAX),
        _bias(layer.bias, below + k),
    ]
    if not isinstance(layer, Readout):
        state = program.arithmetic.state.bits
        return [*found, _threshold(layer.vth, below + k), *_registers(layer, state, bounds, below + k)]
    if layer.sums:
        return found
    return [*found, *_registers(layer, _width(bounds.membrane), bounds, below + k)]


def _threshold(vth: Int32Array, scale: int) -> _Found:
    """Whether the core has them. scale: a membrane LSB is 2**scale of the chip's v."""
    low, high = int(vth.min()), int(vth.max())
    fires = low >= 0 and high << scale <= VTH_MANT_MAX << STATE_EXTRA_BITS
    return ("threshold", _mantissas(low if low < 0 else high, scale), f"0..{VTH_MANT_MAX}", 0, fires)


def _registers(
    layer: SpikingLayer | Readout, state_bits: int, bounds: NeuronBounds, scale: int
) -> list[_Found]:
    """Decays, membranes of so many bits, and currents. scale: a membrane LSB is 2**scale of the chip's v."""
    leak, filtered = layer.v_decay, layer.u_decay.astype(np.int64) - 1  # the chip adds 1 to the current's
    fits = min(leak.min(), filtered.min()) >= 0 and max(leak.max(), filtered.max()) <= DECAY_MAX
    state = state_bits + scale
    found: list[_Found] = [
        ("decay", f"v {_range(leak)}, u {_range(filtered)}", f"0..{DECAY_MAX}", 0, bool(fits)),
        ("state bits", str(state), str(STATE_BITS), 0, state <= STATE_BITS),
    ]
    if (layer.u_decay < NO_DECAY_FILTER).any():
        current = _width(bounds.current) + scale
        found.append(("current bits", str(current), str(STATE_BITS), 0, current <= STATE_BITS))
    return found


def _width(interval: Interval) -> int:
    return signed_bits(int(interval.low.min()), int(interval.high.max()))


def _bias(bias: Int32Array, scale: int) -> _Found:
    """Whether every bias, 2**scale of the chip's v, is a mantissa times a power of two that the core has."""
    scaled = [abs(int(value)) << scale for value in bias]
    shifts = [max(0, value.bit_length() - BIAS_MANTISSA_MAX.bit_length()) for value in scaled]
    beyond = [v for v, n in zip(scaled, shifts, strict=True) if n > BIAS_EXP_MAX or v % (1 << n)]
    largest = BIAS_MANTISSA_MAX << (BIAS_EXP_MAX - STATE_EXTRA_BITS)
    allowed = f"±{BIAS_MANTISSA_MAX}, even to ±{largest}"
    return ("bias", _mantissas(max(beyond or scaled), 0), allowed, 0, not beyond)


def _mantissas(value: int, scale: int) -> str:
    """A value of 2**scale of the chip's v in units of the threshold's mantissa, exactly."""
    units = Decimal(value << scale) / (1 << STATE_EXTRA_BITS)
    return f"{units.normalize():f}"


def _range(values: npt.NDArray[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}..{high}"
