"""Small float networks for compiler and file tests."""

from __future__ import annotations

import itertools

import numpy as np

from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatPool, FloatReadout


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


def float_run(network: FloatNetwork, frames: np.ndarray) -> np.ndarray:
    """Hard-spike float64 logits (samples, classes) of a fully connected network, DESIGN's equations."""
    x = frames.reshape(len(frames), network.steps, -1) / network.input_clip
    for layer in network.layers[:-1]:
        weight, bias, theta = (a.astype(np.float64) for a in (layer.weight, layer.bias, layer.threshold))
        u = s = np.zeros((len(frames), len(bias)))
        spikes = []
        for t in range(network.steps):
            u = network.alpha * u + x[:, t] @ weight.T + bias - theta * s
            s = (u >= theta).astype(np.float64)
            spikes.append(s)
        x = np.stack(spikes, axis=1)
    return x.mean(axis=1) @ network.layers[-1].weight.T.astype(np.float64) + network.layers[-1].bias
