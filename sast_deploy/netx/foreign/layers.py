"""The layers of a stock NetX file, read one by one as `hdf5.Network._create` does (lava-dl 0.6.0)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from sast_deploy.base.errors import NetFileError
from sast_deploy.netx.foreign.node import DELAY_MAX, INT16, INT32, LONGEST_TEXT, Group, refuse
from sast_deploy.netx.foreign.weights import stock_weights
from sast_deploy.program.program import (
    NO_DECAY_FILTER,
    Conv2d,
    Dense,
    Int32Array,
    Shape,
    SpikingLayer,
    frozen_ints,
)

STOCK_SHIFT = 6
NEVER_FIRES = 1 << 17  # vThMant that NetX gives a dense layer without neurons
SUPPORTED = "input, dense, dense_rec, conv, flatten with CUBA or LOIHI neurons"


@dataclass(frozen=True)
class StockUse:
    """How the file is used: what a user of stock NetX passes to `hdf5.Network`, and the input's range.

    steps: T of a sample. message_bits: 0, any nonzero input is a spike; else inputs are graded.
    reset_interval: 0 for never; else states are cleared every so many steps. reset_offset: of the first
    layer, counted from step 0 (NetX's own argument). input_min, input_max: smallest and largest input; None:
    what the bits allow. input_bias: None; or the input neurons' biases are the inputs plus this, whatever the
    file's transform. input_shape: (C, H, W) that the user names. array_shape: that of the user's array, which
    a convolution takes where neither file nor user name one.
    """

    steps: int = 1
    message_bits: int = 0
    reset_interval: int = 0
    reset_offset: int = 0
    input_min: int = 0
    input_max: int | None = None
    input_bias: int | None = None
    input_shape: Shape | None = None
    array_shape: Shape | None = None


@dataclass
class LayerReader:
    """Reads layer after layer; everything below `use` is what has been read so far."""

    path: Path
    use: StockUse
    layers: list[SpikingLayer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    input_shape: Shape = ()
    shape: Shape = ()  # of what the next layer receives; empty until known
    image: bool = False  # whether that has three dimensions in stock NetX
    transform: tuple[int, int] | None = None
    flatten: bool = False

    def read(self, groups: h5py.Group) -> None:
        """Read all of /layer. Raises NetFileError for what is not supported."""
        for index in range(len(groups)):
            if str(index) not in groups:
                names = ", ".join(groups)
                found = f"/layer has {names[:LONGEST_TEXT]}{'...' if names[LONGEST_TEXT:] else ''}"
                raise NetFileError(found, where=self.path, expected=f"0..{len(groups) - 1}")
            if not isinstance(groups[str(index)], h5py.Group):
                raise NetFileError(f"/layer/{index} is a dataset", where=self.path, expected="a group")
            self._layer(Group(groups[str(index)], self.path, index), index)
        if not self.layers:
            raise NetFileError("has no layer that computes", where=self.path, expected=SUPPORTED)

    @property
    def input_max(self) -> int:
        """The largest input."""
        if self.use.input_max is not None:
            return self.use.input_max
        bits = 8 if self.transform is not None else self.use.message_bits
        return min((1 << bits) - 1, INT32[1]) if bits else 1

    def _layer(self, group: Group, index: int) -> None:
        readers = {
            "input": self._input,
            "dense": self._dense,
            "dense_rec": self._dense,
            "conv": self._conv,
            "flatten": self._flatten,
        }
        if group.kind not in readers:
            refuse(group, f"layer type {group.kind!r}", SUPPORTED)
        if group.kind == "input" and index:
            refuse(group, "an input layer that is not the first", SUPPORTED)
        try:
            readers[group.kind](group)
        except ValueError as error:  # of the program's own checks
            refuse(group, str(error).removeprefix("inconsistent program: "), "sizes that fit one another")

    def _flatten(self, group: Group) -> None:
        self.flatten = True

    def _input(self, group: Group) -> None:
        if not group.has("neuron") and not group.has("shape"):
            return
        shape = group.shape
        self.image = len(shape) == 3
        self.input_shape = self.shape = shape if self.image else (*shape, 1, 1)
        if group.has("neuron"):
            self._input_neurons(group, self.input_shape)

    def _input_neurons(self, group: Group, shape: Shape) -> None:
        """Stock users write weight * pixel + bias to the neurons' bias, which no current filter passes."""
        weight = int(group.read("weight").item()) if group.has("weight") else 64
        bias = int(group.read("bias").item()) if group.has("bias") else 0
        self.transform = (weight, bias)
        if self.use.input_bias is not None:
            weight, bias = 1, self.use.input_bias
        for end in (bias + weight * self.use.input_min, bias, bias + weight * self.input_max):
            if not INT16[0] <= end <= INT16[1]:
                refuse(group, f"neuron biases up to {end}", f"{INT16[0]}..{INT16[1]}, where stock Lava wraps")
        neurons = {**self._neurons(group, shape[0]), "u_decay": frozen_ints([NO_DECAY_FILTER])}
        self.layers.append(
            Conv2d(
                weight=frozen_ints(np.full((shape[0], 1, 1, 1), weight)),
                bias=_membrane_lsbs(np.array([bias])), weight_exp=STOCK_SHIFT,
                stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=shape[0],
                reset_offset=self._offset(), **neurons,
            )
        )  # fmt: skip

    def _dense(self, group: Group) -> None:
        if group.has("weight/imag"):
            refuse(group, "complex weights", SUPPORTED)
        outputs = math.prod(group.shape)
        weight = group.read("weight", out=outputs).reshape(outputs, -1)
        self._connect(group, weight.shape[1])
        recurrent = None
        if group.kind == "dense_rec":
            recurrent = group.read("weight_rec", out=outputs).reshape(outputs, outputs)
            if group.has("delay"):
                refuse(group, "recurrence with delays", "only one of them: stock NetX loses the exponent")
        delay, shortened = group.delay((outputs, weight.shape[1]))
        if shortened:
            self._note(group, f"stock NetX shortens delays above {DELAY_MAX} to {DELAY_MAX}")
        used = [frozen_ints(part) for part in self._stock_weights(group, weight, recurrent)]
        self.layers.append(
            Dense(
                weight=used[0], recurrent=used[1] if used[1:] else None, weight_exp=STOCK_SHIFT,
                bias=_membrane_lsbs(group.bias(outputs)), delay=frozen_ints(delay + 1),
                reset_offset=self._offset(), **self._neurons(group, outputs),
            )
        )  # fmt: skip
        self.shape, self.image, self.flatten = (outputs,), False, False

    def _conv(self, group: Group) -> None:
        if not self.shape:
            self._take_image(group)
        if not self.image:
            refuse(group, f"a convolution of inputs {self.shape}", "inputs C, H, W")
        weight = group.read("weight")
        weight = weight.reshape(weight.shape[:4])
        if group.has("delay") and group.read("delay").any():
            self._note(group, "stock NetX ignores its delays")
        layer = Conv2d(
            weight=frozen_ints(weight), bias=_membrane_lsbs(group.bias(len(weight))), weight_exp=STOCK_SHIFT,
            groups=int(group.read("groups").item()), delay=frozen_ints([1]),
            stride=group.pair("stride"), padding=group.pair("padding"), dilation=group.pair("dilation"),
            reset_offset=self._offset(), **self._neurons(group, len(weight)),
        )  # fmt: skip
        out_shape = layer.out_shape(self.shape)
        if out_shape != group.shape:
            refuse(group, f"shape {group.shape}", f"{out_shape} after {self.shape}")
        self.layers.append(layer)
        self.shape = out_shape

    def _take_image(self, group: Group) -> None:
        """A convolution without an input layer before it: the user says what it is of, or the array does."""
        shape = self.use.input_shape or self.use.array_shape
        if shape is None:
            wanted = "an input layer, an array (samples, time, C, H, W) or --input-shape C,H,W"
            refuse(group, "a convolution of inputs of unknown shape", wanted)
        self.input_shape, self.shape, self.image = shape, shape, True

    def _connect(self, group: Group, inputs: int) -> None:
        """What stock NetX connects: a flattened image, or a row of neurons as they are."""
        if not self.shape:
            self.input_shape = self.shape = self.use.input_shape or (inputs, 1, 1)
        # The first layer's inputs are flattened by the user, in whatever order; here C, H, W.
        if self.layers and self.image and not self.flatten:
            refuse(group, f"a dense layer after {self.shape}", "a flatten layer between them")
        if self.layers and self.flatten and not self.image:
            refuse(group, f"a flatten layer after {self.shape}", "flatten after C, H, W only")
        if int(np.prod(self.shape)) != inputs:
            refuse(group, f"weights of {inputs} inputs", f"{int(np.prod(self.shape))}, as {self.shape} has")

    def _stock_weights(
        self, group: Group, weight: np.ndarray, recurrent: np.ndarray | None
    ) -> tuple[np.ndarray, ...]:
        try:
            used = stock_weights(weight, recurrent)
        except ValueError as error:
            refuse(group, str(error), "weights of mixed signs within -256..254, or none above 255")
        changed = sum(int((a != b).sum()) for a, b in zip(used, (weight, recurrent), strict=False))
        if changed:
            self._note(group, f"stock Lava alters {changed} weights")
        return used

    def _note(self, group: Group, text: str) -> None:
        self.notes.append(f"layer {group.index} ({group.kind}): {text}")

    def _neurons(self, group: Group, outputs: int) -> dict[str, Int32Array]:
        """vth, v_decay and u_decay of a layer; one for all, or one per channel or neuron."""
        if not group.has("neuron"):
            if group.kind == "conv":
                refuse(group, "no neuron group", "CUBA or LOIHI neurons")
            never = [NEVER_FIRES << STOCK_SHIFT], [NO_DECAY_FILTER], [0]
            return dict(zip(("vth", "v_decay", "u_decay"), map(frozen_ints, never), strict=True))
        values = group.neurons(outputs)
        decays = {"v_decay": frozen_ints(values["vDecay"]), "u_decay": frozen_ints(values["iDecay"])}
        return {"vth": _membrane_lsbs(values["vThMant"]), **decays}

    def _offset(self) -> int:
        interval = self.use.reset_interval
        return (self.use.reset_offset + len(self.layers)) % interval if interval else 0


def _membrane_lsbs(values: np.ndarray) -> Int32Array:
    """Thresholds and biases, which stock neurons shift by 6 bits."""
    return frozen_ints(values << STOCK_SHIFT)
