"""Where the arrays of a C program lie, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.exchange.artefacts import Part
from sast_deploy.exchange.c.widths import Widths, widths_of
from sast_deploy.exchange.rows import reduced, weight_rows
from sast_deploy.program.program import (
    NO_DECAY_FILTER,
    PER_NEURON,
    Dense,
    Int32Array,
    Layer,
    Program,
    Readout,
    Resampling,
    Shape,
    layer_label,
)

INDEX_MAX = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class Placed:
    """One layer. arrays: C type's name and values of its constants. sums, values, currents: first indices.

    slots: sums under way, one for each step until the longest delay; with one they are shared by all layers.
    """

    layer: Layer
    label: str
    in_shape: Shape
    out_shape: Shape
    slots: int
    sums: int
    values: int
    currents: int
    filtered: bool
    arrays: dict[str, tuple[str, npt.NDArray[Any]]]

    @property
    def size(self) -> int:
        """Outputs."""
        return math.prod(self.out_shape)


@dataclass
class Layout:
    """All layers, and the sizes of the arrays that they share; `shared` sums lie first."""

    program: Program
    widths: Widths = field(init=False)
    layers: list[Placed] = field(init=False)
    shared: int = field(init=False)
    sums: int = field(init=False)
    values: int = 0
    currents: int = 0

    def __post_init__(self) -> None:
        """Place every layer; raises CompileError for values beyond 64 bits, for arrays of 2**31 values."""
        self.widths = widths_of(self.program)
        layers, shapes = self.program.layers, self.program.shapes()
        sizes = [math.prod(shape) for shape in shapes[1:]]
        weighted = [(i, each) for i, each in enumerate(layers) if not isinstance(each, Resampling)]
        self.shared = max([0, *(sizes[i] for i, each in weighted if slots_of(each) == 1)])
        self.sums = self.shared
        # Spikes first and together, since they and the membrane potentials are shown as one array.
        starts, spiking = {}, [index for index, _ in self.program.spiking()]
        for index in (*spiking, *(i for i, each in enumerate(layers) if isinstance(each, Resampling))):
            starts[index], self.values = self.values, self.values + sizes[index]
        self.layers = [self._place(i, shapes[i], shapes[i + 1], starts.get(i, 0)) for i in range(len(layers))]
        constants = (array.size for each in self.layers for _, array in each.arrays.values())
        largest = max(self.sums, self.values, self.currents, *constants)
        if largest > INDEX_MAX:
            raise CompileError(
                f"an array of {largest:,} values", where=self.program.name, expected=f"at most {INDEX_MAX:,}"
            )

    @property
    def neurons(self) -> int:
        """Spiking neurons."""
        return sum(each.size for each in self.layers if hasattr(each.layer, "vth"))

    def parts(self) -> tuple[Part, ...]:
        """Bytes of constants and of states, layer by layer, without code and the table of layers."""
        found = []
        for each in self.layers:
            constant = sum(values.nbytes for _, values in each.arrays.values())
            found.append(Part(each.label, constant, self._state_bytes(each)))
        shared = self.shared * self.widths.sum // 8 + 4  # and the counter of steps
        return (*found, Part("all layers", 0, shared))

    def _state_bytes(self, placed: Placed) -> int:
        widths, size = self.widths, placed.size
        sums = size * placed.slots * widths.sum if placed.slots > 1 else 0
        currents = size * widths.current if placed.filtered else 0
        if isinstance(placed.layer, Readout):
            own = 2 * size * widths.logit
        elif isinstance(placed.layer, Resampling):
            own = size * widths.value
        else:
            own = size * (widths.state + widths.value)
        if placed is self.layers[-1] and not isinstance(placed.layer, Readout):
            own += 2 * size * widths.logit
        return (sums + currents + own) // 8

    def _place(self, index: int, in_shape: Shape, out_shape: Shape, values: int) -> Placed:
        layer, label = self.program.layers[index], layer_label(index, self.program.layers[index])
        if isinstance(layer, Resampling):
            return Placed(layer, label, in_shape, out_shape, 1, 0, values, 0, False, {})
        slots, size = slots_of(layer), math.prod(out_shape)
        filtered = bool((layer.u_decay < NO_DECAY_FILTER).any())
        sums, currents = self.sums if slots > 1 else 0, self.currents if filtered else 0
        self.sums += size * slots if slots > 1 else 0
        self.currents += size if filtered else 0
        arrays = dict(self._arrays(layer))
        return Placed(layer, label, in_shape, out_shape, slots, sums, values, currents, filtered, arrays)

    def _arrays(self, layer: Any) -> Iterator[tuple[str, tuple[str, npt.NDArray[Any]]]]:
        yield "weight", ("sast_weight", packed(weight_rows(layer), self.widths.weight))
        if isinstance(layer, Dense):
            if layer.recurrent is not None:
                yield "recurrent", ("sast_weight", packed(layer.recurrent.T, self.widths.weight))
            if (layer.delay != layer.delay.flat[0]).any():
                yield "delays", ("uint8_t", layer.delay.T.astype(np.uint8).ravel())
        for name in PER_NEURON:
            values = getattr(layer, name, None)
            if values is not None:
                kind = "decay" if name.endswith("decay") else name
                bits = 16 if kind == "decay" else getattr(self.widths, kind)
                yield name, (f"sast_{kind}", reduced(values).astype(f"i{bits // 8}"))


def slots_of(layer: Any) -> int:
    """Steps whose sums are under way at once; a spike of the layer's own arrives in the next step."""
    recurrent = getattr(layer, "recurrent", None) is not None
    return max(int(layer.delay.max()), int(recurrent)) + 1


def packed(rows: Int32Array, bits: int) -> npt.NDArray[Any]:
    """Rows of weights one after the other; with fewer than 8 bits each, in bytes, the lowest bits first.

    Each row begins with a byte: ceil(values * bits / 8) of them.
    """
    if bits >= 8:
        return np.ascontiguousarray(rows).astype(f"i{bits // 8}").ravel()
    each = (rows[..., None] >> np.arange(bits)) & 1
    return np.packbits(each.reshape(len(rows), -1).astype(np.uint8), axis=1, bitorder="little").ravel()
