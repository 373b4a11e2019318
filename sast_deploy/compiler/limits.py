"""What a Loihi 1 core can hold, and which layers fit it.

Sources of the numbers: Davies et al., IEEE Micro 38(1), 2018; nengo-loihi `block.py` and `validate.py`;
Brian2Loihi; lava-nc. One membrane LSB is taken as one unit of the threshold's mantissa, 2**6 of the
chip's v; where a layer's exponent is too small for that, the whole layer is scaled up by 2**k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.linear import Weighted, weighted_layers, weighted_sums
from sast_deploy.program import Conv2d, Dense, Int32Array, Program, Readout, Shape

NEURONS_PER_CORE = 1024
IN_AXONS_PER_CORE = 4096
OUT_AXONS_PER_CORE = 4096
SYNAPSE_BITS_PER_CORE = 16384 * 64
CORES_PER_CHIP = 128
WEIGHT_BITS = (1, 2, 3, 4, 5, 6, 8)  # of a stored weight, sign included where the signs are mixed
STORED_BITS = 8  # weights stand left-aligned in 8 bits; mixed signs cost one LSB, so 9 bits of which 8 count
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -8, 7
VTH_MANTISSA_MAX = (1 << 17) - 1  # times 2**6
BIAS_MANTISSA_MAX = (1 << 12) - 1  # 13 bits with sign
BIAS_EXP_MAX = 7  # 3 bits
DECAY_MAX = (1 << 12) - 1
STATE_BITS, STATE_EXTRA_BITS = 24, 6  # u and v, sign included; v's bits below the threshold's mantissa
DELAY_MAX, DELAY_BITS = 62, 6
RESET = "zero"
PROGRAM = "program"  # stands for the layer in a check of the whole program


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


def check_limits(program: Program) -> tuple[LimitCheck, ...]:
    """Every limit for every weighted layer, in order, then the chip's."""
    shapes, cores_behind, total = program.shapes(), 0, 0
    checks: list[LimitCheck] = []
    for index, layer in reversed(list(weighted_layers(program))):
        found = _capacity(layer, shapes[index], shapes[index + 1], cores_behind) + _values(layer, program)
        name = f"layer {index} ({layer.kind})"
        checks[:0] = [LimitCheck(name, *check) for check in found]
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


def _capacity(layer: Weighted, before: Shape, after: Shape, cores_behind: int) -> list[_Found]:
    neurons, (sources, fan_in, synapses) = int(np.prod(after)), _connections(layer, before)
    bits = stored_weight_bits(layer.weight) or STORED_BITS
    delays = DELAY_BITS if layer.delay.any() else 0
    memory = synapses * (bits + delays)
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


def _values(layer: Weighted, program: Program) -> list[_Found]:
    """The limits on single numbers."""
    bits = stored_weight_bits(layer.weight)
    aligned = STORED_BITS + int(layer.weight.min() < 0) - (bits or STORED_BITS)
    exponent = layer.weight_exp - aligned
    k = max(0, WEIGHT_EXP_MIN - exponent)
    exponents = f"{WEIGHT_EXP_MIN}..{WEIGHT_EXP_MAX}"
    low, high, delay = int(layer.weight.min()), int(layer.weight.max()), int(layer.delay.max())
    found: list[_Found] = [
        ("weight bits", f"{low}..{high}: {bits or 'more'}", "1..6 or 8", 0, bits > 0),
        ("weight exponent", f"{exponent + k}", exponents, 0, exponent + k <= WEIGHT_EXP_MAX),
        ("delay", str(delay), f"0..{DELAY_MAX}", 0, delay <= DELAY_MAX),
    ]
    if isinstance(layer, Readout):
        return [*found, _bias(layer.bias, k)]
    vth, state = int(layer.vth.max()) << k, program.arithmetic.state.bits + STATE_EXTRA_BITS + k
    leak, filtered = (
        layer.v_decay,
        layer.u_decay.astype(np.int64) - 1,
    )  # the chip adds 1 to the current's decay
    fits = min(leak.min(), filtered.min()) >= 0 and max(leak.max(), filtered.max()) <= DECAY_MAX
    decays = f"v {_range(leak)}, u {_range(filtered)}"
    return [
        *found,
        (
            "threshold",
            str(vth),
            f"0..{VTH_MANTISSA_MAX}",
            0,
            int(layer.vth.min()) >= 0 and vth <= VTH_MANTISSA_MAX,
        ),
        _bias(layer.bias, k),
        ("decay", decays, f"0..{DECAY_MAX}", 0, bool(fits)),
        ("state bits", str(state), str(STATE_BITS), 0, state <= STATE_BITS),
    ]


def _bias(bias: Int32Array, k: int) -> _Found:
    """Whether every bias is a mantissa times a power of two that the core has."""
    scaled = [abs(int(value)) << k for value in bias]
    shifts = [max(0, value.bit_length() - BIAS_MANTISSA_MAX.bit_length()) for value in scaled]
    beyond = [v for v, n in zip(scaled, shifts, strict=True) if n > BIAS_EXP_MAX or v % (1 << n)]
    allowed = f"±{BIAS_MANTISSA_MAX} × 2^0..{BIAS_EXP_MAX}"
    return ("bias", str(max(beyond or scaled)), allowed, 0, not beyond)


def _range(values: npt.NDArray[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}..{high}"
