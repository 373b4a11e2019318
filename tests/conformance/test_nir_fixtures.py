"""Twenty NIR files that five frameworks wrote, with what each framework computed: every spike, every state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import ExchangeError
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.engines.reference import run_reference
from sast_deploy.exchange.nir import from_nir
from sast_deploy.program.profile import parse_profile

SINGLE = {"spikes": "single", "lower_bound": "none"}
SOFT, HARD = {"reset": "subtract"}, {"reset": "zero"}

# What the files leave open, as their scripts had it; and what is computed from u and c: v as it is stored
# before a reset (None), after it, and the share of the current that is stored.
EXPRESSIBLE = {
    "snntorch_leaky_subtract": SOFT,
    "snntorch_leaky_zero": HARD,
    "snntorch_synaptic_subtract": SOFT,
    "snntorch_conv_subtract": SOFT,
    "norse_lifbox": HARD,
    "norse_lifbox_subtract": SOFT,
    "norse_lif_cuba": HARD,
    "norse_iaf": HARD,
    "spikingjelly_lif_decay": {},
    "spikingjelly_lif_nodecay": {},
    "spikingjelly_if": {},
    "spikingjelly_cuba": {},
    "spikingjelly_conv": {},
    "sinabs_lif": {**SOFT, **SINGLE, "gain": "plain"},
    "sinabs_lif_zero": {**HARD, **SINGLE, "gain": "plain"},
    "sinabs_conv": {**SOFT, **SINGLE},
}
MULTI = {"spikes": "multi"}
REFUSED = {
    "sinabs_iaf": SOFT | MULTI,
    "sinabs_iaf_zero": HARD | MULTI,
    "sinabs_lif_norm": SOFT | MULTI | {"gain": "normalised"},
    "rockpool_lif": MULTI,
}
# Membranes are multiples of 2**-FRACTION, weights of 2**(7 - FRACTION), up to 127 of these; the order of a
# reset and the comparison are the network's.
PROFILE = """
name = "fine"
description = "a fixed unit, exact for weights that are few bits wide"
[weight]
bits = 8
scale = "unit"
clipping = "none"
exponent_min = 7
exponent_max = 7
[state]
bits = 24
fraction_bits = FRACTION
overflow = "saturate"
headroom = 8.0
grid = 1
[accumulator]
bits = 31
excess = "refuse"
[leak]
rounding = "half-even"
[shift]
rounding = "half-even"
[spike]
[reset]
kind = "RESET"
delay = 1
"""


@pytest.fixture
def fixtures(shared_data: Path) -> Path:
    found = shared_data / "nir_fixtures"
    if not found.is_dir():
        pytest.skip("SAST_TEST_DATA has no nir_fixtures/")
    return found


def imported(folder, facts):
    given = np.load(folder / "io.npz")
    made = from_nir(folder / "net.nir", folder.name.split("_")[0], steps=len(given["x"]), **facts)
    return made, given


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_every_spike_of_both_layers_in_floating_point(fixtures, name):
    made, given = imported(fixtures / name, EXPRESSIBLE[name])
    record = run_float(made.network, given["x"][None], trace=True)
    assert len(record.traces) == 2
    spikes = 0
    for trace, key in zip(record.traces, ("s1", "s2"), strict=True):
        wanted = given[key].reshape(len(given["x"]), -1)
        found = trace.spikes[0]
        assert np.array_equal(found[:, : wanted.shape[1]], wanted)
        assert found[:, wanted.shape[1] :].all()  # a neuron that stands for a filtered bias
        spikes += wanted.sum()
    assert spikes > 20


@pytest.mark.parametrize("name", [name for name in EXPRESSIBLE if "conv" not in name])
def test_every_state(fixtures, name):
    """snnTorch stores membranes before the reset, all others after it."""
    made, given = imported(fixtures / name, EXPRESSIBLE[name])
    network = made.network
    record = run_float(network, given["x"][None], trace=True)
    for layer, trace, key in zip(network.layers, record.traces, "12", strict=True):
        wanted = given[f"v{key}"]
        n = wanted.shape[1]
        u, s = trace.membrane[0][:, :n], trace.spikes[0][:, :n]
        if not name.startswith("snntorch"):
            u = u - layer.threshold[:n] * s if network.reset == "subtract" else u * (1 - s)
        np.testing.assert_allclose(u, wanted, rtol=2e-6, atol=1e-6)
        if f"i{key}" not in given or layer.current_leak is None:
            continue
        # Norse scales what a current gives by 1 - leak = 1/4, and stores it after the step's own leak.
        c = (trace.current[0] + layer.bias)[:, :n] * 4 * layer.current_leak[:n]
        np.testing.assert_allclose(c, given[f"i{key}"].reshape(c.shape), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_every_spike_of_both_layers_in_integers(fixtures, name):
    made, given = imported(fixtures / name, EXPRESSIBLE[name])
    bits = "14" if name == "norse_lif_cuba" else "13"  # whose weights are a quarter of the others'
    text = PROFILE.replace("RESET", made.network.reset).replace("FRACTION", bits)
    profile = parse_profile(text, "fine")
    compilation = compile_network(made.network, profile, name)
    rules = compilation.program.arithmetic
    assert (rules.comparison, rules.reset) == (made.network.comparison, made.network.reset)
    assert all(facts.error < 1e-6 for facts in compilation.layers), "weights are exact"
    record = run_reference(compilation.program, given["x"][None].reshape(
        1, -1, *made.network.input_shape).astype(np.uint8), trace=True)  # fmt: skip
    for trace, key in zip(record.traces, ("s1", "s2"), strict=True):
        wanted = given[key].reshape(len(given["x"]), -1)
        assert np.array_equal(trace.spikes[0][:, : wanted.shape[1]], wanted)


@pytest.mark.parametrize("name", REFUSED)
def test_what_fires_several_times_a_step_is_refused(fixtures, name):
    with pytest.raises(ExchangeError, match=r"its neurons fire several times a step") as caught:
        imported(fixtures / name, REFUSED[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EXPRESSIBLE | REFUSED)
def test_what_a_file_leaves_open_is_asked_for(fixtures, name):
    """Without a framework, and with it but without what its files do not say."""
    with pytest.raises(ExchangeError, match=r"NIR does not say .*(reset|leak).* expected .*comparison"):
        from_nir(fixtures / name / "net.nir", steps=20)
    framework = name.split("_")[0]
    if framework != "spikingjelly":
        wanted = {"sinabs": "reset, spikes, lower_bound", "rockpool": "spikes"}.get(framework, "reset")
        with pytest.raises(ExchangeError, match=r"files do not either .*own default") as caught:
            from_nir(fixtures / name / "net.nir", framework, steps=20)
        assert wanted in str(caught.value).replace("gain, ", "")


def test_snntorchs_two_resets_are_one_graph(fixtures):
    """Nothing in the files tells them apart, and the spikes differ."""
    files = ("snntorch_leaky_subtract", "snntorch_leaky_zero")
    runs = []
    for name in files:
        made, given = imported(fixtures / name, SOFT)
        runs.append((run_float(made.network, given["x"][None]).counts[0], given["s1"].sum(0)))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert not np.array_equal(runs[0][1], runs[1][1])
