"""`inspect` and `verify` on a trained network with its own data set, all engines, Lava included."""

from __future__ import annotations

import json

import pytest

from sast_deploy.cli import run
from sast_deploy.engines import INSTALLED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("profile", ["loihi-int4", "loihi-int8"])
def test_all_engines_agree_on_the_trained_network(chain, profile, monkeypatch, capsys):
    monkeypatch.chdir(chain)
    assert run(["verify", f"netx_exports/sast-{profile}.net", "--samples", "6"]) == 0
    out = capsys.readouterr().out
    for engine in INSTALLED:
        assert sum(line.split()[:1] == [engine] for line in out.splitlines()) == 2
    assert out.count("the file's answers") == 4
    assert out.count("equal to the reference") == 3


def test_inspect_counts_saturated_states_on_the_test_split(chain, monkeypatch, capsys):
    monkeypatch.chdir(chain)
    arguments = ["--samples", "10", "-o", "out/facts.json"]
    assert run(["inspect", "netx_exports/sast-loihi-int4.net", *arguments]) == 0
    assert "10 samples, layer 0 (dense): membranes " in capsys.readouterr().out
    calibration = json.loads((chain / "out/facts.json").read_text())["calibration"]
    assert calibration["samples"] == 10
    assert len(calibration["layers"]) == 2
