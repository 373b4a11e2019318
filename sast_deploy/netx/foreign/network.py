"""Other people's .net files: a stock NetX file of CUBA (LOIHI) neurons -> Program, with stock Lava's results.

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

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from sast_deploy.base.errors import NetFileError
from sast_deploy.base.reading.files import Expected
from sast_deploy.base.reading.hdf5 import open_hdf5
from sast_deploy.netx.foreign.currents import unproven_layers
from sast_deploy.netx.foreign.layers import STOCK_SHIFT, LayerReader, StockUse
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Int32Array, Program, SpikingLayer
from sast_deploy.proofs.bounds import signed_bits

STOCK_STATE = QFormat(24, STOCK_SHIFT)
STOCK_FILE = Expected("a NetX .net file", NetFileError)
__all__ = ["StockNet", "StockUse", "load_stock", "read_stock"]


@dataclass(frozen=True, eq=False)
class StockNet:
    """A stock file as a program.

    transform: (weight, bias) of the input layer's neurons, or None where it has none. notes: what stock
    NetX alters in silence, one line each. unproven: indices of the layers whose sums or currents may reach
    where stock Lava computes otherwise (`netx_currents.check_currents`).
    """

    program: Program
    transform: tuple[int, int] | None
    notes: tuple[str, ...]
    unproven: tuple[int, ...]

    @property
    def latency(self) -> int:
        """Steps from an input to the last layer's answer, its `delay` datasets left out."""
        return len(self.program.layers) - (self.transform is not None)


def read_stock(path: Path, use: StockUse | None = None) -> Program:
    """The program of a stock NetX file; see `load_stock`."""
    return load_stock(path, use).program


def load_stock(path: Path, use: StockUse | None = None) -> StockNet:
    """Read a stock NetX file.

    Raises:
        NetFileError: missing, damaged, or with a layer, neuron or value that is not supported: the message
            names the layer, what was found and what is supported.
    """
    reader = LayerReader(path, use or StockUse())
    with open_hdf5(path, STOCK_FILE, ("layer",)) as file:
        layers = file.get("layer")
        if layers is None:
            STOCK_FILE.refuse_kind(path)
        if not isinstance(layers, h5py.Group) or not len(layers):
            STOCK_FILE.refuse("has no layers in /layer", path)
        reader.read(layers)
    try:
        return _assemble(path, reader)
    except ValueError as error:  # of the program's own checks: too many steps, layers that are too large
        raise NetFileError(str(error).removeprefix("inconsistent program: "), where=path) from error


def _assemble(path: Path, reader: LayerReader) -> StockNet:
    weights = [weight for layer in reader.layers for weight in _weights(layer)]
    bits = max(signed_bits(int(weight.min()), int(weight.max())) for weight in weights)
    rules = Arithmetic(
        STOCK_STATE, max(bits, 2), "saturate-symmetric", "toward-zero", "toward-zero", ">", "zero"
    )
    classes = tuple(map(str, range(int(np.prod(reader.shape)))))
    program = Program(
        Path(path).stem, reader.input_shape, reader.input_max, reader.use.steps, classes, rules,
        tuple(reader.layers), reader.use.reset_interval, reader.use.input_min,
    )  # fmt: skip
    return StockNet(program, reader.transform, tuple(reader.notes), unproven_layers(program, path))


def _weights(layer: SpikingLayer) -> list[Int32Array]:
    recurrent = layer.recurrent if isinstance(layer, Dense) else None
    return [layer.weight] if recurrent is None else [layer.weight, recurrent]
