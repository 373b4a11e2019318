"""Small float networks for compiler and file tests."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn import functional

from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatNetwork,
    FloatPool,
    FloatReadout,
    FloatUpsample,
)
from sast_deploy.program.profile import load_profile, parse_profile


def float_fc(seed=0, shape=(2, 5, 4), hidden=(9, 6), classes=3, scale=1.0, steps=6, clip=4):
    rng = np.random.default_rng(seed)
    sizes = (int(np.prod(shape)), *hidden)
    layers = [
        FloatDense(scale * rng.normal(0, 1.5 / np.sqrt(i), (o, i)), rng.normal(0, 0.1, o), np.ones(o))
        for i, o in itertools.pairwise(sizes)
    ]
    readout = FloatReadout(rng.normal(0, 0.5, (classes, sizes[-1])), rng.normal(0, 0.1, classes))
    return FloatNetwork((*layers, readout), shape, steps, 0.5, clip)


def float_conv(seed=0):
    rng = np.random.default_rng(seed)
    geometry = ((2, 2), (1, 1), (1, 1), 1)
    first = FloatConv2d(rng.normal(0, 0.6, (4, 2, 3, 3)), rng.normal(0, 0.1, 4), np.ones(4), *geometry)
    second = FloatConv2d(rng.normal(0, 0.4, (5, 4, 3, 3)), rng.normal(0, 0.1, 5), np.ones(5), *geometry)
    readout = FloatReadout(rng.normal(0, 0.5, (3, 5)), rng.normal(0, 0.1, 3))
    layers = (first, second, FloatPool((2, 3)), readout)
    return FloatNetwork(layers, (2, 8, 10), 5, 0.5, 4, classes=("a", "b", "c"))


def float_trace(network: FloatNetwork, frames: np.ndarray):
    """Membranes and spikes (samples, time, neurons) of every spiking layer, and logits, in float64.

    The equations of compiler/floatnet.py derived anew: layer by layer, torch's products of all steps at once.
    """
    train = frames.reshape(*frames.shape[:2], *network.input_shape) / network.input_clip
    traces = []
    for layer in network.layers:
        if isinstance(layer, FloatPool):
            train = _maps(train, lambda maps, kernel=layer.kernel: functional.avg_pool2d(maps, kernel))
        elif isinstance(layer, FloatUpsample):
            train = train.repeat(layer.factors[1], axis=4).repeat(layer.factors[0], axis=3)
        elif isinstance(layer, FloatReadout):
            return traces, _arriving(layer, train).mean(axis=1) + layer.bias
        else:
            membranes, train = _fire(network, layer, _arriving(layer, train))
            traces.append((membranes, train.reshape(membranes.shape)))
    return traces, traces[-1][1].sum(axis=1)


def float_run(network: FloatNetwork, frames: np.ndarray) -> np.ndarray:
    """Hard-spike float64 logits (samples, classes)."""
    return float_trace(network, frames)[1]


def _maps(train, function):
    flat = torch.from_numpy(np.ascontiguousarray(train, np.float64)).flatten(0, 1)
    return function(flat).unflatten(0, train.shape[:2]).numpy()


def _arriving(layer, train):
    """Weighted sums without recurrence: each delay's synapses see a train that is so much later."""
    total = 0
    for delay in np.unique(layer.delay):
        late = np.concatenate([np.zeros_like(train[:, :delay]), train], axis=1)[:, : train.shape[1]]
        weight = torch.tensor(np.where(layer.delay == delay, layer.weight, 0), dtype=torch.float64)
        if isinstance(layer, FloatConv2d):
            geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
            total += _maps(late, lambda maps, w=weight, g=geometry: functional.conv2d(maps, w, None, *g))
        else:
            total += late.reshape(*late.shape[:2], -1) @ weight.numpy().T
    return total


def _fire(network, layer, arriving):
    """Membranes (samples, time, neurons) and spikes (samples, time, ...) of sums (samples, time, ...)."""
    wide = [-1] + [1] * (arriving.ndim - 3)
    leak = network.alpha if layer.leak is None else layer.leak.reshape(wide)
    kept = 0.0 if layer.current_leak is None else layer.current_leak.reshape(wide)
    bias, theta = layer.bias.reshape(wide), layer.threshold.reshape(wide)
    back = getattr(layer, "recurrent", None)
    c = u = s = np.zeros(arriving[:, 0].shape)
    membranes, spikes = [], []
    for t in range(arriving.shape[1]):
        c = kept * c + arriving[:, t] + (0 if back is None else s @ back.T.astype(np.float64))
        u = (leak * u - theta * s if network.reset == "subtract" else leak * u * (1 - s)) + c + bias
        s = (u >= theta).astype(np.float64)
        membranes.append(u)
        spikes.append(s)
    return np.stack(membranes, axis=1).reshape(*arriving.shape[:2], -1), np.stack(spikes, axis=1)


EXACT_LSB = 1 / 256  # what a membrane's integer stands for
EXACT_LEAKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def exact_profile(reset="subtract", fraction_bits=8):
    """One under which `exact_network` compiles without loss: a fixed scale, and room for every sum.

    With 8 fraction bits its leaks have nothing to round either; with 1, weights fit stock NetX.
    """
    exponent_max = fraction_bits - 1
    text = load_profile("loihi-int8").text
    for old, new in (
        ('scale = "neuron"', 'scale = "unit"'), ("exponent_max = 1 ", f"exponent_max = {exponent_max} "),
        ("bits = 16", "bits = 24"), ("bits = 24\nexcess", "bits = 31\nexcess"),
        ('kind = "subtract"', f'kind = "{reset}"'), ("fraction_bits = 8", f"fraction_bits = {fraction_bits}"),
    ):  # fmt: skip
        assert old in text, old
        text = text.replace(old, new, 1)
    return parse_profile(text, "exact")


def exact_network(seed: int) -> FloatNetwork:
    """A network with a random choice of all features that its integers express exactly.

    Weights, biases and thresholds are multiples of 1/2, 2**7 LSBs. In 4 steps a value is multiplied by leaks,
    multiples of 1/4, at most 3 times, so every state stays a whole number of LSBs: the rounding of a leak has
    nothing to round.
    """
    rng = np.random.default_rng([10, seed])
    layers, shape, unit = [], (2, 5, 6), 4  # unit: how many of the layer's integer inputs are 1.0
    if rng.random() < 0.5:
        layers.append(_exact_conv(rng, groups=int(rng.integers(1, 3))))
        shape, unit = layers[0].out_shape(shape), 1
    if rng.random() < 0.5:
        layers.append(FloatPool((1, 2)))
        shape, unit = layers[-1].out_shape(shape), 2 * unit
    if rng.random() < 0.4 or not layers or unit > 1:
        layers += [_exact_dense(rng, int(np.prod(shape)), 7, unit), _exact_dense(rng, 7, 5, 1)]
        shape = (5,)
    if rng.random() < 0.5:
        weight = _exact_weights(rng, (3, int(np.prod(shape))), 1 / 64)
        layers.append(FloatReadout(weight, rng.integers(-9, 10, 3) / 64, int(rng.integers(3))))
    reset = ("subtract", "zero")[seed % 2]
    return FloatNetwork(layers, (2, 5, 6), 4, EXACT_LEAKS[seed % 5], 4, input_max=6, reset=reset)


def _exact_weights(rng, shape, unit):
    """Multiples k of a unit, k to 127, which becomes the largest integer."""
    weight = rng.integers(-20, 21, shape)
    weight.flat[0] = 127
    return weight * unit


def _exact_neurons(rng, neurons):
    """Bias, threshold, leak, current leak: for the layer, or for each."""

    def of_all(values):
        return values[0] if rng.random() < 0.3 else values

    return {
        "bias": of_all(rng.integers(-20, 40, neurons) / 2),
        "threshold": of_all(rng.integers(8, 90, neurons) / 2),
        "leak": None if rng.random() < 0.3 else of_all(rng.choice(EXACT_LEAKS, neurons)),
        "current_leak": None if rng.random() < 0.4 else of_all(rng.choice(EXACT_LEAKS, neurons)),
    }


def _exact_conv(rng, groups):
    geometry = {"stride": (1, 2), "padding": 1, "dilation": (2, 1)} if rng.random() < 0.5 else {}
    weight = _exact_weights(rng, (4, 2 // groups, 3, 2), 4 / 2)
    late = int(rng.integers(3))
    return FloatConv2d(weight, **_exact_neurons(rng, 4), **geometry, groups=groups, delay=late)


def _exact_dense(rng, inputs, neurons, unit):
    delay = rng.integers(0, 4, [(1,), (inputs,), (neurons, inputs)][rng.integers(3)])
    recurrent = rng.integers(-20, 21, (neurons, neurons)) / 2 if rng.random() < 0.5 else None
    weight = _exact_weights(rng, (neurons, inputs), unit / 2)
    return FloatDense(weight, **_exact_neurons(rng, neurons), delay=delay, recurrent=recurrent)
