"""netx_exports/README.md names exactly the datasets that files have."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.program import Upsample
from sast_deploy.verification.vectors import make_known_answers
from tests.programs import rich_program

README = Path(__file__).parents[2] / "netx_exports" / "README.md"


def documented(heading: str) -> set[str]:
    """Dataset names in the first column of the table below a heading."""
    section = README.read_text(encoding="utf-8").split(f"\n## {heading}")[1].split("\n## ")[0]
    names = set()
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = re.findall(r"`([^`]+)`", line.split("|")[1])
            folder = cells[0].rpartition("/")[0]
            names |= {cell if "/" in cell or not folder else f"{folder}/{cell}" for cell in cells}
    return names


def test_every_dataset_is_documented_and_every_documented_one_exists(tmp_path):
    path = tmp_path / "a.net"
    program = rich_program(np.random.default_rng(0))
    first, pool, *others, last = program.layers
    rules = replace(program.arithmetic, reset_order="before-leak")
    layers = (first, pool, Upsample((1, 1)), *others, replace(last, decoding="mean"))
    program = replace(program, layers=layers, arithmetic=rules)
    known = make_known_answers(program)  # none of a program with negative inputs
    write_net(path, NetFile(replace(program, input_min=-1), "text", known=known))
    found: set[str] = set()
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.add(name) if isinstance(item, h5py.Dataset) else None)
    stock = {re.sub(r"^layer/\d+/", "", name) for name in found if name.startswith("layer/")}
    ours = {re.sub(r"/layers/\d+/", "/layers/<i>/", name[5:]) for name in found if name.startswith("sast/")}
    ours = {re.sub(r"/counts/\d+", "/counts/<k>", name) for name in ours}
    assert {name.split("/")[0] for name in found} == {"layer", "sast"}
    assert stock == documented("/layer")
    assert ours == documented("/sast")
