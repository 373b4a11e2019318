"""What a Loihi 1 core can hold, and which layers fit it.

Sources of the numbers: Davies et al., IEEE Micro 38(1), 2018; nengo-loihi `block.py` and `validate.py`;
Brian2Loihi; lava-nc. One membrane LSB is taken as one unit of the threshold's mantissa, 2**6 of the
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
from sast_deploy.program.program import (
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Int32Array,
    Program,
    Readout,
    Shape,
    SpikingLayer,
    layer_label,
)
from sast_deploy.program.sums import Weighted, weighted_layers, weighted_sums
from sast_deploy.proofs.bounds import NeuronBounds, bound_neurons, signed_bits
from sast_deploy.proofs.intervals import Interval

NEURONS_PER_CORE = 1024
IN_AXONS_PER_CORE = 4096
OUT_AXONS_PER_CORE = 4096
SYNAPSE_BITS_PER_CORE = 16384 * 64
CORES_PER_CHIP = 128
WEIGHT_BITS = (1, 2, 3, 4, 5, 6, 8)  # of a stored weight, sign included where the signs are mixed
STORED_BITS = 8  # weights stand left-aligned in 8 bits; mixed signs cost one LSB, so 9 bits of which 8 count
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -8, 7
BIAS_MANTISSA_MAX = (1 << 12) - 1  # 13 bits with sign
BIAS_EXP_MAX = 7  # 3 bits; a bias is mantissa * 2**exponent of the chip's v
DECAY_MAX = (1 << 12) - 1
STATE_BITS, STATE_EXTRA_BITS = 24, 6  # u and v, sign included; v's bits below the threshold's mantissa
DELAY_MAX, DELAY_BITS = 62, 6
RESET = "zero"
PROGRAM = "program"  # stands for the layer in a check of the whole program
FITS = "fits {cores} in every row that the file decides"
BREAKS = "does not fit a Loihi 1 core"
WHY = {  # what a broken limit means; the limits that are not here are met by several cores
    "input axons": f"a core takes {IN_AXONS_PER_CORE} inputs for a neuron; one of {{layer}} has {{needs}}",
    "weight bits": "Loihi 1 stores weights of 1 to 6 or 8 bits; those of {layer} are {needs}",
    "weight exponent": "Loihi 1 multiplies weights by 2^-8 to 2^7; {layer} needs 2^{needs}",
    "delay": f"Loihi 1 delays spikes by at most {DELAY_MAX} steps; {{layer}} needs {{needs}}",
    "threshold": f"Loihi 1 has thresholds from 0 to {VTH_MANT_MAX}; {{layer}} needs {{needs}}",
    "bias": "Loihi 1 has biases of 12 bits, the sign apart, times a power of two; {layer} needs {needs}",
    "decay": f"Loihi 1 has decays from 0 to {DECAY_MAX}; {{layer}} needs {{needs}}",
    "state bits": f"Loihi 1 has membranes of {STATE_BITS} bits; those of {{layer}} need {{needs}}",
    "current bits": f"Loihi 1 has currents of {STATE_BITS} bits; those of {{layer}} may need {{needs}}",
    "cores": f"a chip has {CORES_PER_CHIP} cores; the program needs {{needs}}",
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
        return WHY[self.limit].format(layer=self.layer, needs=self.needs)

    def __str__(self) -> str:
        """As in `input axons 5873 of 4096, layer 0`."""
        place = "" if self.layer == PROGRAM else f", {self.layer.partition(' (')[0]}"
        return f"{self.limit} {self.needs} of {self.allowed.partition(' a ')[0]}{place}"


def broken_limits(checks: Sequence[LimitCheck]) -> tuple[LimitCheck, ...]:
    """Those that no number of cores meets."""
    return tuple(check for check in checks if not check.meets)


def verdict(checks: Sequence[LimitCheck]) -> str:
    """Whether Loihi 1 cores hold the program, and how many it takes, by all rows; one line."""
    broken = broken_limits(checks)
    if broken:
        return f"{BREAKS}: {'; '.join(map(str, broken))}"
    needs = max((check.cores for check in checks if check.layer == PROGRAM), default=1)
    return FITS.format(cores="a Loihi 1 core" if needs <= 1 else f"{needs} Loihi 1 cores")


def check_limits(
    program: Program, bounds: Mapping[int, NeuronBounds] | None = None
) -> tuple[LimitCheck, ...]:
    """Every limit for every weighted layer, in order, then the chip's. bounds: if they are at hand."""
    shapes, cores_behind, total = program.shapes(), 0, 0
    bounds = bound_neurons(program) if bounds is None else bounds
    checks: list[LimitCheck] = []
    for index, layer in reversed(list(weighted_layers(program))):
        found = _capacity(layer, shapes[index], shapes[index + 1], cores_behind, _delay(layer, program))
        found += _values(layer, program, bounds[index])
        checks[:0] = [LimitCheck(layer_label(index, layer), *check) for check in found]
        cores = max(check[3] for check in found)
        # A neuron has an axon to every core behind it that it reaches: all of a dense layer's, but of a
        # convolution's at best one.
        cores_behind = 1 if isinstance(layer, Conv2d) else cores
        total += cores
    chip = LimitCheck(
        PROGRAM, "cores", str(total), f"{CORES_PER_CHIP} a chip", total, total <= CORES_PER_CHIP
    )
    reset = program.arithmetic.reset
    return (*checks, chip, LimitCheck(PROGRAM, "reset", reset, RESET, 0, reset == RESET))


def stored_weight_bits(weight: Int32Array) -> int:
    """The narrowest width in which a core can store the weights; 0 where none can."""
    low, high = int(weight.min()), int(weight.max())
    for bits in WEIGHT_BITS:
        lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if low < 0 else (0, (1 << bits) - 1)
        if lowest <= low and high <= highest:
            return bits
    return 0


_Found = tuple[str, str, str, int, bool]  # the fields of a LimitCheck behind `layer`


def mantissa_shift(program: Program) -> int:
    """Bits of the chip's v below a membrane LSB: 6, or 0 where the program counts in the chip's v itself."""
    thresholds = [layer.vth for _, layer in program.spiking()]
    whole = all((vth % (1 << STATE_EXTRA_BITS) == 0).all() for vth in thresholds)
    has_room = program.arithmetic.state.bits + STATE_EXTRA_BITS <= STATE_BITS
    return 0 if whole and not has_room else STATE_EXTRA_BITS


def _delay(layer: Weighted, program: Program) -> int:
    """The chip's delay: in stock Lava's programs a spike's way to the next core is one of the steps."""
    on_the_way = int(mantissa_shift(program) == 0 and layer.delay.min() > 0)
    return int(layer.delay.max()) - on_the_way


def _capacity(layer: Weighted, before: Shape, after: Shape, cores_behind: int, delay: int) -> list[_Found]:
    neurons, (sources, fan_in, synapses) = int(np.prod(after)), _connections(layer, before)
    bits = stored_weight_bits(layer.weight) or STORED_BITS
    memory = synapses * (bits + (DELAY_BITS if delay else 0))
    axons = neurons * max(cores_behind, 1)
    spread = -(-sources // IN_AXONS_PER_CORE) if isinstance(layer, Conv2d) else 1
    return [
        ("neurons", *_per_core(neurons, NEURONS_PER_CORE)),
        ("input axons", str(fan_in), f"{IN_AXONS_PER_CORE} a neuron", spread, fan_in <= IN_AXONS_PER_CORE),
        ("output axons", *_per_core(axons, OUT_AXONS_PER_CORE)),
        ("synapse bits", *_per_core(memory, SYNAPSE_BITS_PER_CORE)),
    ]


def _per_core(needs: int, allowed: int) -> tuple[str, str, int, bool]:
    return str(needs), f"{allowed} a core", max(1, -(-needs // allowed)), True


def _connections(layer: Weighted, before: Shape) -> tuple[int, int, int]:
    """(inputs that lead anywhere, the largest fan-in of a neuron, synapses in all), zero weights left out.

    A core stores a convolution's kernel once for many positions at best; here every synapse counts.
    """
    ones = np.ones((1, *before), dtype=np.int64)
    used = (layer.weight != 0).astype(np.int32)
    fan_in = weighted_sums(layer, ones, used).ravel()
    recurrent = layer.recurrent if isinstance(layer, Dense) else None
    sources = int(np.prod(before)) if isinstance(layer, Conv2d) else int(used.any(axis=0).sum())
    if recurrent is not None:
        fan_in, sources = fan_in + (recurrent != 0).sum(axis=1), sources + len(recurrent)
    return sources, int(fan_in.max()), int(fan_in.sum())


def _values(layer: Weighted, program: Program, bounds: NeuronBounds) -> list[_Found]:
    """The limits on single numbers."""
    bits, below = stored_weight_bits(layer.weight), mantissa_shift(program)
    aligned = STORED_BITS + int(layer.weight.min() < 0) - (bits or STORED_BITS)
    exponent = layer.weight_exp - aligned - (STATE_EXTRA_BITS - below)
    k = max(0, WEIGHT_EXP_MIN - exponent)
    low, high, delay = int(layer.weight.min()), int(layer.weight.max()), _delay(layer, program)
    exponents = f"{WEIGHT_EXP_MIN}..{WEIGHT_EXP_MAX}"
    found: list[_Found] = [
        ("weight bits", f"{low}..{high}: {bits or 'more'}", "1..6 or 8", 0, bits > 0),
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
