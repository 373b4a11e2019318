"""Witnesses of both soft resets: the frameworks' own recursions in NumPy, and the programs compiled of them.

Their weights, thresholds and inputs are multiples of what one step after the other may halve, so that float64
holds every value and the integers round nothing: all spikes and membrane potentials must be equal.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatReadout
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.profile import load_profile, parse_profile

FRACTION, LSB = 14, 2.0**-14  # of membranes with 24 bits; a weight's LSB is 2**7 of them
CHANGES = (
    ("bits = 16 ", "bits = 24 "), ("fraction_bits = 8", f"fraction_bits = {FRACTION}"),
    ('scale = "neuron"', 'scale = "unit"'), ("exponent_max = 1 ", "exponent_max = 7 "),
    ("bits = 24\nexcess", "bits = 31\nexcess"),
)  # fmt: skip


def norse(current, threshold, keep):
    """LIFBoxFeedForward with reset_subtract: dv = dt / tau (v_leak - v + i), z = v > v_th, v = v - z v_th."""
    rate = 1.0 - keep  # dt * tau_mem_inv
    v, membranes, spikes = np.zeros_like(current[0]), [], []
    for i in current:
        decayed = v + rate * ((0.0 - v) + i)
        z = (decayed > threshold).astype(float)
        v = decayed - z * threshold
        membranes.append(decayed)
        spikes.append(z)
    return np.array(membranes), np.array(spikes)


def spikingjelly(current, threshold, keep):
    """LIFNode(decay_input=False, v_reset=None): charge v - v / tau + x, fire v >= v_th, v = v - s v_th."""
    tau = 1.0 / (1.0 - keep)
    v, membranes, spikes = np.zeros_like(current[0]), [], []
    for x in current:
        v = v - v / tau + x
        s = (v - threshold >= 0).astype(float)
        membranes.append(v)
        v = v - s * threshold
        spikes.append(s)
    return np.array(membranes), np.array(spikes)


def snntorch(current, threshold, keep):
    """Leaky with reset_mechanism="subtract": reset = mem > th of before; mem = beta mem + x - reset th."""
    mem, membranes, spikes = np.zeros_like(current[0]), [], []
    for x in current:
        reset = (mem > threshold).astype(float)
        mem = keep * mem + x - reset * threshold
        membranes.append(mem)
        spikes.append((mem > threshold).astype(float))
    return np.array(membranes), np.array(spikes)


# Its recursion, its comparison, its order, and by what its weights multiply what arrives.
FRAMEWORKS = {
    "norse": (norse, ">", "before-leak", lambda keep: 1.0 - keep),
    "spikingjelly": (spikingjelly, ">=", "before-leak", lambda keep: 1.0),
    "snntorch": (snntorch, ">", "after-leak", lambda keep: 1.0),
}


def network_of(rng, keep, gain, order, steps):
    """Layers of 12, 40 and 20; weights are eighths, thresholds halves, biases none."""
    sizes = (12, 40, 20)
    weights = [rng.integers(-6, 8, pair[::-1]) / 8 for pair in pairwise(sizes)]
    thresholds = [rng.integers(1, 4, size) / 2 for size in sizes[1:]]
    layers = [FloatDense(gain * w, 0.0, theta) for w, theta in zip(weights, thresholds, strict=True)]
    readout = FloatReadout(np.eye(4, sizes[-1]) / 4)
    network = FloatNetwork([*layers, readout], sizes[0], steps, alpha=keep, input_max=4, reset_order=order)
    return network, weights, thresholds


def compiled(network, comparison):
    text = load_profile("loihi-int8").text
    for old, new in (*CHANGES, ('comparison = ">="', f'comparison = "{comparison}"')):
        assert old in text
        text = text.replace(old, new)
    return compile_network(network, parse_profile(text, "witness"), "witness").program


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(("keep", "steps"), [(0.5, 8), (0.75, 5), (0.0, 9)])
def test_a_program_spikes_as_the_framework_does(name, keep, steps):
    recursion, comparison, order, gain = FRAMEWORKS[name]
    rng = np.random.default_rng(4)
    network, weights, thresholds = network_of(rng, keep, gain(keep), order, steps)
    frames = rng.integers(0, 3, (50, steps, 12, 1, 1)) * (rng.random((50, steps, 12, 1, 1)) < 0.5)
    program = compiled(network, comparison)
    assert program.arithmetic.reset_order == order
    traces = run_reference(program, frames.astype(np.uint8), trace=True).traces
    x = frames.reshape(50, steps, 12).swapaxes(0, 1).astype(float)
    for weight, threshold, trace in zip(weights, thresholds, traces, strict=True):
        membranes, x = recursion(x @ weight.T, threshold, keep)
        assert np.array_equal(x.swapaxes(0, 1), trace.spikes)
        assert np.array_equal(membranes.swapaxes(0, 1), trace.membrane * LSB)
        assert 0.1 < trace.spikes.mean() < 0.9
    finer = traces[0].membrane % (1 << FRACTION >> 3)  # than weights, by the leak
    assert finer.any() or keep == 0


@pytest.mark.parametrize(("keep", "differ"), [(0.0, True), (0.5, True), (0.75, True), (1.0, False)])
def test_the_two_orders_are_two_networks_where_something_leaks(keep, differ):
    rng = np.random.default_rng(5)
    frames = rng.integers(0, 3, (20, 5, 12, 1, 1)).astype(np.uint8)
    counts = []
    for order in ("after-leak", "before-leak"):
        network, *_ = network_of(np.random.default_rng(6), keep, 1.0, order, 5)
        counts.append(run_reference(compiled(network, ">="), frames).counts[0])
    assert np.array_equal(*counts) != differ
