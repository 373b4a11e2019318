"""Stock NetX files made by hand: one dictionary a layer, its keys paths below /layer/<i>."""

from __future__ import annotations

import h5py
import numpy as np

NEURON = {"type": b"CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 60, "refDelay": 1, "gradedSpike": False}


def neuron(**changes):
    return {f"neuron/{name}": value for name, value in {**NEURON, **changes}.items()}


def dense(weight, bias=None, **neuron_changes):
    layer = {"type": b"dense", "shape": np.array([len(weight)]), "weight": weight, **neuron(**neuron_changes)}
    return layer if bias is None else {**layer, "bias": bias}


def integrator(weight, bias=None):
    layer = {"type": b"dense", "shape": np.array([len(weight)]), "weight": weight}
    return layer if bias is None else {**layer, "bias": bias}


def conv(weight, shape, bias=None, stride=1, padding=0, dilation=1, groups=1, **neuron_changes):
    layer = {
        "type": b"conv", "shape": np.array(shape), "weight": weight, "groups": groups,
        "stride": np.array(stride), "padding": np.array(padding), "dilation": np.array(dilation),
        **neuron(**neuron_changes),
    }  # fmt: skip
    return layer if bias is None else {**layer, "bias": bias}


def image(*shape, **more):
    return {"type": b"input", "shape": np.array(shape), **more}


FLATTEN = {"type": b"flatten"}


def write_stock(path, layers):
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            for name, value in layer.items():
                file[f"layer/{index}/{name}"] = np.bytes_(value) if isinstance(value, bytes) else value
    return path


def integers(rng, limit, *shape):
    return rng.integers(-limit, limit + 1, shape)
