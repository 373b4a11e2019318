"""Witnesses (b) and (c): reset by subtraction out of stock Lava processes, none of which has it."""

from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, frozen_ints
from tests.conformance.witness_child import run_witness

pytestmark = pytest.mark.slow


def one_layer(weight, vth, decay, rules, bias=0):
    """A program of one layer whose spikes are its logits."""
    layer = Dense(frozen_ints(weight), frozen_ints([bias]), frozen_ints(vth), 0, frozen_ints([decay]))
    names = tuple(map(str, range(len(weight))))
    return Program("witness", (weight.shape[1], 1, 1), 7, 300, names, rules, (layer,))


def test_graded_vectors_reset_by_subtraction(monkeypatch):
    """40 neurons, 300 steps, leak 1/2, then 96/128, floor rounding, 24 bits that nothing saturates."""
    rng = np.random.default_rng(4)
    rules = Arithmetic(QFormat(24, 0), 8, "saturate", "floor", "floor", ">=", "subtract")
    for numerator, decay in ((64, 2048), (96, 1024)):
        vth = 2 * rng.integers(20, 60, 40)
        program = one_layer(rng.integers(-60, 90, (40, 12)), vth, decay, rules)
        frames = rng.integers(0, 8, (1, 300, 12, 1, 1)) * (rng.random((1, 300, 12, 1, 1)) < 0.3)
        trace = run_reference(program, frames.astype(np.uint8), trace=True).traces[0]
        activation = program.layers[0].weight @ frames.reshape(300, 12).T
        arguments = {"activation": activation, "alpha_numerator": numerator, "vth": vth}
        found = run_witness("graded_reset", monkeypatch, **arguments)
        assert np.array_equal(found["membranes"], trace.membrane[0].T)
        assert np.array_equal(found["spikes"], trace.spikes[0].T)
        assert trace.membrane.min() < -50 < 50 < trace.membrane.max()
        assert 0.1 < trace.spikes.mean() < 0.9
        assert ((trace.membrane % 2 == 1) & (trace.membrane < 0)).any()  # floor is told from truncation


def test_atrlif_resets_by_subtraction_in_floating_point(monkeypatch):
    """Leak 1/2, any floats: spike for spike the equation of the network."""
    rng = np.random.default_rng(5)
    activation, theta = rng.normal(0.3, 1.0, (40, 300)), 0.8
    found = run_witness("refractory_reset", monkeypatch, activation=activation, vth=theta)
    u, s, spikes = np.zeros(40), np.zeros(40), []
    for t in range(300):
        u = 0.5 * u + activation[:, t] - theta * s
        s = (u >= theta).astype(float)
        spikes.append(s)
    assert np.array_equal(found["spikes"], np.array(spikes).T)
    assert 0.1 < np.mean(spikes) < 0.9


def test_atrlif_equals_the_integer_program_where_halving_is_exact(monkeypatch):
    """Inputs, weights and threshold are multiples of 2**16; 16 steps halve at most sixteen times."""
    rng = np.random.default_rng(6)
    rules = Arithmetic(QFormat(24, 16), 24, "saturate", "toward-zero", "floor", ">=", "subtract")
    program = one_layer(rng.integers(-3, 5, (40, 6)) << 16, [3 << 16], 2048, rules)
    frames = (rng.integers(0, 3, (1, 16, 6, 1, 1)) * (rng.random((1, 16, 6, 1, 1)) < 0.6)).astype(np.uint8)
    trace = run_reference(program, frames, trace=True).traces[0]
    activation = (program.layers[0].weight @ frames.reshape(16, 6).T.astype(np.int64)).astype(float)
    found = run_witness("refractory_reset", monkeypatch, activation=activation, vth=float(3 << 16))
    assert np.array_equal(found["spikes"], trace.spikes[0].T)
    # r is read after a spike has added 2 vth to it.
    membranes = found["v"] - found["r"] + 2 * (3 << 16) * found["spikes"]
    assert np.array_equal(membranes, trace.membrane[0].T)
    assert 0.1 < trace.spikes.mean() < 0.9
    assert (trace.membrane % (1 << 16)).any()


def test_stock_weights_are_those_of_stock_lava(monkeypatch):
    found = run_witness("weights", monkeypatch, seed=1, cases=3000)
    assert found["wrong"] == 0
    assert min(found["exact"], found["altered"], found["refused"]) > 100
