"""What a circuit's memories hold, as text for $readmemh, and the parameters of layers that go with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.fixedpoint import OVERFLOWS, ROUNDINGS, Arithmetic
from sast_deploy.program.program import (
    DECODINGS,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Conv2d,
    Readout,
    Shape,
    per_neuron,
)
from sast_deploy.proofs.bounds import signed_bits
from sast_deploy.rtl.plan import BANKED, Ints, Plan, Unit, current_bits, filtered, integral_bits

DELAY_BITS = 6
Parameters = dict[str, int | str]


@dataclass(frozen=True, eq=False)
class Memory:
    """One file. words: int64 (words, values), the lowest bits first. bits: of a value."""

    name: str
    words: Ints
    bits: int
    about: str

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
    parameters: Parameters
    memories: tuple[Memory, ...]
    outputs: tuple[int, int, int, int]
    membrane: int


Part = tuple[Parameters, list[Memory]]  # of a layer


def hexadecimal(words: Ints, bits: int) -> str:
    """Lines of words (words, values) of `bits` each, the first value lowest."""
    count, values = words.shape
    each = (words[:, ::-1, None] >> np.arange(bits - 1, -1, -1)) & 1
    spare = -(values * bits) % 4
    digits = np.pad(each.reshape(count, -1), ((0, 0), (spare, 0))).reshape(count, -1, 4) @ (8, 4, 2, 1)
    text = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    lines = np.concatenate([text, np.full((count, 1), ord("\n"), np.uint8)], axis=1)
    return str(lines.tobytes(), "ascii")


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
    widths = _widths(unit, rules)
    membrane, logit = widths["MEMBRANE"], widths["LOGIT"]
    if unit.kind in ("readout", "counts"):
        outputs = (logit, bits_of(len(plan.program.classes)), 1, 1)
    else:
        outputs = (membrane if unit.kind == "pool" else 1, *_coordinate_bits(unit.out_shape))
    parameters: Parameters = {"FILE": f"mem/{name}", "LANES": unit.lanes, **_inputs(unit, before)}
    addresses, tables = _addresses(unit, name)
    weights, synapses = _weights(unit, name, rules.weight_bits)
    neurons, values = _neurons(unit, name, widths, plan.program.reset_interval)
    parameters |= addresses | weights | _layout(unit, rules) | widths | neurons
    parameters |= zip(("OUT_VALUE", "OUT_CHANNEL", "OUT_ROW", "OUT_COLUMN"), outputs, strict=True)
    parameters |= _kind(unit, rules)
    return Built(unit, name, parameters, (*tables, *synapses, *values), outputs, membrane)


def _coordinate_bits(shape: Shape) -> tuple[int, int, int]:
    channels, rows, columns = shape
    return bits_of(channels), bits_of(rows), bits_of(columns)


def _inputs(unit: Unit, before: Built | None) -> Parameters:
    """Bits of what the layer takes: of what the one before it sends, or of the program's input."""
    if before is None:
        inputs = (value_bits(*unit.value), *_coordinate_bits(unit.in_shape))
        signed = unit.value[0] < 0
    else:
        inputs, signed = before.outputs, before.unit.kind == "pool"
    names = ("IN_VALUE", "IN_CHANNEL", "IN_ROW", "IN_COLUMN")
    return {**dict(zip(names, inputs, strict=True)), "IN_SIGNED": int(signed)}


def _layout(unit: Unit, rules: Arithmetic) -> Parameters:
    """Rows of sums and neurons, and how a sum is shifted and a state leaks."""
    return {
        "ROWS": unit.row_count, "ROW_ADDRESS": bits_of(unit.row_count), "GROUPS": unit.groups,
        "WORDS": unit.words, "CHANNELS": unit.channels, "OUT_COLUMNS": unit.out_shape[2],
        "ACCUMULATOR": signed_bits(*unit.sums) + (unit.kind == "counts"),
        "EXPONENT": unit.exponent, "SHIFT_ROUNDING": ROUNDINGS.index(rules.shift_rounding),
        "LEAK_ROUNDING": ROUNDINGS.index(rules.leak_rounding),
    }  # fmt: skip


def _kind(unit: Unit, rules: Arithmetic) -> Parameters:
    """What the layer sends, and the rules by which its neurons fire or integrate."""
    found: Parameters = {"POOLS": int(unit.kind == "pool"), "READS": int(unit.kind in ("readout", "counts"))}
    if unit.kind == "spikes":
        found |= {"RESET": _reset(rules), "FIT": OVERFLOWS.index(rules.overflow),
                  "AT_THRESHOLD": int(rules.comparison == ">=")}  # fmt: skip
        return found
    found["FIT"] = len(OVERFLOWS)
    if isinstance(unit.layer, Readout):
        found["DECODING"] = DECODINGS.index(unit.layer.decoding)
    return found


def _reset(rules: Arithmetic) -> int:
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
        weights = 2 * (unit.in_shape[0],) if unit.layer is not None else (0, 0)
    return (weights[0], unit.out_shape[2] * row), (weights[1], row)


def _addresses(unit: Unit, name: str) -> Part:
    """The tables from coordinates to addresses, and the steps from one address to the next."""
    most = int(max(unit.rows.taps.max(), unit.columns.taps.max()))
    taps, weights, sums = bits_of(most + 1), bits_of(weight_count(unit)), bits_of(unit.row_count * unit.slots)
    memories, steps = [], {}
    axes = (("row", unit.rows), ("column", unit.columns))
    for (axis, reach), (weight, total) in zip(axes, _units_of_offsets(unit), strict=True):
        word = reach.output * total | (reach.tap * weight) << sums | reach.taps << (sums + weights)
        about = f"taps, weight, sum of each of the {axis}s"
        memories.append(Memory(f"{name}_{axis}s.mem", _two(word), sums + weights + taps, about))
        steps[f"{axis.upper()}_WEIGHT"] = reach.tap_step * weight % (1 << weights)
        steps[f"{axis.upper()}_SUM"] = reach.output_step * total % (1 << sums)
    sizes = (max(2, size) for size in unit.in_shape)
    channels, channel_table = _channels(unit, name, weights, sums)
    delays, delay_table = _delays(unit, name)
    parameters: Parameters = {
        **dict(zip(("CHANNEL_SIZE", "ROW_SIZE", "COLUMN_SIZE"), sizes, strict=True)),
        "TAPS": taps, "WEIGHT_ADDRESS": weights, "SUM_ADDRESS": sums, "WORD_WEIGHT": unit.flat, **steps,
    }  # fmt: skip
    return parameters | channels | delays, [*memories, *channel_table, *delay_table]


def _channels(unit: Unit, name: str, weights: int, sums: int) -> Part:
    """Offsets of every channel: its number, of the weights or of the sums, where that says all."""
    numbers = np.arange(unit.in_shape[0])
    if unit.kind == "counts":
        offsets = numbers * math.prod(unit.in_shape[1:])
    else:
        offsets = numbers // (unit.in_shape[0] // unit.groups) * unit.words
    if unit.layer is not None and unit.groups == 1:
        return {"CHANNEL_OFFSETS": 0}, []
    if unit.layer is None and (offsets == numbers).all():
        return {"CHANNEL_OFFSETS": 1}, []
    word = (numbers * (unit.layer is not None)) << sums | offsets
    about = "weight, sum of each channel"
    return {"CHANNEL_OFFSETS": 2}, [Memory(f"{name}_channels.mem", _two(word), sums + weights, about)]


def _delays(unit: Unit, name: str) -> Part:
    """One delay for all inputs, or a table; and for how many steps sums are kept."""
    several = len(unit.delays) > 1
    parameters: Parameters = {
        "SLOTS": unit.slots, "DELAY": 0 if several else int(unit.delays[0]), "DELAYS": int(several),
        "DELAY_SIZE": max(2, len(unit.delays)),
    }  # fmt: skip
    about = "delay of every input, in steps"
    table = [Memory(f"{name}_delays.mem", _two(unit.delays), DELAY_BITS, about)] if several else []
    return parameters, table


def _two(words: npt.NDArray[Any]) -> Ints:
    """As (words, 1), two words at least."""
    return _at_least_two(np.asarray(words, np.int64)[:, None])


def weight_count(unit: Unit) -> int:
    """Words of weights; one where every weight is 1."""
    if unit.layer is None:
        return 1
    taps = math.prod(unit.layer.weight.shape[2:]) if isinstance(unit.layer, Conv2d) else 1
    return taps * unit.words * unit.flat


def _weights(unit: Unit, name: str, bits: int) -> Part:
    """Words of the lanes' weights, tap by tap, word by word, input by input; in banks where they are many."""
    if unit.layer is None:
        return {"WEIGHTED": 0}, []
    words = _weight_words(unit)
    parameters: Parameters = {
        "WEIGHTED": 1, "WEIGHT": bits, "WEIGHTS": max(2, len(words)),
        "WEIGHT_BANKS": unit.lanes if len(words) > BANKED else 1,
    }  # fmt: skip
    padded, about = _at_least_two(words), "weights: tap, word of outputs, input"
    if len(words) <= BANKED or unit.lanes == 1:
        return parameters, [Memory(f"{name}_weights.mem", padded, bits, about)]
    banks = [
        Memory(f"{name}_weights_{lane:03d}.mem", padded[:, lane : lane + 1], bits, f"{about}; of lane {lane}")
        for lane in range(unit.lanes)
    ]
    return parameters, banks


def _weight_words(unit: Unit) -> Ints:
    """(words, lanes), 0 where a lane has no output."""
    assert unit.layer is not None
    weight = unit.layer.weight.astype(np.int64)
    if isinstance(unit.layer, Conv2d):
        groups, (_, inputs, height, width) = unit.groups, weight.shape
        taps = weight.reshape(groups, unit.channels, inputs, height, width).transpose(3, 4, 1, 0, 2)
        taps = taps.reshape(height * width, unit.channels, groups * inputs)
    else:
        taps = _by_position(unit, weight)[None]
    padded = np.pad(taps, ((0, 0), (0, unit.words * unit.lanes - unit.channels), (0, 0)))
    words = padded.reshape(len(taps), unit.words, unit.lanes, -1).transpose(0, 1, 3, 2)
    return np.asarray(words.reshape(-1, unit.lanes))


def _by_position(unit: Unit, weight: Ints) -> Ints:
    """(outputs, inputs) from C, H, W order to that of positions, and channels at each."""
    channels = unit.in_shape[0]
    return np.asarray(weight.reshape(len(weight), channels, -1).transpose(0, 2, 1).reshape(len(weight), -1))


def _widths(unit: Unit, rules: Arithmetic) -> dict[str, int]:
    """Bits of everything on the way through a neuron. Raises CompileError for logits beyond 64 bits."""
    current = current_bits(unit, rules.shift_rounding)
    membrane, logit = rules.state.bits, 1
    if unit.kind == "pool":
        membrane = current
    elif unit.kind != "spikes":
        membrane, logit = integral_bits(unit, rules.shift_rounding)
    bias, vth = signed_bits(*_ends(unit, "bias")), signed_bits(*_ends(unit, "vth"))
    return {
        "CURRENT": current, "MEMBRANE": membrane, "TOTAL": max(membrane, vth, current, bias) + 3,
        "LOGIT": logit, "BIAS": bias, "THRESHOLD": vth,
    }  # fmt: skip


def _ends(unit: Unit, name: str) -> tuple[int, int]:
    values = getattr(unit.layer, name, np.zeros(1, np.int64))
    return min(0, int(values.min())), max(0, int(values.max()))


def _neurons(unit: Unit, name: str, widths: Mapping[str, int], interval: int) -> Part:
    """Parameters of neurons: one value in the circuit where all are equal, else a table."""
    layer: Any = unit.layer
    decay = np.array([NO_DECAY_FILTER if unit.kind == "pool" else 0])  # counts keep all, pools nothing
    keep, bits, shift = _keep(decay if layer is None else layer.v_decay)
    parameters: Parameters = {"KEEP": bits, "LEAK_SHIFT": shift, "LEAKS": int(bool((keep != 1).any()))}
    tables = [("v_keep", "KEEP", keep, bits)]
    if filtered(layer):
        keep, bits, shift = _keep(layer.u_decay)
        parameters |= {"FILTER": 1, "FILTER_KEEP": bits, "FILTER_SHIFT": shift}
        tables.append(("u_keep", "FILTER_KEEP", keep, bits))
    if layer is not None:
        tables.append(("bias", "BIAS", layer.bias, widths["BIAS"]))
    if unit.kind == "spikes":
        tables.append(("vth", "THRESHOLD", layer.vth, widths["THRESHOLD"]))
        parameters |= {"INTERVAL": interval, "OFFSET": layer.reset_offset}
    memories = []
    for file, key, values, bits in tables:
        same = bool((values == values[0]).all())
        parameters[f"{key}_CONSTANT"] = int(same)
        if same:
            parameters[f"{key}_VALUE"] = int(values[0]) & ((1 << bits) - 1)
        else:
            about = f"{file} of every row of neurons at a position"
            memories.append(Memory(f"{name}_{file}.mem", _table(unit, values), bits, about))
    return parameters, memories


def _keep(decay: npt.NDArray[Any]) -> tuple[Ints, int, int]:
    """(keep, its bits, shift): what is left of a state is state * keep / 2**shift, the fraction reduced."""
    keep = NO_DECAY_FILTER - decay.astype(np.int64)
    common = math.gcd(NO_DECAY_FILTER, *keep.tolist())
    keep = keep // common
    return keep, max(1, int(keep.max()).bit_length()), LEAK_BITS - (common.bit_length() - 1)


def _table(unit: Unit, values: npt.NDArray[Any]) -> Ints:
    """(rows at one position, lanes), two rows at least, from one value a channel or neuron."""
    each = per_neuron(values, unit.groups * unit.channels).astype(np.int64)
    by_group = each.reshape(unit.groups, unit.channels)
    padded = np.pad(by_group, ((0, 0), (0, unit.words * unit.lanes - unit.channels)))
    return _at_least_two(padded.reshape(-1, unit.lanes))


def _at_least_two(words: Ints) -> Ints:
    """(words, values), with a second word of zeros: no memory has fewer."""
    return np.pad(words, ((0, max(0, 2 - len(words))), (0, 0)))
