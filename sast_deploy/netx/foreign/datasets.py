"""One /layer/<i> group of a stock NetX file, and what each of its datasets may be: one table for all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt

from sast_deploy.base.reading.hdf5 import read_dataset
from sast_deploy.base.rules import INT32
from sast_deploy.netx.foreign.lava_range import refuse_layer
from sast_deploy.program import lava_constants as lava
from sast_deploy.program.sums import FLOAT32_EXACT

Int64Array = npt.NDArray[np.int64]
NEURONS = ("CUBA", "LOIHI")
VTH_MAX = INT32.max >> lava.MANTISSA_SHIFT  # what still fits 32 bits when it is shifted
LONGEST_TEXT = 40  # of types, which are all shorter
DIMENSIONS = 8
NEURONS_MAX = 1 << 22  # of one layer
NUMBERS = "buif"  # NumPy's kinds of dtype


@dataclass(frozen=True)
class Rule:
    """What a dataset may be.

    shapes: as messages say them; a letter or a word is one dimension, of the size that the layer gives it or
    of any. low, high: the range of its values, once fractions are dropped. cut: whether stock NetX drops
    fractions; else only integers will do. types: the only ones that do, where stock Lava computes in them.
    """

    shapes: tuple[str, ...]
    low: int = INT32.min
    high: int = INT32.max
    cut: bool = False
    types: tuple[str, ...] = ()


ONE, ANY = "one number", "of any shape"
SINGLE, VECTOR, PAIR = (ONE, "(1,)"), (ONE, "(1,)", "(out,)"), (ONE, "(1,)", "(2,)")
CONVOLUTION = ("(out, in, kH, kW)", "(out, in, kH, kW, 1)")
STATE_TYPES = ("int32", "int64")
BIAS = Rule(VECTOR, lava.BIAS_MANT_MIN, lava.BIAS_MANT_MAX, cut=True)
NEURON_RULES = {
    "neuron/vThMant": Rule(VECTOR, -VTH_MAX, VTH_MAX, types=STATE_TYPES),
    "neuron/vDecay": Rule(VECTOR, 0, lava.DECAY_UNITY, types=STATE_TYPES),
    "neuron/iDecay": Rule(VECTOR, 0, lava.DECAY_UNITY, types=STATE_TYPES),
    "neuron/refDelay": Rule(VECTOR),
}
DENSE_RULES = {
    "shape": Rule((ONE, "(n,)"), 1, NEURONS_MAX),
    "weight": Rule(("(out, in)", "(out * in,)"), cut=True),
    "bias": BIAS,
    "delay": Rule((ONE, "(out,)", "(in,)", "(out, in)"), cut=True),
    **NEURON_RULES,
}
# Every dataset that is read, of every layer type that has any.
RULES: dict[str, dict[str, Rule]] = {
    "input": {
        "shape": Rule((ONE, "(1,)", "(3,)"), 1, NEURONS_MAX),
        "weight": Rule(SINGLE, cut=True),
        "bias": Rule(SINGLE, cut=True),
        **NEURON_RULES,
    },
    "dense": DENSE_RULES,
    "dense_rec": {**DENSE_RULES, "weight_rec": Rule(("(out, out)", "(out * out,)"), cut=True)},
    "conv": {
        "shape": Rule(("(3,)",), 1, NEURONS_MAX),
        "weight": Rule(CONVOLUTION, -FLOAT32_EXACT, FLOAT32_EXACT, cut=True),
        "bias": BIAS,
        "delay": Rule((ANY,), cut=True),
        "stride": Rule(PAIR, 1, lava.GEOMETRY_MAX),
        "padding": Rule(PAIR, 0, lava.GEOMETRY_MAX),
        "dilation": Rule(PAIR, 1, lava.GEOMETRY_MAX),
        "groups": Rule(SINGLE, 1),
        **NEURON_RULES,
    },
}


@dataclass(frozen=True, eq=False)
class Group:
    """The datasets of one layer. Every reader raises NetFileError that names file, layer and dataset."""

    group: h5py.Group
    path: Path
    index: int

    @property
    def kind(self) -> str:
        """The layer's `type`, such as dense."""
        return self.text("type")

    @property
    def name(self) -> str:
        """As in "layer 2 (dense)"; without the type where there is none."""
        kind = self.group.get("type")
        known = isinstance(kind, h5py.Dataset) and kind.size and kind.dtype.kind in "SO"
        return f"layer {self.index} ({self.kind})" if known else f"layer {self.index}"

    def refuse(self, found: str, expected: str) -> NoReturn:
        """Raise the NetFileError for something in the layer that is not supported."""
        refuse_layer(self.path, self.name, found, expected)

    def has(self, name: str) -> bool:
        """Whether there is such a dataset or group."""
        return self._entry(name) is not None

    def read(self, name: str, **sizes: int) -> Int64Array:
        """A dataset of the table above, fractions dropped where NetX does; sizes: of known dimensions."""
        rule, values = RULES[self.kind][name], self._values(name, sizes)
        if rule.types and values.dtype.name not in rule.types:
            wanted = f"{' or '.join(rule.types)}, in which stock Lava computes"
            self.refuse(f"{name} of type {values.dtype}", wanted)
        if not rule.cut and values.dtype.kind not in "iu":
            self.refuse(f"{name} of type {values.dtype}", "integers")
        if not np.isfinite(values).all():
            self.refuse(f"{name} that is not finite", "finite numbers")
        low, high = int(values.min()), int(values.max())  # Python's drop fractions, and know no largest
        if low < rule.low or high > rule.high:
            self.refuse(f"{name} {low}..{high}", f"{rule.low}..{rule.high}")
        cut: Int64Array = values.astype(np.int64)
        return cut

    @property
    def shape(self) -> tuple[int, ...]:
        """`shape`, what the layer's neurons are: (n,) or (C, H, W)."""
        shape = tuple(int(n) for n in self.read("shape").ravel())
        if len(shape) > DIMENSIONS:
            self.refuse(f"shape of {len(shape)} dimensions", f"at most {DIMENSIONS}")
        if math.prod(shape) > NEURONS_MAX:
            self.refuse(f"shape {shape}", f"at most {NEURONS_MAX} neurons")
        return shape

    def vector(self, name: str, outputs: int) -> Int64Array:
        """A dataset with one number for all outputs, or one for each: (1,) or (outputs,)."""
        return np.atleast_1d(self.read(name, out=outputs))

    def bias(self, outputs: int) -> Int64Array:
        """`bias`, (1,) or (outputs,); 0 where there is none."""
        return self.vector("bias", outputs) if self.has("bias") else np.zeros(1, np.int64)

    def delay(self, shape: tuple[int, int]) -> tuple[Int64Array, bool]:
        """`delay` of weights (out, in), as (1,), (in,) or (out, in); and whether stock NetX shortens any. It
        takes a row of `out` delays for those of the outputs, also where there are as many inputs.
        """
        delay = self.read("delay", **{"out": shape[0], "in": shape[1]}) if self.has("delay") else np.int64(0)
        longest = int(np.max(delay))
        if longest > lava.SYNAPSE_DELAY_MAX:
            delay = np.clip(delay, 0, lava.SYNAPSE_DELAY_MAX)
        if np.min(delay) < 0:
            self.refuse(f"delay {int(np.min(delay))}..{longest}", f"0..{lava.SYNAPSE_DELAY_MAX}")
        if np.shape(delay) == (shape[0],):
            delay = np.broadcast_to(np.asarray(delay)[:, None], shape)
        return np.atleast_1d(np.asarray(delay, np.int64)), longest > lava.SYNAPSE_DELAY_MAX

    def pair(self, name: str) -> tuple[int, int]:
        """(rows, columns) of a dataset that holds one number or two."""
        values = self.read(name).ravel()
        return int(values[0]), int(values[-1])

    def neurons(self, outputs: int) -> dict[str, Int64Array]:
        """vThMant, vDecay and iDecay, (1,) or (outputs,) each, of CUBA neurons."""
        kind = self.text("neuron/type")
        if kind not in NEURONS:
            self.refuse(f"neuron type {kind!r}", f"neurons of type {' or '.join(NEURONS)}")
        if self.has("neuron/messageBits"):
            self.refuse("neuron/messageBits", "none: stock NetX cannot load it for these neurons")
        pause = self.vector("neuron/refDelay", outputs).max() if self.has("neuron/refDelay") else 1
        if pause > 1:
            self.refuse(f"refDelay {pause}", "1: stock NetX ignores it")
        return {name: self.vector(f"neuron/{name}", outputs) for name in ("vThMant", "vDecay", "iDecay")}

    def text(self, name: str) -> str:
        """A dataset that holds a text, such as `type`."""
        values = self._dataset(name, "a text")
        if not values.size or values.dtype.kind not in "SO":
            self.refuse(f"{name} of type {values.dtype}", "a text")
        value = values.ravel()[0]
        found = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        return found[:LONGEST_TEXT]

    def _values(self, name: str, sizes: dict[str, int]) -> npt.NDArray[Any]:
        shapes = RULES[self.kind][name].shapes
        known = {size: number for size, number in sizes.items() if any(size in shape for shape in shapes)}
        wanted = " or ".join(shapes)
        if known:
            wanted += f", where {' and '.join(f'{size} is {number}' for size, number in known.items())}"
        values = self._dataset(name, wanted)
        if values.dtype.kind not in NUMBERS:
            self.refuse(f"{name} of type {values.dtype}", "numbers")
        if not values.size or not any(_fits(values.shape, shape, sizes) for shape in shapes):
            self.refuse(f"{name} {values.shape if values.shape else ONE}", wanted)
        return values

    def _dataset(self, name: str, wanted: str) -> npt.NDArray[Any]:
        found, parent = self._entry(name), name.rpartition("/")[0]
        if parent and isinstance(self._entry(parent), h5py.Dataset):
            self.refuse(f"{parent} is a dataset", "a group")
        if found is None:
            self.refuse(f"no dataset {name}", wanted)
        if not isinstance(found, h5py.Dataset):
            self.refuse(f"{name} is a group", f"a dataset, {wanted}")
        if found.shape is None:
            self.refuse(f"{name} without values", wanted)
        return read_dataset(self.group, name)

    def _entry(self, name: str) -> h5py.Group | h5py.Dataset | None:
        found = self.group
        for part in name.split("/"):
            if not isinstance(found, h5py.Group) or part not in found:
                return None
            found = found[part]
        return found


def _fits(shape: tuple[int, ...], pattern: str, sizes: dict[str, int]) -> bool:
    if pattern in (ONE, ANY):
        return pattern == ANY or shape == ()
    wanted = [name.strip() for name in pattern.strip("()").split(",") if name.strip()]
    return len(shape) == len(wanted) and all(map(_size_fits, shape, wanted, [sizes] * len(wanted)))


def _size_fits(size: int, wanted: str, sizes: dict[str, int]) -> bool:
    """wanted: a number, a name, or a product of names of which the last may be unknown."""
    if wanted.isdecimal():
        return size == int(wanted)
    *factors, last = (name.strip() for name in wanted.split("*"))
    left, rest = divmod(size, math.prod(sizes[factor] for factor in factors))
    return rest == 0 and left == sizes.get(last, left)
