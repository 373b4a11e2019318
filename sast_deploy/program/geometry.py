"""The geometry of a convolution: which input each tap of the kernel meets, one axis at a time.

    input = output * stride - padding + tap * dilation        torch's cross-correlation; 0 <= input < size

The reference derives it by itself, on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import numpy.typing as npt

Index = tuple[EllipsisType, slice, slice]  # index of an array (..., rows, columns)


@dataclass(frozen=True)
class Axis:
    """The rows or the columns: `size` inputs under a kernel of `kernel` taps."""

    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def outputs(self) -> int:
        """(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1; below 1 where the kernel is wider."""
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def under(self, outputs: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """int64 (*outputs, kernel): the input under every tap; in the padding below 0 or past the last."""
        first = np.asarray(outputs, np.int64)[..., None] * self.stride - self.padding
        return np.asarray(first + np.arange(self.kernel) * self.dilation)

    def inside(self, tap: int) -> tuple[slice, slice]:
        """(inputs, outputs) that meet at a tap, in step; both empty where it sees nothing but padding."""
        shift = tap * self.dilation - self.padding
        first = max(0, -(shift // self.stride))
        count = max(0, min(self.outputs, (self.size - 1 - shift) // self.stride + 1) - first)
        low = first * self.stride + shift
        return slice(low, low + count * self.stride, self.stride), slice(first, first + count)


def taps(rows: Axis, columns: Axis) -> Iterator[tuple[int, int, Index, Index]]:
    """(dy, dx, inputs, outputs): what meets at every tap of the kernel inside the border."""
    for dy in range(rows.kernel):
        for dx in range(columns.kernel):
            (y, row), (x, column) = rows.inside(dy), columns.inside(dx)
            yield dy, dx, (..., y, x), (..., row, column)
