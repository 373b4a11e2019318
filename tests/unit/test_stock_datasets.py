"""Every dataset of every layer type of a stock file, wrong in every way, is named by layer and shape."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError
from sast_deploy.netx.foreign.datasets import ANY, RULES
from sast_deploy.netx.foreign.reader import read_stock
from tests.stockfiles import FLATTEN, conv, dense, image, integers, neuron, write_stock

RNG = np.random.default_rng(0)
EVERY_DENSE = {**dense(integers(RNG, 9, 3, 4), np.arange(3)), "delay": 1}
EVERY_CONV = {**conv(integers(RNG, 9, 2, 1, 2, 2), (2, 3, 3), np.arange(2)), "delay": 0}
RECURRENT = {name: value for name, value in EVERY_DENSE.items() if name != "delay"}
RECURRENT |= {"type": b"dense_rec", "weight_rec": integers(RNG, 9, 3, 3)}
# Where the layer is in its file, and the file's layers.
VALID = {
    "input": (0, [image(1, 2, 2, weight=3, bias=4, **neuron()), FLATTEN, EVERY_DENSE]),
    "dense": (0, [EVERY_DENSE]),
    "dense_rec": (0, [RECURRENT]),
    "conv": (1, [image(1, 4, 4), EVERY_CONV]),
}
OPTIONAL = {"bias", "delay", "neuron/refDelay"}
EVERY = [(kind, name) for kind in RULES for name in RULES[kind] if (kind, name) != ("dense_rec", "delay")]


def is_optional(kind, name):
    return name in OPTIONAL or (kind == "input" and name == "weight")


def damages(kind, name):
    """(the value instead, what the message says of it)."""
    rule, good = RULES[kind][name], np.asarray(VALID[kind][1][VALID[kind][0]][name])
    yield np.bytes_("three"), f"{name} of type"
    yield good + 1j, None
    yield h5py.Empty("i8"), f"{name} without values"
    yield np.zeros((0, *good.shape[1:]), np.int64), rf"{name} \(0,"
    if rule.shapes != (ANY,):
        yield good.reshape(1, 1, 1, 1, 1, -1), rf"{name} \(1, 1, 1, 1, 1, {good.size}\); expected"
    if rule.shapes != (ANY,) and "(n,)" not in rule.shapes:
        yield np.ones(977, np.int32), rf"{name} \(977,\); expected"
    if rule.cut:
        yield good * np.nan, f"{name} that is not finite"
    else:
        yield good + 0.5, f"{name} of type float64; expected"
    for end in (rule.low - 1, rule.high + 1):
        yield np.full_like(good, end, dtype=np.int64), rf"{name} {end}\.\.{end}; expected"


@pytest.mark.parametrize("kind", RULES)
def test_the_files_are_valid_and_have_every_dataset(kind, tmp_path):
    index, layers = VALID[kind]
    read_stock(write_stock(tmp_path / "a.net", layers))
    left_out = {name for name in RULES[kind] if name not in layers[index]}
    assert left_out == ({"delay"} if kind == "dense_rec" else set())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_dataset_that_is_wrong_is_named(kind, name, tmp_path):
    index, layers = VALID[kind]
    place = re.escape(f"layer {index} ({kind}): ")
    for value, message in damages(kind, name):
        broken = [dict(layer) for layer in layers]
        broken[index][name] = value
        refused(tmp_path / "a.net", broken, rf"{place}{message}" if message else "is not safe to read")


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_dataset_that_is_none_is_named(kind, name, tmp_path):
    index, layers = VALID[kind]
    place = re.escape(f"layer {index} ({kind}): ")
    missing = [dict(layer) for layer in layers]
    del missing[index][name]
    if is_optional(kind, name):
        read_stock(write_stock(tmp_path / "a.net", missing))
    else:
        refused(tmp_path / "a.net", missing, f"{place}no dataset {name}; expected")
    missing[index][f"{name}/inside"] = 3
    refused(tmp_path / "a.net", missing, f"{place}{name} is a group; expected a dataset")


@pytest.mark.parametrize("kind", RULES)
def test_neurons_that_are_no_group_are_named(kind, tmp_path):
    index, layers = VALID[kind]
    broken = [dict(layer) for layer in layers]
    broken[index] = {name: value for name, value in broken[index].items() if "neuron" not in name}
    broken[index]["neuron"] = 5
    refused(tmp_path / "a.net", broken, re.escape(f"layer {index} ({kind}): neuron is a dataset"))


def refused(path, layers, message):
    with pytest.raises(NetFileError, match=message) as caught:
        read_stock(write_stock(path, layers))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
