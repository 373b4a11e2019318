"""Memories for $readmemh: read back bit by bit they are the program's arrays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sast_deploy.exchange.mem.write import write_mem
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.program import Conv2d, Resampling
from tests.exports import any_export
from tests.programs import conv_program, fc_program


def parameters(files: dict[str, bytes]) -> dict[str, int]:
    text = files["params.vh"].decode()
    return {key: int(value) for key, value in re.findall(r"^localparam (\w+) = (-?\d+);$", text, flags=re.M)}


def words(files: dict[str, bytes], name: str, bits: int, signed: bool = True) -> list[int]:
    """What $readmemh makes of a file: hexadecimal words of `bits` bits."""
    found = []
    for line in files[name].decode().splitlines():
        assert re.fullmatch(rf"[0-9a-f]{{{-(-bits // 4)}}}", line)
        word = int(line, 16)
        assert word < 1 << bits, "no bit beyond the width"
        found.append(word - (1 << bits) if signed and word >> (bits - 1) else word)
    return found


def at(layer: Any, address: int) -> int:
    """The weight that README.md's formula puts at an address."""
    if not isinstance(layer, Conv2d):
        outputs = len(layer.weight)
        return int(layer.weight[address % outputs, address // outputs])
    group, (ins, rows, columns) = len(layer.weight) // layer.groups, layer.weight.shape[1:]
    row, output = divmod(address, group)
    channel, tap = divmod(row, rows * columns)
    dy, dx = divmod(tap, columns)
    return int(layer.weight[channel // ins * group + output, channel % ins, dy, dx])


@pytest.mark.parametrize("seed", range(24))
def test_the_files_are_the_program(seed: int) -> None:
    program = any_export(seed)
    files = dict(write_mem(Subject(program)).files)
    said = parameters(files)
    assert said["STATE_BITS"] == program.arithmetic.state.bits
    assert said["RESET_BEFORE_LEAK"] == (program.arithmetic.reset_order == "before-leak")
    for index, layer in enumerate(program.layers):
        own = {key.split("_", 1)[1]: value for key, value in said.items() if key.startswith(f"LAYER{index}_")}
        assert own["OUTPUTS"] == int(np.prod(program.shapes()[index + 1]))
        if isinstance(layer, Resampling):
            continue
        stored = words(files, f"layer{index}_weight.mem", own["WEIGHT_BITS"])
        assert own["WEIGHT_BITS"] == program.arithmetic.weight_bits
        assert len(stored) == own["WEIGHT_WORDS"] == layer.weight.size
        assert stored == [at(layer, address) for address in range(layer.weight.size)]
        for name in ("bias", "vth", "v_decay", "u_decay"):
            values = getattr(layer, name, None)
            if values is None:
                continue
            decay = name.endswith("decay")
            found = words(files, f"layer{index}_{name}.mem", own[f"{name.upper()}_BITS"], signed=not decay)
            assert len(found) == own[f"{name.upper()}_WORDS"]
            assert np.broadcast_to(found, values.shape).tolist() == values.tolist()
        if layer.delay.size > 1:
            found = words(files, f"layer{index}_delay.mem", 6, signed=False)
            assert found == layer.delay.T.ravel().tolist()
        recurrent = getattr(layer, "recurrent", None)
        if recurrent is not None:
            found = words(files, f"layer{index}_recurrent.mem", own["WEIGHT_BITS"])
            assert found == recurrent.T.ravel().tolist()
        assert own["EXPONENT"] == layer.weight_exp


def test_every_file_is_described(tmp_path: Path) -> None:
    artefacts = write_mem(Subject(conv_program(np.random.default_rng(0))))
    readme = artefacts.files["README.md"].decode()
    assert "@" not in readme
    for name in artefacts.files:
        assert f"`{name}`" in readme or name == "README.md"
    bits = sum(int(row[1].replace(",", "")) * int(row[2]) for row in
               re.findall(r"^\| `(\w+)\.mem` \| ([\d,]+) \| (\d+) \|", readme, flags=re.M))  # fmt: skip
    assert bits <= 8 * sum(part.constant for part in artefacts.parts) < bits + 8 * len(artefacts.parts)


TESTBENCH = """
module smoke;
  `include "params.vh"
  reg signed [LAYER0_WEIGHT_BITS-1:0] memory [0:LAYER0_WEIGHT_WORDS-1];
  integer address;
  initial begin
    $readmemh("layer0_weight.mem", memory);
    for (address = 0; address < LAYER0_WEIGHT_WORDS; address = address + 1) $display("%0d", memory[address]);
  end
endmodule
"""


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="there is no iverilog")
def test_verilog_reads_what_was_written(tmp_path: Path) -> None:
    program = fc_program(np.random.default_rng(0))
    for name, content in write_mem(Subject(program)).files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "smoke.v").write_text(TESTBENCH)
    subprocess.run(["iverilog", "-g2005", "-o", "smoke", "smoke.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "smoke"], cwd=tmp_path, capture_output=True, text=True, check=True)
    layer = program.layers[0]
    assert list(map(int, done.stdout.split())) == [at(layer, a) for a in range(layer.weight.size)]
