"""A circuit as a folder: the same every time; without Python its bench passes, or names what differs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, UsageError
from sast_deploy.exchange.rtl.write import CIRCUIT_FILE, write_rtl
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.program import Program
from sast_deploy.rtl import timing
from sast_deploy.rtl.budget import DEVICES, uses
from tests.programs import RULES, dense, fc_program, readout
from tests.rtlprograms import any_circuit, circuit_of, tabled_program

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="there is no iverilog")
needs_verilator = pytest.mark.skipif(shutil.which("verilator") is None, reason="there is no verilator")


def export(program: Program, folder: Path, **options: str) -> dict[str, str]:
    """Write the folder; its texts."""
    files = write_rtl(Subject(program), **options).files
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {name: content.decode() for name, content in files.items()}


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In an environment in which no Python of ours is found."""
    environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": "/nowhere"}
    for tool in ("iverilog", "verilator"):
        if found := shutil.which(tool):
            environment["PATH"] += f":{Path(found).parent}"
    command = ["make", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def icarus(folder: Path) -> subprocess.CompletedProcess[str]:
    return make(folder, "test", "SIMULATORS=icarus")


STATE = r"layer\d: sample \d+, step \d+, neuron \d+: membrane -?\d+ against -?\d+, spike \d against \d"
LABEL = r"sample \d+: label \d, cycles \d+ to \d+, expected \d, \d+ to \d+"
HANGS = r"FAIL no result after \d+ cycles, 0 of 3 samples"
BEGINS = r"layer\d: sweep 0 begins in cycle \d+, expected \d+"


@pytest.fixture
def small() -> Program:
    return replace(fc_program(np.random.default_rng(0)), steps=3)


def test_the_same_every_time(small: Program) -> None:
    files = write_rtl(Subject(small), "3,2,1").files
    assert files == write_rtl(Subject(small), "3,2,1").files
    assert files != write_rtl(Subject(small), "2,2,1").files
    there = {"sv", "mem", "bench", "known", "Makefile", "README.md", CIRCUIT_FILE}
    assert {name.split("/")[0] for name in files} == there


@needs_icarus
@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 5])
def test_the_bench_passes_in_both_modes(seed: int, tmp_path: Path) -> None:
    program, _, lanes = any_circuit(seed)
    export(program, tmp_path, lanes=",".join(map(str, lanes)))
    done = icarus(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    known = len(Subject(program).answers.logits)
    assert [int(n) for n in re.findall(r"^PASS (\d+) samples", done.stdout, re.MULTILINE)] == [known, known]
    assert "FAIL" not in done.stdout


@needs_verilator
@needs_icarus
@pytest.mark.slow
def test_the_bench_passes_in_every_simulator_and_has_no_warnings(small: Program, tmp_path: Path) -> None:
    export(small, tmp_path)
    done = make(tmp_path, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    cycles = re.findall(r"^PASS .* (\d+) cycles", done.stdout, re.MULTILINE)
    assert len(cycles) == 4
    assert cycles[:2] == cycles[2:], "Icarus and Verilator take the same cycles"
    linted = make(tmp_path, "lint")
    assert (linted.returncode, linted.stderr) == (0, "")
    before = {path for path in tmp_path.iterdir() if path.name != "build"}
    assert make(tmp_path, "clean").returncode == 0
    assert {*tmp_path.iterdir()} == before


@pytest.mark.slow
@needs_icarus
@pytest.mark.parametrize(
    ("name", "line", "right", "wrong", "words"),
    [
        ("sv/snn_neuron.sv", None, "AT_THRESHOLD || above", "above", STATE),
        ("sv/snn_argmax.sv", None, "logit > best", "logit < best", LABEL),
        ("sv/snn_layer.sv", None, "drain == 2'd1", "drain == 2'd2", BEGINS),
        ("sv/snn_layer.sv", None, "if (pushed_taken)", "if (1'b0)", HANGS),
        ("mem/layer0_weights.mem", 0, None, None, STATE),
        ("known/layer1.txt", 5, None, None, STATE),
        ("known/single/results.txt", 1, None, None, r"sample 0, class 1: logit -?\d+ against -?\d+"),
        ("known/streaming/layer1_cycles.txt", 0, None, None, BEGINS),
    ],
)  # fmt: skip
def test_a_difference_is_named(
    name: str, line: int | None, right: str | None, wrong: str | None, words: str, tmp_path: Path
) -> None:
    files = export(tabled_program(), tmp_path)
    text = files[name]
    if line is None:
        assert right is not None
        assert wrong is not None
        assert right in text
        text = text.replace(right, wrong)
    else:
        lines = text.splitlines()
        lines[line] = lines[line][:-1] + str((int(lines[line][-1], 16) ^ 1) % 10)
        text = "\n".join([*lines, ""])
    (tmp_path / name).write_text(text)
    done = icarus(tmp_path)
    assert done.returncode != 0
    assert re.search(words, done.stdout), done.stdout
    assert "FAIL" in done.stdout


def test_no_simulator_is_said(small: Program, tmp_path: Path) -> None:
    export(small, tmp_path)
    done = make(tmp_path, "test", "SIMULATORS=")
    assert done.returncode != 0
    assert "no simulator: install iverilog or verilator" in done.stdout


def test_the_manifest_says_what_is_there() -> None:
    program = tabled_program()
    files = write_rtl(Subject(program), target="ecp5-25k").files
    found = json.loads(files[CIRCUIT_FILE])
    circuit = circuit_of(program)
    assert (found["program"], found["target"]) == (program.digest(), "ecp5-25k")
    assert found["lanes"] == list(circuit.plan.lanes)
    assert found["input"] == {
        "shape": [2, 4, 5], "low": 0, "high": 3,
        "value_bits": 2, "channel_bits": 1, "row_bits": 2, "column_bits": 3,
    }  # fmt: skip
    assert found["output"]["classes"] == ["a", "b", "c"]
    assert "input  logic [2:0]  in_column," in files["sv/snn_core.sv"].decode()
    assert found["cycles"]["encode"] == timing.ENCODE
    assert [each["layer"] for each in found["layers"]] == [each.unit.label for each in circuit.layers]
    memories = {f"mem/{name}": x for layer in found["layers"] for name, x in layer["memories"].items()}
    assert set(memories) == {name for name in files if name.startswith("mem/")}
    for name, each in memories.items():
        lines = files[name].decode().splitlines()
        assert len(lines) == each["words"]
        assert {len(line) for line in lines} == {-(-each["values"] * each["bits"] // 4)}
    blocks = [each["block_memories"] for each in found["layers"]]
    assert blocks == [use.blocks for use in uses(circuit.layers)]
    readme = files["README.md"].decode()
    assert "@" not in readme
    assert program.digest() in readme
    assert timing.FORMULA in readme


def test_a_makefile_has_synthesis_where_there_is_a_device(small: Program) -> None:
    targets = ("any", "ecp5-45k")
    plain, device = (write_rtl(Subject(small), target=name).files["Makefile"].decode() for name in targets)
    assert "nextpnr" not in plain
    assert "--45k --package" in device
    assert "@" not in re.sub(r"^\t@|\$@", "", plain + device, flags=re.MULTILINE)


def test_a_device_that_is_too_small_is_refused() -> None:
    """One multiplier a lane for inputs of more than a bit."""
    rng, most = np.random.default_rng(0), DEVICES["ecp5-25k"].multipliers
    layers = (dense(rng, 3, most + 1), readout(rng, most + 1, 2))
    program = Program("wide", (3, 1, 1), 4, 2, ("a", "b"), RULES, layers, 0)
    said = rf"{most + 1} multipliers; expected at most 56 and {most} of ECP5-25; take fewer lanes or a larger"
    with pytest.raises(UsageError, match=said):
        write_rtl(Subject(program), f"{most + 1},1", "ecp5-25k")
    for lanes, target in ((most, "ecp5-25k"), (most + 1, "ecp5-45k")):
        write_rtl(Subject(program), f"{lanes},1", target)


def test_what_a_circuit_does_not_hold_is_refused(small: Program) -> None:
    with pytest.raises(CompileError, match="the RTL has no weights of 16 bits"):
        write_rtl(Subject(replace(small, arithmetic=replace(small.arithmetic, weight_bits=16))))
