"""Witness (a): what `loihi-stock` compiles, unmodified stock NetX on stock Lava runs bit for bit as we do."""

from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatReadout
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.program.profile import load_profile
from tests.networks import float_conv, float_fc
from tests.stockruns import run_stock

pytestmark = pytest.mark.slow

STOCK = load_profile("loihi-stock")


def trained_like():
    """2312-168-64-10 with heavy-tailed weights, as training leaves them, and thresholds of its own."""
    rng = np.random.default_rng(7)
    layers = []
    for inputs, outputs, gain in ((2312, 168, 3.0), (168, 64, 2.0)):
        weight = rng.standard_t(4, (outputs, inputs)) * gain / np.sqrt(inputs)
        layers.append(FloatDense(weight, rng.normal(0.02, 0.05, outputs), rng.uniform(0.6, 1.4, outputs)))
    readout = FloatReadout(rng.normal(0, 0.3, (10, 64)), rng.normal(0, 0.1, 10))
    return FloatNetwork((*layers, readout), (2, 34, 34), 10, 0.5, 4)


def event_frames(rng, network, samples, density):
    shape = (samples, network.steps, *network.input_shape)
    return (rng.integers(1, network.input_clip + 1, shape) * (rng.random(shape) < density)).astype(np.uint8)


CASES = {
    "fc": lambda: (float_fc(seed=1, hidden=(30, 20), scale=2.0), 8, 0.4),
    "conv": lambda: (float_conv(seed=3), 6, 0.5),
    "trained-like": lambda: (trained_like(), 2, 0.08),
}


@pytest.mark.parametrize("case", CASES)
def test_stock_lava_agrees_on_every_membrane_and_spike(case, tmp_path):
    network, samples, density = CASES[case]()
    program = compile_network(network, STOCK, "witness").program
    frames = event_frames(np.random.default_rng(5), network, samples, density)
    write_net(tmp_path / "a.net", NetFile(program, STOCK.text))
    assert read_net(tmp_path / "a.net").program.digest() == program.digest()
    run = run_stock(tmp_path / "a.net", frames, record=True)
    ours = run_reference(program, frames, trace=True)
    steps = program.steps
    for layer, trace in enumerate(ours.traces):
        # A stock synapse sends one step late; a stock membrane is shown after its reset to zero.
        now = slice(layer + 1, layer + 1 + samples * steps)
        spikes = run.spikes[layer][:, now].T.reshape(trace.spikes.shape)
        membranes = run.membranes[layer][:, now].T.reshape(trace.spikes.shape)
        assert np.array_equal(spikes, trace.spikes)
        assert np.array_equal(membranes, np.where(trace.spikes, 0, trace.membrane))
        assert 0.02 < spikes.mean() < 0.9
        assert (membranes % 64).any()  # the six fractional bits are in use
    last = len(ours.traces) + np.arange(1, samples + 1) * steps
    assert np.array_equal(run.membranes[-1][:, last].T, ours.logits)
