"""A stock NetX file -> StockNet: every dataset read once, as `hdf5.Network._create` does (lava-dl 0.6.0)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from sast_deploy.base.errors import NetFileError
from sast_deploy.base.reading.files import Expected
from sast_deploy.base.reading.hdf5 import open_hdf5
from sast_deploy.netx.foreign.altered_weights import stock_weights
from sast_deploy.netx.foreign.datasets import LONGEST_TEXT, Group
from sast_deploy.netx.foreign.stocknet import INCONSISTENT, SUPPORTED, StockLayer, StockNet
from sast_deploy.program import lava_constants as lava
from sast_deploy.program.program import NO_DECAY_FILTER, Conv2d, Dense, Int32Array, Shape, frozen_ints

STOCK_FILE = Expected("a NetX .net file", NetFileError)


def read_stock(path: Path) -> StockNet:
    """Read a stock NetX file, which is not needed afterwards.

    Raises:
        NetFileError: missing, damaged, or with a layer, neuron or value that is not supported: the message
            names the layer, what was found and what is supported.
    """
    layers: list[StockLayer] = []
    shape, transform, neurons, flattened = None, None, None, False
    with open_hdf5(path, STOCK_FILE, ("layer",)) as file:
        for group in _groups(file, path):
            try:
                if group.kind == "flatten":
                    flattened = True
                elif group.kind == "input":
                    shape, transform, neurons = _input(group)
                elif group.kind == "conv":
                    layers.append(_conv(group))
                elif group.kind in ("dense", "dense_rec"):
                    layers.append(_dense(group, flattened))
                    flattened = False
                else:
                    group.refuse(f"layer type {group.kind!r}", SUPPORTED)
            except ValueError as error:  # of the program's own checks
                group.refuse(str(error).removeprefix(INCONSISTENT), "sizes that fit one another")
    image = shape is None or len(shape) == 3
    if shape is not None and not image:
        shape = (*shape, 1, 1)
    return StockNet(Path(path), tuple(layers), shape, image, transform, neurons)


def _groups(file: h5py.File, path: Path) -> Iterator[Group]:
    groups = file.get("layer")
    if groups is None:
        STOCK_FILE.refuse_kind(path)
    if not isinstance(groups, h5py.Group) or not len(groups):
        STOCK_FILE.refuse("has no layers in /layer", path)
    for index in range(len(groups)):
        if str(index) not in groups:
            names = ", ".join(groups)
            found = f"/layer has {names[:LONGEST_TEXT]}{'...' if names[LONGEST_TEXT:] else ''}"
            raise NetFileError(found, where=path, expected=f"0..{len(groups) - 1}")
        if not isinstance(groups[str(index)], h5py.Group):
            raise NetFileError(f"/layer/{index} is a dataset", where=path, expected="a group")
        yield Group(groups[str(index)], path, index)


def _input(group: Group) -> tuple[Shape | None, tuple[int, int] | None, Conv2d | None]:
    """`shape`, (n,) or (C, H, W), `transform` and `neurons` of an input layer, where it has any."""
    if group.index:
        group.refuse("an input layer that is not the first", SUPPORTED)
    if not group.has("neuron"):
        return (group.shape if group.has("shape") else None), None, None
    shape = group.shape
    weight = int(group.read("weight").item()) if group.has("weight") else lava.PIXEL_WEIGHT
    bias = int(group.read("bias").item()) if group.has("bias") else 0
    # No bias passes a current filter.
    neurons = {**_neurons(group, shape[0]), "u_decay": frozen_ints([NO_DECAY_FILTER])}
    layer = Conv2d(
        weight=frozen_ints(np.ones((shape[0], 1, 1, 1))), bias=frozen_ints([0]),
        weight_exp=lava.MANTISSA_SHIFT, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=shape[0],
        reset_offset=0, **neurons,
    )  # fmt: skip
    return shape, (weight, bias), layer


def _dense(group: Group, flattened: bool) -> StockLayer:
    if group.has("weight/imag"):
        group.refuse("complex weights", SUPPORTED)
    outputs = math.prod(group.shape)
    weight, recurrent = group.read("weight", out=outputs).reshape(outputs, -1), None
    if group.kind == "dense_rec":
        recurrent = group.read("weight_rec", out=outputs).reshape(outputs, outputs)
        if group.has("delay"):
            group.refuse("recurrence with delays", "only one of them: stock NetX loses the exponent")
    delay, shortened = group.delay((outputs, weight.shape[1]))
    try:
        used, *more = stock_weights(weight, recurrent)
    except ValueError as error:
        mixed = f"weights of mixed signs within {lava.WEIGHT_MIN}..{lava.WEIGHT_MAX}"
        group.refuse(str(error), f"{mixed}, or none above 255")
    changed = sum(int((a != b).sum()) for a, b in zip((used, *more), (weight, recurrent), strict=False))
    layer = Dense(
        weight=frozen_ints(used), recurrent=frozen_ints(more[0]) if more else None, reset_offset=0,
        bias=frozen_ints(group.bias(outputs) << lava.MANTISSA_SHIFT), weight_exp=lava.MANTISSA_SHIFT,
        delay=frozen_ints(delay + 1), **_neurons(group, outputs),
    )  # fmt: skip
    longest = lava.SYNAPSE_DELAY_MAX
    notes = [f"stock NetX shortens delays above {longest} to {longest}"] if shortened else []
    notes += [f"stock Lava alters {changed} weights"] if changed else []
    return StockLayer(group.name, layer, (outputs,), flattened, tuple(notes))


def _conv(group: Group) -> StockLayer:
    weight = group.read("weight")
    weight = weight.reshape(weight.shape[:4])
    late = group.has("delay") and group.read("delay").any()
    layer = Conv2d(
        weight=frozen_ints(weight), bias=frozen_ints(group.bias(len(weight)) << lava.MANTISSA_SHIFT),
        weight_exp=lava.MANTISSA_SHIFT, groups=int(group.read("groups").item()), delay=frozen_ints([1]),
        stride=group.pair("stride"), padding=group.pair("padding"), dilation=group.pair("dilation"),
        reset_offset=0, **_neurons(group, len(weight)),
    )  # fmt: skip
    return StockLayer(group.name, layer, group.shape, notes=("stock NetX ignores its delays",) * bool(late))


def _neurons(group: Group, outputs: int) -> dict[str, Int32Array]:
    """vth, v_decay and u_decay of a layer; one for all, or one per channel or neuron."""
    if not group.has("neuron"):
        if group.kind == "conv":
            group.refuse("no neuron group", "CUBA or LOIHI neurons")
        never = {"vth": lava.NEVER_FIRES << lava.MANTISSA_SHIFT, "v_decay": NO_DECAY_FILTER, "u_decay": 0}
        return {name: frozen_ints([value]) for name, value in never.items()}
    values = group.neurons(outputs)
    decays = {"v_decay": frozen_ints(values["vDecay"]), "u_decay": frozen_ints(values["iDecay"])}
    return {"vth": frozen_ints(values["vThMant"] << lava.MANTISSA_SHIFT), **decays}
