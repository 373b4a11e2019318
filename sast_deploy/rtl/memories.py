"""What the circuit's memories hold: words of integers as text for $readmemh, and the parameters that go with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import OVERFLOWS, ROUNDINGS
from sast_deploy.program.program import DECODINGS, LEAK_BITS, NO_DECAY_FILTER, Conv2d, Readout, per_neuron
from sast_deploy.proofs.bounds import signed_bits
from sast_deploy.rtl.plan import BANKED, Ints, Plan, Unit, current_bits, filtered, integral_bits

DELAY_BITS = 6


@dataclass(frozen=True, eq=False)
class Memory:
    """One file. words: int64 (words, values), the lowest bits first. bits: of a value."""

    name: str
    words: Ints
    bits: int
    about: str

    @property
    def size(self) -> int:
        """Bits of the memory."""
        return int(self.words.size) * self.bits

    def text(self) -> str:
        """One word a line, hexadecimal, two's complement."""
        return hexadecimal(self.words, self.bits)


@dataclass(frozen=True, eq=False)
class Built:
    """One layer of the circuit: the parameters of its module, and its memories. outputs: bits of (value,
    channel, row, column) of what it sends.
    """

    unit: Unit
    name: str
    parameters: dict[str, int | str]
    memories: tuple[Memory, ...]
    outputs: tuple[int, int, int, int]
    membrane: int


def hexadecimal(words: Ints, bits: int) -> str:
    """Lines of words (words, values) of `bits` each, the first value lowest."""
    count, values = words.shape
    each = (words[:, ::-1, None] >> np.arange(bits - 1, -1, -1)) & 1
    spare = -(values * bits) % 4
    digits = np.pad(each.reshape(count, -1), ((0, 0), (spare, 0))).reshape(count, -1, 4) @ (8, 4, 2, 1)
    text = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    lines = np.concatenate([text, np.full((count, 1), ord("\n"), np.uint8)], axis=1)
    return lines.tobytes().decode("ascii")


def bits_of(count: int) -> int:
    """Of a number below `count`; one at least."""
    return max(1, (count - 1).bit_length())


def build_layers(plan: Plan) -> tuple[Built, ...]:
    """Every layer of the circuit. Raises CompileError for logits beyond 64 bits."""
    built: list[Built] = []
    for number, unit in enumerate(plan.units):
        built.append(_built(plan, unit, f"layer{number}", built[-1] if built else None))
    return tuple(built)


def value_bits(low: int, high: int) -> int:
    """Of an event's value: unsigned where none is below 0."""
    return high.bit_length() if low >= 0 else signed_bits(low, high)


def _built(plan: Plan, unit: Unit, name: str, before: Built | None) -> Built:
    rules = plan.program.arithmetic
    parameters: dict[str, int | str] = {
        "FILE": f"mem/{name}",
        "LANES": unit.lanes,
        "WEIGHTED": int(unit.layer is not None),
    }
    memories: list[Memory] = []
    if before is None:
        inputs = (value_bits(*unit.value), *map(bits_of, unit.in_shape))
        signed = unit.value[0] < 0
    else:
        inputs, signed = before.outputs, before.unit.kind == "pool"
    names = ("IN_VALUE", "IN_CHANNEL", "IN_ROW", "IN_COLUMN")
    parameters |= dict(zip(names, inputs, strict=True)) | {"IN_SIGNED": int(signed)}
    memories += _addresses(unit, name, parameters)
    if unit.layer is not None:
        memories += _weights(unit, name, rules.weight_bits, parameters)
    parameters |= {
        "ROWS": unit.row_count, "ROW_ADDRESS": bits_of(unit.row_count), "GROUPS": unit.groups,
        "WORDS": unit.words, "CHANNELS": unit.channels, "OUT_COLUMNS": unit.out_shape[2],
        "ACCUMULATOR": signed_bits(*unit.sums) + (unit.kind == "counts"),
        "EXPONENT": unit.exponent, "SHIFT_ROUNDING": ROUNDINGS.index(rules.shift_rounding),
        "LEAK_ROUNDING": ROUNDINGS.index(rules.leak_rounding),
    }  # fmt: skip
    membrane = _widths(plan, unit, parameters)
    memories += _neurons(unit, name, parameters, plan.program.reset_interval)
    if unit.kind in ("readout", "counts"):
        outputs = (int(parameters["LOGIT"]), bits_of(len(plan.program.classes)), 1, 1)
    else:
        outputs = (membrane if unit.kind == "pool" else 1, *map(bits_of, unit.out_shape))
    names = ("OUT_VALUE", "OUT_CHANNEL", "OUT_ROW", "OUT_COLUMN")
    parameters |= dict(zip(names, outputs, strict=True))
    parameters |= {"POOLS": int(unit.kind == "pool"), "READS": int(unit.kind in ("readout", "counts"))}
    if unit.kind == "spikes":
        parameters |= {"RESET": _reset(rules), "FIT": OVERFLOWS.index(rules.overflow),
                       "AT_THRESHOLD": int(rules.comparison == ">=")}  # fmt: skip
    else:
        parameters |= {"FIT": len(OVERFLOWS)}
        if isinstance(unit.layer, Readout):
            parameters["DECODING"] = DECODINGS.index(unit.layer.decoding)
    return Built(unit, name, parameters, tuple(memories), outputs, membrane)


def _reset(rules: Any) -> int:
    """As the module counts: subtract after the leak, before it, to zero."""
    return 2 if rules.reset == "zero" else int(rules.reset_order == "before-leak")


def _units_of_offsets(unit: Unit) -> tuple[tuple[int, int], tuple[int, int]]:
    """(rows, columns): what one tap is worth in addresses of weights, and one output in those of sums."""
    row = unit.groups * unit.words
    if unit.kind == "counts":
        return (0, unit.in_shape[2]), (0, 1)
    if isinstance(unit.layer, Conv2d):
        word = unit.words * unit.flat
        weights = word * unit.layer.weight.shape[3], word
    else:
        weights = 2 * (channels_of(unit),) if unit.layer is not None else (0, 0)
    return (weights[0], unit.out_shape[2] * row), (weights[1], row)


def channels_of(unit: Unit) -> int:
    """Of the inputs, at every position."""
    return unit.in_shape[0]


def _addresses(unit: Unit, name: str, parameters: dict[str, int | str]) -> Iterator[Memory]:
    """The tables from coordinates to addresses."""
    (row_weight, row_sum), (column_weight, column_sum) = _units_of_offsets(unit)
    sums = bits_of(unit.row_count * unit.slots)
    weights = bits_of(weight_count(unit))
    taps = bits_of(1 + int(max(unit.rows.taps.max(), unit.columns.taps.max())))
    for axis, reach, weight, total in (
        ("rows", unit.rows, row_weight, row_sum), ("columns", unit.columns, column_weight, column_sum),
    ):  # fmt: skip
        word = reach.output * total | (reach.tap * weight) << sums | reach.taps << (sums + weights)
        yield Memory(
            f"{name}_{axis}.mem",
            _two(word),
            sums + weights + taps,
            f"taps, weight, sum of each of the {axis}",
        )
    numbers = np.arange(unit.in_shape[0])
    if unit.kind == "counts":
        offsets = numbers * math.prod(unit.in_shape[1:])
    else:
        offsets = numbers // (unit.in_shape[0] // unit.groups) * unit.words
    mode = 2
    if unit.layer is not None and unit.groups == 1:
        mode = 0
    elif unit.layer is None and (offsets == numbers).all():
        mode = 1
    if mode == 2:
        word = (numbers * (unit.layer is not None)) << sums | offsets
        yield Memory(f"{name}_channels.mem", _two(word), sums + weights, "weight, sum of each channel")
    if len(unit.delays) > 1:
        yield Memory(f"{name}_delays.mem", _two(unit.delays), DELAY_BITS, "delay of every input, in steps")
    sizes = (max(2, size) for size in unit.in_shape)
    parameters |= dict(zip(("CHANNEL_SIZE", "ROW_SIZE", "COLUMN_SIZE"), sizes, strict=True))
    parameters |= {
        "CHANNEL_OFFSETS": mode, "TAPS": taps, "WEIGHT_ADDRESS": weights, "SUM_ADDRESS": sums,
        "WORD_WEIGHT": unit.flat, "SLOTS": unit.slots, "DELAY": int(unit.delays[0]) if len(unit.delays) == 1 else 0,
        "DELAYS": int(len(unit.delays) > 1), "DELAY_SIZE": max(2, len(unit.delays)),
        "COLUMN_WEIGHT": unit.columns.tap_step * column_weight % (1 << weights),
        "ROW_WEIGHT": unit.rows.tap_step * row_weight % (1 << weights),
        "COLUMN_SUM": unit.columns.output_step * column_sum % (1 << sums),
        "ROW_SUM": unit.rows.output_step * row_sum % (1 << sums),
    }  # fmt: skip


def _two(words: npt.NDArray[Any]) -> Ints:
    """As (words, 1), with two words at least: no memory has fewer."""
    return np.pad(np.asarray(words, np.int64), (0, max(0, 2 - len(words))))[:, None]


def weight_count(unit: Unit) -> int:
    """Words of weights; one where every weight is 1."""
    if unit.layer is None:
        return 1
    taps = math.prod(unit.layer.weight.shape[2:]) if isinstance(unit.layer, Conv2d) else 1
    return taps * unit.words * unit.flat


def _weights(unit: Unit, name: str, bits: int, parameters: dict[str, int | str]) -> Iterator[Memory]:
    """Words of the lanes' weights, tap by tap, word by word, input by input; in banks where they are many."""
    assert unit.layer is not None
    weight = unit.layer.weight.astype(np.int64)
    if isinstance(unit.layer, Conv2d):
        groups, (_, inputs, height, width) = unit.groups, weight.shape
        taps = weight.reshape(groups, unit.channels, inputs, height, width).transpose(3, 4, 1, 0, 2)
        taps = taps.reshape(height * width, unit.channels, groups * inputs)
    else:
        taps = _by_position(unit, weight)[None]
    padded = np.pad(taps, ((0, 0), (0, unit.words * unit.lanes - unit.channels), (0, 0)))
    words = (
        padded.reshape(len(taps), unit.words, unit.lanes, -1).transpose(0, 1, 3, 2).reshape(-1, unit.lanes)
    )
    banks = unit.lanes if len(words) > BANKED else 1
    parameters |= {"WEIGHT": bits, "WEIGHTS": max(2, len(words)), "WEIGHT_BANKS": banks}
    about = "weights: tap, word of outputs, input"
    padded = np.pad(words, ((0, max(0, 2 - len(words))), (0, 0)))
    if banks == 1:
        yield Memory(f"{name}_weights.mem", padded, bits, about)
        return
    for lane in range(unit.lanes):
        yield Memory(
            f"{name}_weights_{lane:03d}.mem", padded[:, lane : lane + 1], bits, f"{about}; of lane {lane}"
        )


def _by_position(unit: Unit, weight: Ints) -> Ints:
    """(outputs, inputs) from C, H, W order to that of positions, and channels at each."""
    channels = unit.in_shape[0]
    return np.asarray(weight.reshape(len(weight), channels, -1).transpose(0, 2, 1).reshape(len(weight), -1))


def _widths(plan: Plan, unit: Unit, parameters: dict[str, int | str]) -> int:
    """Bits of everything on the way through a neuron; returns those of the membrane potential."""
    rules = plan.program.arithmetic
    current = current_bits(unit, rules.shift_rounding)
    logit = 1
    if unit.kind == "spikes":
        membrane = rules.state.bits
    elif unit.kind == "pool":
        membrane = current
    else:
        membrane, logit = integral_bits(unit, rules.shift_rounding)
    bias = signed_bits(*_ends(unit, "bias"))
    vth = signed_bits(*_ends(unit, "vth"))
    total = max(membrane, vth, current, bias) + 3
    parameters |= {
        "CURRENT": current,
        "MEMBRANE": membrane,
        "TOTAL": total,
        "LOGIT": logit,
        "BIAS": bias,
        "THRESHOLD": vth,
    }
    return membrane


def _ends(unit: Unit, name: str) -> tuple[int, int]:
    values = getattr(unit.layer, name, np.zeros(1, np.int64))
    return min(0, int(values.min())), max(0, int(values.max()))


def _neurons(unit: Unit, name: str, parameters: dict[str, int | str], interval: int) -> Iterator[Memory]:
    """Parameters of neurons: one value in the circuit where all are equal, else a table."""
    layer: Any = unit.layer
    leaks = [("v_keep", "KEEP", "LEAK_SHIFT", "v_decay")]
    if filtered(layer):
        leaks.append(("u_keep", "FILTER_KEEP", "FILTER_SHIFT", "u_decay"))
        parameters["FILTER"] = 1
    tables = []
    for file, key, key_shift, of in leaks:
        decay = getattr(layer, of, None)
        if decay is None:  # counts keep all, pools nothing
            decay = np.array([NO_DECAY_FILTER if unit.kind == "pool" else 0])
        keep = NO_DECAY_FILTER - decay.astype(np.int64)
        common = math.gcd(NO_DECAY_FILTER, *keep.tolist())
        parameters[key_shift] = LEAK_BITS - (common.bit_length() - 1)
        bits = max(1, int(keep.max() // common).bit_length())
        tables.append((file, key, f"{key}_VALUE", f"{key}_CONSTANT", keep // common, bits))
        parameters[key] = bits
        if key == "KEEP":
            parameters["LEAKS"] = int(bool((keep // common != 1).any()))
    if layer is not None:
        tables.append(("bias", "BIAS", "BIAS_VALUE", "BIAS_CONSTANT", layer.bias, int(parameters["BIAS"])))
    if unit.kind == "spikes":
        tables.append(
            (
                "vth",
                "THRESHOLD",
                "THRESHOLD_VALUE",
                "THRESHOLD_CONSTANT",
                layer.vth,
                int(parameters["THRESHOLD"]),
            )
        )
        parameters |= {"INTERVAL": interval, "OFFSET": layer.reset_offset}
    for file, _, value, constant, values, bits in tables:
        same = bool((values == values[0]).all())
        parameters[constant] = int(same)
        if same:
            parameters[value] = int(values[0]) & ((1 << bits) - 1)
            continue
        yield Memory(
            f"{name}_{file}.mem", _table(unit, values), bits, f"{file} of every row of neurons at a position"
        )


def _table(unit: Unit, values: npt.NDArray[Any]) -> Ints:
    """(rows at one position, lanes), two rows at least, from one value a channel or neuron."""
    each = (
        per_neuron(values, unit.groups * unit.channels).reshape(unit.groups, unit.channels).astype(np.int64)
    )
    padded = np.pad(each, ((0, 0), (0, unit.words * unit.lanes - unit.channels))).reshape(-1, unit.lanes)
    return np.pad(padded, ((0, max(0, 2 - len(padded))), (0, 0)))
