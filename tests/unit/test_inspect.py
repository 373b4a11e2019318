"""`inspect` and `verify` of strangers' files, the verdict as the last line, and `--fail-on-limits`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import sast_deploy as sast
from sast_deploy.cli import run
from sast_deploy.netx.foreign.reader import read_stock
from tests.stockfiles import conv, dense, image, integrator, write_stock
from tools.schemas import schemas

RNG = np.random.default_rng(3)
FILES = {
    "dense": [dense(RNG.integers(-50, 51, (6, 18))), dense(RNG.integers(-50, 51, (3, 6)), vThMant=3569)],
    "filtered": [dense(RNG.integers(-50, 51, (6, 18)), iDecay=1024, vDecay=200)],
    "delays": [dense(RNG.integers(-50, 51, (6, 18))) | {"delay": np.full(18, 62)}],
    "conv": [image(2, 6, 6), conv(RNG.integers(-50, 51, (3, 2, 3, 3)), (3, 4, 4))],
    "wide": [dense(np.ones((2, 5873), int))],
    "integrator": [dense(RNG.integers(-50, 51, (6, 18))), integrator(RNG.integers(-50, 51, (3, 6)))],
}
BREAKS = {
    "wide": "does not fit a Loihi 1 core: input axons 5873 of 4096, layer 0",
    "integrator": "does not fit a Loihi 1 core: threshold 131072 of 0..131071, layer 1; "
    "decay v 4096, u -1 of 0..4095, layer 1",
}
FITS = "fits {} Loihi 1 core{} in every row that the file decides"


def fits(name: str) -> str:
    """Each layer has cores of its own; the input layer of "conv" has none."""
    cores = len(FILES[name]) - (name == "conv")
    return BREAKS.get(name, FITS.format(*("a", "") if cores == 1 else (cores, "s")))


@pytest.fixture(params=FILES)
def stock(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(write_stock(tmp_path / f"{request.param}.net", FILES[request.param]))


def test_a_strangers_file_is_inspected_and_its_last_line_is_the_verdict(
    stock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "facts.json"
    assert run(["inspect", str(stock), "-o", str(facts)]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = fits(stock.stem)
    assert lines[-1] == expected
    written = json.loads(facts.read_text())
    assert written["verdict"] == expected
    assert len(written["layers"]) == len(FILES[stock.stem]) - (stock.stem == "conv")
    assert "sast-deploy did not write" in written["summary"]["origin"]
    for note in read_stock(stock).notes:
        assert f"note: {note}" in lines
    assert not any("compile the checkpoint" in line for line in lines)


def test_a_broken_limit_can_fail_the_command(stock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(stock), "--fail-on-limits"]) == (1 if stock.stem in BREAKS else 0)
    assert capsys.readouterr().out.splitlines()[-1] == fits(stock.stem)


@pytest.mark.parametrize(
    "command", [["verify"], ["verify", "--known-answers-only"], ["inspect", "--samples", "3"]]
)
def test_what_a_strangers_file_cannot_do_is_said_in_one_line(
    command: list[str], stock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command[0], str(stock), *command[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {stock}: ")
    assert "no data" in line
    assert f"sast-deploy simulate {stock} --input" in line
    assert "compile the checkpoint" not in line


def test_proofs_that_hold_for_some_steps_only_say_for_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_stock(tmp_path / "a.net", FILES["integrator"])
    assert run(["inspect", str(path)]) == 0
    assert "proved for every input of spikes 0..1, in 1,000 steps" in capsys.readouterr().out


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    hidden = sast.FloatDense(
        np.ones((3, 8)), 0.0, [0.5, 1.0, 1.25], [0.9, 0.5, 0.25], delay=np.arange(8), recurrent=np.eye(3)
    )
    readout = sast.FloatReadout(np.ones((2, 3)), leak=0.5, decoding="max")
    network = sast.FloatNetwork(
        [sast.FloatPool(1), hidden, readout], (2, 2, 2), 4, input_clip=4, reset_order="before-leak",
        comparison=">",
    )  # fmt: skip
    made = sast.ImportedNetwork("mine", network, {"format": "state_dict", "path": "a.pt"}, ("folded bn1",))
    return made.save(tmp_path / "mine.h5")


def test_what_was_imported_is_told_layer_by_layer(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(imported)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "note: folded bn1" in lines
    rows = [line.split() for line in lines[-3:]]
    assert rows[0] == ["0", "pool", "2x2x2", "0"]
    assert rows[1] == ["1", "dense", "3", "33", "0.25..0.9", "0.5..1.25", "7", "yes"]
    assert rows[2] == ["2", "readout", "2", "6", "0.5", "0"]
    for text in (
        "2x2x2 counts 0..4, 4 being 1.0, 4 steps", "fire at > the threshold, reset subtract, before-leak",
        "decoding max", "state_dict a.pt", f"sast-deploy compile {imported}",
    ):  # fmt: skip
        assert any(text in line for line in lines), text
    assert run(["inspect", str(imported), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schemas()["inspect"]).validate(document)
    assert document["layers"][1]["threshold"] == [0.5, 1.25]
    assert document["layers"][1]["leak"] == [0.25, 0.9]


@pytest.mark.parametrize("options", [["--samples", "3"], ["--fail-on-limits"], ["-o", "facts.json"]])
def test_what_takes_integers_is_refused_of_an_imported_network(
    options: list[str], imported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(imported), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"is for integers, and an imported network has none; compile {imported} first")
