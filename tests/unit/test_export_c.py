"""The C program: the reference's every membrane and spike, without a warning or undefined behaviour."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError
from sast_deploy.engines.reference import run_reference
from sast_deploy.exchange.c.header import literal
from sast_deploy.exchange.c.layout import Layout, packed
from sast_deploy.exchange.c.widths import widths_of
from sast_deploy.exchange.c.write import write_c
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, frozen_ints
from tests.exports import any_export
from tests.programs import conv_program, fc_program

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
CHECKED = [*STRICT, "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
PROGRAMS = 24
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def build(program: Program, folder: Path, main: str = "known", flags: list[str] = CHECKED) -> Path:
    """Write and compile; the program."""
    for name, content in write_c(Subject(program), main).files.items():
        (folder / name).write_bytes(content)
    command = ["gcc", *flags, "sast_net.c", "sast_main.c", "-o", "sast_main"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "sast_main"


def run(binary: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([binary], input=given, capture_output=True, check=False)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_every_membrane_and_spike_of_random_programs(seed: int, tmp_path: Path) -> None:
    done = run(build(any_export(seed), tmp_path))
    assert (done.returncode, done.stderr) == (0, b""), done.stdout


def test_the_random_programs_are_of_every_kind() -> None:
    programs = [any_export(seed) for seed in range(PROGRAMS)]
    kinds = {layer.kind for program in programs for layer in program.layers}
    assert kinds == {"dense", "conv", "pool", "upsample", "readout"}
    widths = [widths_of(program) for program in programs]
    assert {each.weight for each in widths} >= {2, 3, 4, 8, 16}
    assert {each.wide for each in widths} == {32, 64}
    rules = [program.arithmetic for program in programs]
    for name, number in (("reset_order", 2), ("reset", 2), ("overflow", 3), ("leak_rounding", 4),
                         ("shift_rounding", 4), ("comparison", 2)):  # fmt: skip
        assert len({getattr(each, name) for each in rules}) == number
    last = [program.layers[-1] for program in programs]
    assert {each.decoding for each in last if isinstance(each, Readout)} == {"last", "max", "mean"}
    assert any(not isinstance(each, Readout) for each in last)


@pytest.mark.slow
@needs_gcc
@pytest.mark.parametrize("change", ["known_membranes", "known_spikes", "known_logits"])
def test_a_wrong_value_is_named(change: str, tmp_path: Path) -> None:
    """The replay compares: what is expected is altered in one place, and that place is printed."""
    build(fc_program(np.random.default_rng(0)), tmp_path)
    header = tmp_path / "known.h"
    text = header.read_text()
    place = text.index("{", text.index("{", text.index(change)) + 1)
    number = re.compile(r"-?\d+").search(text, place)
    assert number is not None
    header.write_text(text[: number.start()] + str(int(number[0]) + 1) + text[number.end() :])
    subprocess.run(["gcc", *STRICT, "sast_net.c", "sast_main.c", "-o", "sast_main"], cwd=tmp_path, check=True)
    done = run(tmp_path / "sast_main")
    assert done.returncode == 1
    assert re.fullmatch(rb"vector 0, step \d, [a-z ]+ 0: -?\d+, expected -?\d+\n", done.stdout)


@needs_gcc
@pytest.mark.parametrize("lowest", [0, -3])
def test_classifying_from_standard_input(lowest: int, tmp_path: Path) -> None:
    program = replace(conv_program(np.random.default_rng(1)), input_min=lowest)
    binary = build(program, tmp_path, "stdin")
    kind = np.uint8 if lowest == 0 else np.dtype("<i4")
    frames = np.random.default_rng(2).integers(lowest, 4, (3, program.steps, *program.input_shape))
    done = run(binary, frames.astype(kind).tobytes())
    assert (done.returncode, done.stderr) == (0, b"")
    record = run_reference(program, frames)
    found = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    assert found == [[p, *row] for p, row in zip(record.predictions, record.logits.tolist(), strict=True)]

    cut = run(binary, frames.astype(kind).tobytes()[:-1])
    assert (cut.returncode, len(cut.stdout.splitlines())) == (2, 2)
    assert cut.stderr == f"sample 2, step {program.steps - 1}: cut off\n".encode()
    beyond = run(binary, (frames[:1] * 0 + program.input_max + 1).astype(kind).tobytes())
    assert (beyond.returncode, beyond.stdout) == (2, b"")
    assert beyond.stderr == b"sample 0, step 0: a value beyond SAST_INPUT_MIN..SAST_INPUT_MAX\n"
    assert run(binary).returncode == 0


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("make", [fc_program, conv_program, lambda _: any_export(5), lambda _: any_export(9)])
def test_sizes_are_those_of_the_object(make, tmp_path: Path) -> None:
    """Constants and states, but for a table of layers and what the compiler leaves free between arrays."""
    program = make(np.random.default_rng(0))
    build(program, tmp_path, flags=STRICT)
    subprocess.run(["gcc", *STRICT, "-Os", "-c", "sast_net.c"], cwd=tmp_path, check=True)
    said = subprocess.run(["size", "-A", "sast_net.o"], cwd=tmp_path, capture_output=True, check=True)
    sizes: dict[str, int] = {}
    for line in said.stdout.decode().splitlines():
        name, *rest = line.split() or [""]
        if name.startswith("."):
            sizes[name] = int(rest[0])
    parts = Layout(program).parts()
    constant, state = sum(part.constant for part in parts), sum(part.state for part in parts)
    arrays = sum(len(placed.arrays) for placed in Layout(program).layers)
    found = sum(size for name, size in sizes.items() if name.startswith(".rodata"))
    assert constant <= found <= constant + 32 * arrays + 512  # switches' tables, strings of none
    states = sizes[".bss"]
    assert state <= states <= state + 32 * 8
    # Tables with addresses: one entry a layer.
    entries = sum(size for name, size in sizes.items() if name.startswith(".data"))
    assert entries <= 256 * len(program.layers) + 32


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
def test_packed_weights_are_read_back_bit_by_bit(bits: int) -> None:
    high = 1 << (bits - 1)
    rows = np.random.default_rng(bits).integers(-high, high, (5, 7)).astype(np.int32)
    stored = packed(rows, bits)
    if bits >= 8:
        assert stored.tolist() == rows.ravel().tolist()
        return
    for row, start in zip(rows, range(0, stored.size, -(-7 * bits // 8)), strict=True):
        number = int.from_bytes(stored[start : start + -(-7 * bits // 8)].tobytes(), "little")
        for weight in row.tolist():
            assert number % (1 << bits) == weight % (1 << bits)
            number >>= bits


def _one(weight: int, rules: Arithmetic, **changes: object) -> Program:
    one = frozen_ints([1])
    layer = Dense(frozen_ints([[weight]]), one, one, 0, frozen_ints([2048]))
    return Program("one", (1, 1, 1), 4, 3, ("a",), rules, (replace(layer, **changes),))


def test_types_are_as_wide_as_the_proofs_demand() -> None:
    narrow = Arithmetic(QFormat(8, 4), 4, "saturate", "floor", "floor", ">=", "subtract")
    found = widths_of(_one(7, narrow))
    assert (found.weight, found.sum, found.wide, found.logit, found.state) == (4, 16, 32, 32, 8)
    assert found.bytes
    wide = replace(narrow, state=QFormat(24, 6), weight_bits=20)
    assert widths_of(_one(1 << 18, wide)).wide == 64  # 24 bits times 4096
    assert widths_of(_one(1 << 18, wide)).weight == 32
    assert widths_of(_one(1 << 18, wide, v_decay=frozen_ints([0]))).wide == 32  # nothing is multiplied
    assert widths_of(_one(1, wide)).wide == 32  # 24 bits are never reached


def test_what_64_bits_do_not_hold_is_refused_by_name() -> None:
    rules = Arithmetic(QFormat(24, 6), 32, "wrap", "floor", "floor", ">=", "subtract")
    program = _one((1 << 31) - 1, rules, weight_exp=31)
    program = replace(program, input_max=2**31 - 1)
    with pytest.raises(CompileError, match=r"one: layer 0 \(dense\): a value of 9\d bits and a sign"):
        write_c(Subject(program))


def test_literals() -> None:
    assert literal(-(2**31)) == "(-2147483647 - 1)"
    assert literal(-(2**63)) == "(INT64_C(-9223372036854775807) - 1)"
    assert literal(2**31) == "INT64_C(2147483648)"
    assert literal(-5) == "-5"


@pytest.mark.slow
@needs_gcc
def test_steps_beyond_what_logits_hold_are_refused(tmp_path: Path) -> None:
    """Nothing overflows, however long a stream is: `sast_step` says 2."""
    program = fc_program(np.random.default_rng(3))
    build(program, tmp_path, "stdin")
    header = tmp_path / "fc_weights.h"
    text = re.sub(r"STEPS_MAX \d+u", f"STEPS_MAX {program.steps - 1}u", header.read_text())
    header.write_text(text)
    subprocess.run(["gcc", *STRICT, "sast_net.c", "sast_main.c", "-o", "sast_main"], cwd=tmp_path, check=True)
    frames = np.zeros((program.steps, *program.input_shape), np.uint8)
    assert run(tmp_path / "sast_main", frames.tobytes()).returncode == 2


def test_the_code_is_short_and_has_no_heap_or_floats() -> None:
    content = write_c(Subject(fc_program(np.random.default_rng(0)))).files
    text = re.sub(r"/\*.*?\*/", "", content["sast_net.c"].decode(), flags=re.S)
    header = content["fc_weights.h"].decode()
    assert not re.search(r"malloc|calloc|\bfloat\b|\bdouble\b|\d\.\d", text + header)
    assert len(text.splitlines()) < 300
    # Names of C, whatever the program is called.
    odd = replace(fc_program(np.random.default_rng(0)), name='4 */ #include "x"\n')
    assert Subject(odd).name == "net_4_include_x"
    assert Subject(replace(odd, name="é")).name == "net"
