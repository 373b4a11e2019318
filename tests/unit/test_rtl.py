"""A circuit without a simulator: what it refuses; addresses, memories, cycles and budget, derived twice."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sast_deploy.base.errors import CompileError, UsageError
from sast_deploy.engines.reference import run_reference
from sast_deploy.exchange.rtl.write import parse_lanes
from sast_deploy.program.program import (
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Program,
    Readout,
    SumPool,
    Upsample,
    frozen_ints,
    per_neuron,
)
from sast_deploy.program.sums import weighted_sums, window_sums
from sast_deploy.rtl import timing
from sast_deploy.rtl.budget import DEVICES, blocks_of, uses
from sast_deploy.rtl.memories import Built, hexadecimal
from sast_deploy.rtl.plan import BANKED, LANES, Unit, choose_lanes, plan_circuit
from tests.programs import RULES, conv_program, dense, fc_program, random_frames, readout
from tests.rtlprograms import any_circuit, busy_program, circuit_of

SEEDS = range(24)
needs_verilator = pytest.mark.skipif(shutil.which("verilator") is None, reason="there is no verilator")
Ints = npt.NDArray[np.int64]


def replaced(program: Program, **changes: object) -> Program:
    """With changes of its first layer."""
    return replace(program, layers=(replace(program.layers[0], **changes), *program.layers[1:]))


@pytest.fixture
def fc() -> Program:
    return fc_program(np.random.default_rng(0))


def decoded(text: str, values: int, bits: int, signed: bool) -> Ints:
    """(words, values) of what $readmemh reads, the lowest bits first."""
    rows = []
    for line in text.splitlines():
        word = int(line, 16)
        assert len(line) == -(-values * bits // 4)
        assert word < 1 << (values * bits), "no bit beyond the width"
        row = [word >> (k * bits) & ((1 << bits) - 1) for k in range(values)]
        rows.append([each - (1 << bits) if signed and each >> (bits - 1) else each for each in row])
    return np.array(rows)


# --- what is refused


def test_everything_that_a_circuit_does_not_hold_is_named(fc: Program) -> None:
    first = fc.layers[0]
    assert isinstance(first, Dense)
    outputs, inputs = first.weight.shape
    wide = replace(RULES, weight_bits=9)
    recurrent = frozen_ints(np.ones((outputs, outputs), np.int64))
    delay = np.zeros((outputs, inputs), np.int64)
    delay[0, 1] = 3
    for program, named in (
        (replace(fc, arithmetic=wide), "no weights of 9 bits"),
        (replaced(fc, recurrent=recurrent), r"no recurrent weights: layer 0 \(dense\)"),
        (replaced(fc, delay=frozen_ints(delay)), r"no delay of each synapse: layer 0 \(dense\)"),
        (replace(replaced(fc, recurrent=recurrent, delay=frozen_ints(delay)), arithmetic=wide),
         r"no weights of 9 bits; no recurrent weights: layer 0 \(dense\); no delay of each synapse"),
    ):  # fmt: skip
        with pytest.raises(CompileError, match=f"{program.name}: the RTL has {named}"):
            plan_circuit(program)
    every = np.zeros((outputs, inputs), np.int64)
    every[:] = np.arange(inputs) % 3
    assert plan_circuit(replaced(fc, delay=frozen_ints(every))).units[0].slots == 3, "one for each input"


def test_upsampling_is_refused() -> None:
    rng = np.random.default_rng(0)
    layers = (Upsample((2, 2)), readout(rng, 16, 2))
    program = Program("wide", (1, 2, 2), 1, 2, ("a", "b"), RULES, layers, 0)
    with pytest.raises(CompileError, match=r"wide: the RTL has no upsampling: layer 0 \(upsample\)"):
        plan_circuit(program)


def test_lanes_are_those_of_the_layers_with_weights(fc: Program) -> None:
    program = conv_program(np.random.default_rng(0))
    weighted = [layer for layer in program.layers if not isinstance(layer, SumPool)]
    each = [len(x.weight) // (x.groups if isinstance(x, Conv2d) else 1) for x in weighted]
    assert choose_lanes(program, None) == tuple(min(LANES, n) for n in each)
    assert plan_circuit(program, each).lanes == tuple(each)
    with pytest.raises(UsageError, match=r"1 numbers of lanes; expected 4, of layer 0 \(conv\), layer 2"):
        plan_circuit(program, [1])
    most = each[0]
    with pytest.raises(UsageError, match=rf"{most + 1} lanes of layer 0 \(conv\); expected 1 to {most}"):
        plan_circuit(program, [most + 1, *each[1:]])
    with pytest.raises(UsageError, match=r"0 lanes of layer 0 \(conv\); expected 1 to"):
        plan_circuit(program, [0, *each[1:]])
    assert parse_lanes("24,8,10") == (24, 8, 10)
    assert parse_lanes("") is None
    with pytest.raises(UsageError, match=r"lanes '8,x'; expected whole numbers with commas"):
        parse_lanes("8,x")


def test_logits_beyond_64_bits_are_refused() -> None:
    """255 steps of the largest sums, added up and up again."""
    weight = frozen_ints(np.full((2, 1 << 14), -128))
    layer = Readout(weight, frozen_ints([0, 0]), 30, v_decay=frozen_ints([0]), decoding="mean")
    rules = replace(RULES, weight_bits=8)
    program = Program("far", (1, 1 << 14, 1), 255, 1000, ("a", "b"), rules, (layer,), 0)
    with pytest.raises(CompileError, match=r"logits of \d+ bits; expected at most 64"):
        circuit_of(program)


# --- words, blocks, devices


def test_words_are_hexadecimal_in_twos_complement_the_first_value_lowest() -> None:
    assert hexadecimal(np.array([[1, -1, 2]]), 4) == "2f1\n"
    assert hexadecimal(np.array([[1, 0, 1], [0, 1, 1]]), 1) == "5\n6\n"
    assert hexadecimal(np.array([[-2, 1], [3, -4]]), 3) == "0e\n23\n"
    rng = np.random.default_rng(0)
    for bits in (1, 2, 3, 7, 8, 24, 33, 62):
        words = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (5, 7))
        assert np.array_equal(decoded(hexadecimal(words, bits), 7, bits, signed=True), words)


@pytest.mark.parametrize(
    ("words", "bits", "blocks"),
    [
        (64, 1000, 0), (65, 36, 1), (2048, 1, 0), (2049, 1, 1), (227, 9, 0), (228, 9, 1), (512, 36, 1),
        (513, 36, 2), (512, 37, 2), (1024, 18, 1), (2048, 9, 1), (4096, 4, 1), (8192, 2, 1), (16384, 1, 1),
        (16385, 1, 2), (16384, 4, 4), (48552, 32, 95),
    ],
)  # fmt: skip
def test_blocks_of_a_memory(words: int, bits: int, blocks: int) -> None:
    assert blocks_of(words, bits) == blocks


def test_multipliers_are_of_graded_inputs_and_of_leaks_that_are_no_shifts(fc: Program) -> None:
    assert fc.input_max > 1
    lanes = plan_circuit(fc).lanes
    assert [use.multipliers for use in uses(circuit_of(fc).layers)] == [lanes[0], *[0] * (len(lanes) - 1)]
    leaky = replaced(replace(fc, input_max=1), v_decay=frozen_ints([1000]))
    assert [use.multipliers for use in uses(circuit_of(leaky).layers)] == [lanes[0], *[0] * (len(lanes) - 1)]
    both = replaced(fc, v_decay=frozen_ints([1000]), u_decay=frozen_ints([5]))
    assert uses(circuit_of(both).layers)[0].multipliers == 3 * lanes[0]
    assert all(each.blocks < larger.blocks for each, larger in zip(
        list(DEVICES.values())[:-1], list(DEVICES.values())[1:], strict=True))  # fmt: skip


# --- which synapses an event has


def responses(program: Program, unit: Unit, of_ones: bool = False) -> Ints:
    """int64 (inputs of the unit, outputs): what an event of 1 adds to every weighted sum, C, H, W order.

    Derived from the program's layers, with the pools that the unit takes over before its own. of_ones: with
    weights of 1, so that nothing cancels.
    """
    first, size = unit.index, int(np.prod(unit.in_shape))
    while first > 0 and isinstance(pool := program.layers[first - 1], SumPool) and pool.exponent == 0:
        first -= 1
    if unit.kind == "counts":
        return np.eye(size, dtype=np.int64)
    x = np.eye(size, dtype=np.int64).reshape(size, *program.shapes()[first])
    for layer in program.layers[first : unit.index]:
        x = window_sums(layer, x, np.int64)
    layer = program.layers[unit.index]
    if isinstance(layer, SumPool):
        return window_sums(layer, x, np.int64).reshape(size, -1)
    assert isinstance(layer, (Dense, Conv2d, Readout))
    weight = np.ones_like(layer.weight) if of_ones else layer.weight
    return weighted_sums(layer, x, weight).reshape(size, -1)


@pytest.mark.parametrize("seed", SEEDS)
def test_cycles_of_an_event_are_the_words_of_its_synapses(seed: int) -> None:
    """And every neuron lies in one lane of one row: position by position, group by group."""
    program, _, lanes = any_circuit(seed)
    for unit in plan_circuit(program, lanes).units:
        outputs, rows = int(np.prod(unit.out_shape)), unit.neurons()
        assert rows.shape == (unit.row_count, unit.lanes)
        assert sorted(rows[rows >= 0].tolist()) == list(range(outputs))
        there = rows >= 0
        assert (there[:, 0] & (np.diff(there.astype(int), axis=1) <= 0).all(axis=1)).all(), "no gaps in a row"
        reached = responses(program, unit, of_ones=True) != 0
        words = sum(reached[:, row[row >= 0]].any(axis=1).astype(np.int64) for row in rows)
        assert np.array_equal(unit.cycles().ravel(), np.maximum(words, 1))


def test_the_random_circuits_are_of_every_kind() -> None:
    """What the tests of random programs see, here and in tests/conformance/test_rtl.py."""
    found = [(*any_circuit(seed), seed) for seed in SEEDS]
    units = [unit for program, _, lanes, _ in found for unit in plan_circuit(program, lanes).units]
    assert {unit.kind for unit in units} == {"spikes", "pool", "readout", "counts"}
    kinds = {layer.kind for program, *_ in found for layer in program.layers}
    assert kinds == {"dense", "conv", "pool", "readout"}
    rules = [program.arithmetic for program, *_ in found]
    for name, number in (("reset_order", 2), ("reset", 2), ("overflow", 3), ("leak_rounding", 4),
                         ("shift_rounding", 4), ("comparison", 2), ("weight_bits", 5)):  # fmt: skip
        assert len({getattr(each, name) for each in rules}) == number, name
    assert {x.decoding for unit in units if isinstance(x := unit.layer, Readout)} == {"last", "max", "mean"}
    assert {np.sign(unit.exponent) for unit in units} == {-1, 0, 1}
    assert any(len(unit.delays) > 1 for unit in units)
    assert any(len(unit.delays) == 1 and unit.slots > 1 for unit in units)
    assert any(unit.groups > 1 and unit.kind == "spikes" for unit in units)
    assert any(unit.words > 1 for unit in units)
    assert any(program.reset_interval for program, *_ in found)
    assert any((frames < 0).any() for _, frames, *_ in found)
    filters = [unit for unit in units if unit.layer is not None and (unit.layer.u_decay < 4096).any()]
    assert {unit.kind for unit in filters} == {"spikes", "readout"}
    folded = [unit for unit in units if unit.index and unit.in_shape != found[0][0].input_shape]
    assert folded


# --- what the memories hold


def memory(layer: Built, name: str, signed: bool) -> Ints:
    """int64 (words, values) of one memory's text; banks side by side."""
    prefix = f"{layer.name}_{name}"
    parts = [(each, each.text()) for each in layer.memories if each.name.startswith(prefix)]
    return np.concatenate([decoded(text, each.words.shape[1], each.bits, signed) for each, text in parts], 1)


def circuit_responses(layer: Built) -> Ints:
    """As `responses`, from the texts of the memories alone: address by address, as the modules go."""
    unit, has = layer.unit, {key: n for key, n in layer.parameters.items() if isinstance(n, int)}
    sums, weights = 1 << has["SUM_ADDRESS"], 1 << has["WEIGHT_ADDRESS"]
    table = np.ones((weights, unit.lanes), np.int64) if unit.layer is None else memory(layer, "weights", True)
    rows, columns = (memory(layer, name, False)[:, 0].tolist() for name in ("rows", "columns"))
    numbers = range(unit.in_shape[0])
    channels = [[n * sums for n in numbers], [*numbers]]
    if has["CHANNEL_OFFSETS"] == 2:
        channels.append(memory(layer, "channels", False)[:, 0].tolist())
    chosen, order = channels[has["CHANNEL_OFFSETS"]], unit.neurons()
    found = np.zeros((int(np.prod(unit.in_shape)), int(np.prod(unit.out_shape))), np.int64)
    for number, (c, y, x) in enumerate(np.ndindex(*unit.in_shape)):
        parts = (rows[y], columns[x], chosen[c])
        place, weight = sum(each % sums for each in parts), sum(each // sums % weights for each in parts)
        taps = rows[y] // sums // weights, columns[x] // sums // weights, unit.words
        for dy, dx, word in np.ndindex(*taps):
            row = order[(place + dy * has["ROW_SUM"] + dx * has["COLUMN_SUM"] + word) % sums]
            of = weight + dy * has["ROW_WEIGHT"] + dx * has["COLUMN_WEIGHT"] + word * has["WORD_WEIGHT"]
            found[number, row[row >= 0]] += table[of % weights][row >= 0]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_memories_are_the_programs_weights_and_parameters(seed: int) -> None:
    program, _, lanes = any_circuit(seed)
    for layer in circuit_of(program, lanes).layers:
        assert np.array_equal(circuit_responses(layer), responses(program, layer.unit))
        check_parameters(layer)


def check_parameters(layer: Built) -> None:
    """Thresholds, biases, leaks and delays: of a table, or the one value for all."""
    unit, own, has = layer.unit, layer.unit.layer, layer.parameters
    if own is None:
        return
    outputs = unit.groups * unit.channels
    tables = {"bias": ("BIAS", own.bias, True)}
    if unit.kind == "spikes":
        tables["vth"] = ("THRESHOLD", own.vth, True)
    for file, (key, values, signed) in tables.items():
        assert np.array_equal(parameter(layer, file, key, signed), per_neuron(values, outputs))
    for file, key, decay in (("v_keep", "KEEP", own.v_decay), ("u_keep", "FILTER_KEEP", own.u_decay)):
        if key in has:
            shift = has["LEAK_SHIFT" if key == "KEEP" else "FILTER_SHIFT"]
            keep = parameter(layer, file, key, False) * (NO_DECAY_FILTER >> int(shift))
            assert np.array_equal(keep, NO_DECAY_FILTER - per_neuron(decay, outputs))
    assert ("FILTER" in has) == bool((own.u_decay < NO_DECAY_FILTER).any())
    if has["DELAYS"]:  # in which order, the next test says
        delays = memory(layer, "delays", False)[: own.delay.size, 0]
        assert sorted(delays.tolist()) == sorted(own.delay.ravel().tolist())
    else:
        assert (own.delay == has["DELAY"]).all()


def parameter(layer: Built, file: str, key: str, signed: bool) -> Ints:
    """int64 (channels of all groups,)."""
    unit, has = layer.unit, layer.parameters
    if has[f"{key}_CONSTANT"]:
        bits, value = int(has[key]), int(has[f"{key}_VALUE"])
        value -= (signed and value >> (bits - 1)) << bits
        return np.full(unit.groups * unit.channels, value)
    words = memory(layer, file, signed)[: unit.groups * unit.words]
    return np.asarray(words.reshape(unit.groups, -1)[:, : unit.channels].ravel())


def test_delays_of_inputs_lie_as_their_weights_do() -> None:
    """Position by position, channel by channel: the first address of an input's weights is its number."""
    rng = np.random.default_rng(0)
    delay = np.arange(12) % 5
    layers = (replace(dense(rng, 12, 3), delay=frozen_ints(delay)), readout(rng, 3, 2))
    program = Program("late", (2, 2, 3), 1, 7, ("a", "b"), RULES, layers, 0)
    layer = circuit_of(program).layers[0]
    assert memory(layer, "delays", False)[:, 0].tolist() == delay.reshape(2, 6).T.ravel().tolist()
    assert (layer.unit.slots, layer.parameters["DELAYS"], layer.parameters["DELAY_SIZE"]) == (5, 1, 12)


def test_many_words_of_weights_lie_in_banks_of_one_lane() -> None:
    rng = np.random.default_rng(0)
    inputs = BANKED // 2 + 1
    program = Program("long", (1, inputs, 1), 1, 1, ("a", "b", "c"), RULES, (readout(rng, inputs, 3),), 0)
    banked, whole = circuit_of(program, [2]).layers[0], circuit_of(program, [3]).layers[0]
    names = ["layer0_weights_000.mem", "layer0_weights_001.mem"]
    assert [each.name for each in banked.memories if "weights" in each.name] == names
    assert (banked.parameters["WEIGHT_BANKS"], whole.parameters["WEIGHT_BANKS"]) == (2, 1)
    for layer in (banked, whole):
        assert np.array_equal(circuit_responses(layer), responses(program, layer.unit))


# --- cycles


# Cycles of each sample's result, one at a time and streaming, as Icarus measured them once.
MEASURED = {
    "fc": ([274, 583, 850], [274, 519, 723]),
    "conv": ([841, 1739, 2608], [841, 1643, 2414]),
    "busy": ([130, 260, 390], [130, 208, 286]),
}


def test_the_formula_gives_the_cycles_that_were_measured() -> None:
    assert measured() == MEASURED


def measured() -> dict[str, tuple[list[int], list[int]]]:
    rng = np.random.default_rng(5)
    found = {}
    for program in (fc_program(rng), conv_program(rng), busy_program()):
        frames = random_frames(rng, program, 3)
        traces = run_reference(program, frames, trace=True).traces
        assert traces is not None
        spikes = [trace.spikes for trace in traces]
        plan = plan_circuit(program)
        modes = [timing.run_cycles(plan, frames, spikes, streaming) for streaming in (False, True)]
        found[program.name] = (modes[0].done.tolist(), modes[1].done.tolist())
    return found


# --- the texts


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3, 8, 12, 17])
def test_no_warning_of_core_and_bench(seed: int, tmp_path: Path) -> None:
    program, _, lanes = any_circuit(seed)
    circuit = circuit_of(program, lanes)
    for name, text in circuit.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for top, file in (("snn_core", "sv/snn_core.sv"), ("bench", "bench/bench.sv")):
        command = ["verilator", "--lint-only", "-Wall", "-Isv", "-Ibench", "--top-module", top, file]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_lines_are_short_and_circuits_of_one_program_the_same(seed: int) -> None:
    program, _, lanes = any_circuit(seed)
    files = circuit_of(program, lanes).files
    assert files == circuit_of(program, lanes).files
    for name, text in files.items():
        assert name.startswith("mem/") or max(map(len, text.splitlines())) <= 110, name
        assert text.endswith("\n")


def test_the_formula_in_words_has_the_numbers_of_the_formula() -> None:
    for words in (
        f"v_i + {timing.TAKE}, R)", f"v_i + {timing.TAKE + 1} where inputs have delays",
        f"max(q_end + {timing.DRAIN}, F, G)", f"begun + K + {timing.WRITTEN} ",
        f"= begun + K + {timing.READY} ",
        f"begun + {timing.ENCODE},",
        f"e_r + m + {timing.ARRIVE} ", f"e_K + {timing.ARRIVE}: the end",
        f"q_end of the next layer + {timing.FREE}\n", f"done = e_K + {timing.DONE}, F = done + {timing.FREE}",
        f"R = K + {timing.RESET} in every layer (K * slots + {timing.RESET})",
    ):  # fmt: skip
        assert " ".join(words.split()) in " ".join(timing.FORMULA.split()), words
