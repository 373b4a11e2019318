"""Other people's .net files: whatever a dataset is or holds, a refusal by one line, or a run."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.netx.foreign.stocknet import StockUse
from tests.attacks.readers import commands, place
from tests.attacks.test_nets import NODES, REACHING, refusal
from tools.fuzzing.hdf5 import datasets

NONSENSE = {
    "a delay below 0": ("layer/0/delay", np.array([-5])),
    "weights that are one number": ("layer/0/weight", 3),
    "weights of five axes": ("layer/0/weight", np.ones((6, 8, 1, 1, 1))),
    "weights nan": ("layer/0/weight", np.full((6, 8), np.nan)),
    "weights inf": ("layer/0/weight", np.full((6, 8), np.inf)),
    "weights of 2**70": ("layer/0/weight", np.full((6, 8), 2.0**70)),
    "weights as text": ("layer/0/weight", np.bytes_("weights")),
    "weights of no rows": ("layer/0/weight", np.zeros((0, 8))),
    "a shape of 2**62": ("layer/0/shape", np.array([2**62])),
    "a shape below 0": ("layer/0/shape", np.array([-6])),
    "a shape of nothing": ("layer/0/shape", np.zeros(0, int)),
    "an empty type": ("layer/0/type", np.zeros(0, "S1")),
    "a type of no letters": ("layer/0/type", np.bytes_(b"\xff")),
    "a type that is a number": ("layer/0/type", 3),
    "vDecay 5000": ("layer/0/neuron/vDecay", 5000),
    "vDecay as a fraction": ("layer/0/neuron/vDecay", 0.5),
    "iDecay below 0": ("layer/0/neuron/iDecay", -1),
    "vThMant 2**40": ("layer/0/neuron/vThMant", 2**40),
    "vThMant of three": ("layer/0/neuron/vThMant", np.array([1, 2, 3])),
    "a neuron type of no name": ("layer/0/neuron/type", np.bytes_("ALIF")),
    "a bias of 2**40": ("layer/0/bias", np.full(6, 2**40)),
    "a bias of three": ("layer/0/bias", np.array([1, 2, 3])),
    "refDelay nan": ("layer/0/neuron/refDelay", np.nan),
    "/layer a dataset": ("layer", 3),
    "/layer empty": ("layer", None),
    "layers not counted from 0": ("layer/7/type", np.bytes_("dense")),
    "a layer that is a number": ("layer/1", 3),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense(kind, seeds, work, refuses):
    path = place("stock", seeds, work)
    name, value = NONSENSE[kind]
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is None:
            file.create_group(name)
        else:
            file[name] = value
    for words in commands("stock"):
        refuses(words, "x.net")


@pytest.mark.parametrize("change", NODES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", ["vectors.net", "delays.net", "recurrent.net", "conv.net", "pixels.net"])
def test_every_dataset(change, seed, seeds, made, work):
    path = work / "x.net"
    path.write_bytes(seeds.files["stock"][seed])
    with h5py.File(path) as file:
        names = datasets(file)
    for name in names:
        path.write_bytes(seeds.files["stock"][seed])
        with h5py.File(path, "r+") as file:
            change(file, name, made[0])
        message = refusal(lambda: read_stock(path).program(StockUse(steps=3)))
        assert message or change not in REACHING, name
        assert "x.net" in message or not message, name
        assert len(message.splitlines()) <= 1, name


def test_a_weight_of_a_billion_unwritten_numbers(seeds, work, refuses):
    path = place("stock", seeds, work)
    with h5py.File(path, "r+") as file:
        del file["layer/0/weight"]
        file.create_dataset("layer/0/weight", (168, 6_000_000), "i4", chunks=(168, 6000), compression="gzip")
    refuses(commands("stock")[0], "x.net", child=True)
