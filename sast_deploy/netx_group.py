"""One /layer/<i> group of a stock NetX file, and the types in which stock NetX reads its datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import numpy.typing as npt

from sast_deploy.errors import NetFileError

Int64Array = npt.NDArray[np.int64]
NEURONS = ("CUBA", "LOIHI")
DECAY_MAX = 4096
DELAY_MAX = 62
BIAS_MAX = (1 << 15) - 1  # stock neurons hold their bias in 16 bits and wrap without a word
VTH_MAX = (1 << 25) - 1  # times 64 it still fits 32 bits


@dataclass(frozen=True, eq=False)
class Group:
    """The datasets of one layer. Every reader raises NetFileError that names file, layer and dataset."""

    group: h5py.Group
    path: Path
    index: int

    @property
    def kind(self) -> str:
        """The layer's `type`, such as dense."""
        return self._text("type")

    def has(self, name: str) -> bool:
        """Whether there is such a dataset or group."""
        return name in self.group

    def truncated(self, name: str) -> Int64Array:
        """A dataset that NetX casts to integers, fractions dropped: weights and biases."""
        values = self._dataset(name)
        if not np.isfinite(values).all():
            refuse(self, f"{name} that is not finite", "finite numbers")
        cut: Int64Array = values.astype(np.int64)
        return cut

    def integers(self, name: str) -> Int64Array:
        """A dataset that must hold integers."""
        values = self._dataset(name)
        if not np.issubdtype(values.dtype, np.integer):
            refuse(self, f"{name} of type {values.dtype}", "integers")
        return np.asarray(values, dtype=np.int64)

    def bias(self, outputs: int) -> Int64Array:
        """`bias`, (1,) or (outputs,); 0 where there is none."""
        bias = np.atleast_1d(self.truncated("bias")) if self.has("bias") else np.zeros(1, np.int64)
        if bias.shape not in ((1,), (outputs,)):
            refuse(self, f"bias {bias.shape}", f"one per channel or neuron, ({outputs},)")
        if np.abs(bias).max() > BIAS_MAX:
            refuse(self, f"a bias of {np.abs(bias).max()}", f"at most {BIAS_MAX}: stock Lava wraps it")
        return bias

    def delay(self, shape: tuple[int, ...]) -> Int64Array:
        """`delay` of weights (out, in): (1,), (in,) or (out, in). Stock NetX takes a row of `out` delays for
        those of the outputs, also where there are as many inputs.
        """
        delay = self.truncated("delay") if self.has("delay") else np.zeros(1, np.int64)
        if delay.min() < 0 or delay.max() > DELAY_MAX:
            refuse(self, f"delays {delay.min()}..{delay.max()}", f"0..{DELAY_MAX}")
        if self.has("delay") and delay.shape == (shape[0],):
            return np.broadcast_to(delay[:, None], shape)
        if self.has("delay") and delay.shape not in ((), (shape[1],), shape):
            refuse(self, f"delay {delay.shape}", f"one, ({shape[0]},), ({shape[1]},) or {shape}")
        return np.atleast_1d(delay)

    def pair(self, name: str) -> tuple[int, int]:
        """(rows, columns) of a dataset that holds one number or two."""
        values = self.integers(name).ravel()
        if len(values) not in (1, 2):
            refuse(self, f"{name} of {len(values)} numbers", "one or two")
        return int(values[0]), int(values[-1])

    def neurons(self, outputs: int) -> dict[str, Int64Array]:
        """vThMant, vDecay and iDecay, (1,) or (outputs,) each, of CUBA neurons."""
        kind = self._text("neuron/type")
        if kind not in NEURONS:
            refuse(self, f"neuron type {kind!r}", f"neurons of type {' or '.join(NEURONS)}")
        if self.has("neuron/messageBits"):
            refuse(self, "neuron/messageBits", "none: stock NetX cannot load it for these neurons")
        if self.has("neuron/refDelay") and self.integers("neuron/refDelay").max() > 1:
            refuse(self, f"refDelay {self.integers('neuron/refDelay').max()}", "1: stock NetX ignores it")
        limits = {"vThMant": (-VTH_MAX, VTH_MAX), "vDecay": (0, DECAY_MAX), "iDecay": (0, DECAY_MAX)}
        return {name: self._vector(name, outputs, *limits[name]) for name in limits}

    def _vector(self, name: str, outputs: int, low: int, high: int) -> Int64Array:
        stored = self._dataset(f"neuron/{name}")
        values = np.atleast_1d(self.integers(f"neuron/{name}"))
        # Stock Lava computes in the dataset's own type.
        if stored.dtype not in (np.int32, np.int64):
            refuse(self, f"{name} of type {stored.dtype}", "int32 or int64, or stock Lava overflows")
        if values.shape not in ((1,), (outputs,)):
            refuse(self, f"{name} {values.shape}", f"one for all or one each, ({outputs},)")
        if values.min() < low or values.max() > high:
            refuse(self, f"{name} {values.min()}..{values.max()}", f"{low}..{high}")
        return values

    def _dataset(self, name: str) -> npt.NDArray[np.generic]:
        if name not in self.group:
            refuse(self, f"no dataset {name}", "one, as NetX files have")
        return np.asarray(self.group[name][()])

    def _text(self, name: str) -> str:
        if name not in self.group:
            raise NetFileError(f"layer {self.index} has no {name}", where=self.path, expected="a NetX file")
        value = np.ravel(self.group[name][()])[0]
        return value.decode("ascii") if isinstance(value, bytes) else str(value)


def refuse(group: Group, found: str, expected: str) -> NoReturn:
    """Raise the NetFileError for something in a layer that is not supported."""
    kind = group.kind if group.has("type") else "no type"
    raise NetFileError(f"layer {group.index} ({kind}): {found}", where=group.path, expected=expected)
