"""A stranger's network: what its file says, and the program that it is in use, with stock Lava's results.

What stock NetX 0.6.0 on stock Lava 0.10.0 does, and what therefore becomes of it here:

    current    u = u (4096 - iDecay) / 4096 + 64 W x, both toward zero     u_decay, weight_exp 6
    membrane   v = v (4096 - vDecay) / 4096 + u + 64 bias, +-(2**23 - 1)   v_decay, saturate-symmetric
    spike      v > 64 vThMant, then v = 0                                  comparison ">", reset "zero"
    synapses   send one step late; a dense layer's `delay` comes on top    delay 1 + d
    no neuron  a dense layer that integrates 64 W x for ever, never fires  u_decay 0, v_decay 4096
    input      32-bit integers, fractions dropped; 0 message bits: != 0    frames.py
    input      with neurons: their bias is weight * pixel + bias           a 1 x 1 convolution

What stock NetX ignores, alters or cannot load is refused by name, or reproduced with a note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from sast_deploy.base.errors import NetFileError
from sast_deploy.base.rules import INT32, Items, Maybe, Whole
from sast_deploy.base.settings import Checked
from sast_deploy.netx.foreign.lava_range import StockProgram, refuse_layer
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.lava_constants import BIAS_MANT_MAX, BIAS_MANT_MIN, MANTISSA_SHIFT, UV_BITS
from sast_deploy.program.program import Conv2d, Dense, Program, Shape, SpikingLayer, frozen_ints
from sast_deploy.proofs.bounds import signed_bits

STOCK_STATE = QFormat(UV_BITS, MANTISSA_SHIFT)
PIXEL_BITS = 8
_INT32 = Whole(INT32.min, INT32.max)
SUPPORTED = "input, dense, dense_rec, conv, flatten with CUBA or LOIHI neurons"
INCONSISTENT = "inconsistent program: "  # how the checks of programs begin


@dataclass(frozen=True)
class StockUse(Checked):
    """How a network is used: what a user of stock NetX passes to `hdf5.Network`, and the input's range.

    steps: T of a sample. message_bits: 0, any nonzero input is a spike; else inputs are graded.
    reset_interval: 0 for never; else states are cleared every so many steps. reset_offset: of the first
    layer, counted from step 0 (NetX's own argument). input_min, input_max: smallest and largest input; None:
    what the bits allow. input_bias: None; or the input neurons' biases are the inputs plus this, whatever the
    file's transform. input_shape: (C, H, W), see `StockNet.inputs`.

    >>> sast.StockUse(message_bits=8).reset_interval
    0
    """

    steps: Annotated[int, Whole(1, INT32.max)] = 1
    message_bits: Annotated[int, Whole(0, 32)] = 0
    reset_interval: Annotated[int, Whole(0, INT32.max)] = 0
    reset_offset: Annotated[int, Whole(0, INT32.max)] = 0
    input_min: Annotated[int, _INT32] = 0
    input_max: Annotated[int | None, Maybe(_INT32)] = None
    input_bias: Annotated[int | None, Maybe(_INT32)] = None
    input_shape: Annotated[Shape | None, Maybe(Items(Whole(1, INT32.max), 3, 3))] = None


@dataclass(frozen=True, eq=False)
class StockLayer:
    """A layer of the file that computes.

    name: as in "layer 2 (dense)". layer: with stock Lava's weights and without resets. shape: of its neurons,
    (n,) or (C, H, W). flattened: whether a flatten layer stands before it. notes: what stock NetX alters in
    silence.
    """

    name: str
    layer: SpikingLayer
    shape: Shape
    flattened: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse the shape of another dense layer; that of a convolution depends on its inputs."""
        if isinstance(self.layer, Dense) and self.shape != (len(self.layer.weight),):
            raise ValueError(f"shape {self.shape} of weights {self.layer.weight.shape}")

    def misfit(self, shape: Shape, image: bool, of_user: bool = False) -> tuple[str, str] | None:
        """What stock NetX does not connect to the layer, and what it does; None where inputs of `shape` fit.

        image: whether they have three dimensions in stock NetX. of_user: or come from a layer before.
        """
        layer, size = self.layer, math.prod(shape)
        if isinstance(layer, Conv2d):
            if not image:
                return f"a convolution of inputs {shape}", "inputs C, H, W"
            try:
                computed = layer.out_shape(shape)
            except ValueError as error:
                return str(error).removeprefix(INCONSISTENT), "sizes that fit one another"
            return None if computed == self.shape else (f"shape {self.shape}", f"{computed} after {shape}")
        # The user flattens an image, in whatever order; here C, H, W.
        if not of_user and image and not self.flattened:
            return f"a dense layer after {shape}", "a flatten layer between them"
        if not of_user and self.flattened and not image:
            return f"a flatten layer after {shape}", "flatten after C, H, W only"
        inputs = layer.weight.shape[1]
        return None if size == inputs else (f"weights of {inputs} inputs", f"{size}, as {shape} has")


@dataclass(frozen=True, eq=False)
class StockNet:
    """What a stock NetX file says. Raises NetFileError for layers that do not fit one another.

    path: the file, for messages. layers: those that compute, in order. input_shape: (C, H, W), or None where
    it has no input layer. image: whether these have three dimensions in stock NetX. transform: (weight, bias)
    of the input layer's neurons, whose bias is weight * pixel + bias, or None where it has none. neurons:
    these neurons as a 1 x 1 convolution of weights 1 and biases 0.
    """

    path: Path
    layers: tuple[StockLayer, ...]
    input_shape: Shape | None = None
    image: bool = True
    transform: tuple[int, int] | None = None
    neurons: Conv2d | None = None

    def __post_init__(self) -> None:
        """Refuse layers that do not fit one another."""
        if not self.layers and self.neurons is None:
            raise NetFileError("has no layer that computes", where=self.path, expected=SUPPORTED)
        if (self.neurons is None) != (self.transform is None) or (self.neurons and not self.input_shape):
            raise ValueError("neurons of an input layer without its transform or shape")
        shape, image = self.input_shape, self.image
        for number, each in enumerate(self.layers):
            if shape is not None:
                self._connect(each, shape, image, number == 0 and self.neurons is None)
            shape, image = each.shape, len(each.shape) == 3

    @property
    def notes(self) -> tuple[str, ...]:
        """What stock NetX alters in silence, one line each."""
        return tuple(f"{each.name}: {note}" for each in self.layers for note in each.notes)

    @property
    def latency(self) -> int:
        """Steps from an input to the last layer's answer, its `delay` datasets left out."""
        return len(self.layers)

    def inputs(self, named: Shape | None = None, array: Shape | None = None) -> Shape:
        """(C, H, W) of the inputs: as the file says, else as the user names it, else of the user's array.

        A dense layer takes as many in a row as it has weights, whatever the array.

        Raises:
            NetFileError: unknown, or the first layer does not take them.
        """
        if self.input_shape is not None:
            return self.input_shape
        first = self.layers[0]
        shape = named or ((first.layer.weight.shape[1], 1, 1) if isinstance(first.layer, Dense) else array)
        if shape is None:
            wanted = "an input layer, an array (samples, time, C, H, W) or --input-shape C,H,W"
            refuse_layer(self.path, first.name, "a convolution of inputs of unknown shape", wanted)
        self._connect(first, shape, image=True, of_user=True)
        return shape

    def program(self, use: StockUse | None = None) -> StockProgram:
        """The integer program of one use.

        Raises:
            NetFileError: a shape, biases or a number of steps that stock Lava or a program does not take.
        """
        use = use or StockUse()
        shape, layers = self.inputs(use.input_shape), [each.layer for each in self.layers]
        input_max = self._input_max(use)
        if self.neurons is not None and self.transform is not None:
            driven_by = self.transform if use.input_bias is None else (1, use.input_bias)
            layers.insert(0, self._driven(self.neurons, *driven_by, use.input_min, input_max))
        classes = tuple(map(str, range(math.prod(self.layers[-1].shape if self.layers else shape))))
        try:
            program = Program(
                self.path.stem, shape, input_max, use.steps, classes, _rules(layers), _reset(layers, use),
                use.reset_interval, use.input_min,
            )  # fmt: skip
        except ValueError as error:  # of the program's own checks: too many steps, layers that are too large
            raise NetFileError(str(error).removeprefix(INCONSISTENT), where=self.path) from error
        return StockProgram(self, program)

    def _connect(self, layer: StockLayer, shape: Shape, image: bool, of_user: bool) -> None:
        misfit = layer.misfit(shape, image, of_user)
        if misfit is not None:
            refuse_layer(self.path, layer.name, *misfit)

    def _input_max(self, use: StockUse) -> int:
        if use.input_max is not None:
            return use.input_max
        bits = use.message_bits if self.neurons is None else PIXEL_BITS
        return min((1 << bits) - 1, INT32.max) if bits else 1

    def _driven(self, neurons: Conv2d, weight: int, bias: int, low: int, high: int) -> Conv2d:
        """The input layer: stock users write weight * pixel + bias to its neurons' bias."""
        for end in (bias + weight * low, bias, bias + weight * high):
            if not BIAS_MANT_MIN <= end <= BIAS_MANT_MAX:
                wanted = f"{BIAS_MANT_MIN}..{BIAS_MANT_MAX}, where stock Lava wraps"
                refuse_layer(self.path, "layer 0 (input)", f"neuron biases up to {end}", wanted)
        weights = frozen_ints(weight * neurons.weight)
        return replace(neurons, weight=weights, bias=frozen_ints([bias << MANTISSA_SHIFT]))


def _rules(layers: list[SpikingLayer]) -> Arithmetic:
    parts = [layer.weight for layer in layers]
    parts += [each.recurrent for each in layers if isinstance(each, Dense) and each.recurrent is not None]
    bits = max(signed_bits(int(part.min()), int(part.max())) for part in parts)
    rounding = "toward-zero"
    return Arithmetic(STOCK_STATE, max(bits, 2), "saturate-symmetric", rounding, rounding, ">", "zero")


def _reset(layers: list[SpikingLayer], use: StockUse) -> tuple[SpikingLayer, ...]:
    """The layers as they are cleared: each a step after the one before."""
    if not use.reset_interval:
        return tuple(layers)
    offsets = ((use.reset_offset + number) % use.reset_interval for number in range(len(layers)))
    return tuple(replace(each, reset_offset=offset) for each, offset in zip(layers, offsets, strict=True))
