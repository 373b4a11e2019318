"""A person's array as the frames of a stock NetX network, a few samples at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading.arrays import read_npy
from sast_deploy.base.reading.files import Expected
from sast_deploy.base.rules import INT32
from sast_deploy.netx.foreign.stocknet import StockNet, StockUse
from sast_deploy.program.lava_constants import BIAS_MANT_MAX, BIAS_MANT_MIN
from sast_deploy.program.program import Shape
from sast_deploy.program.record import release

UINT8_MAX = 255
BLOCK_BYTES = 16 << 20  # of an array that are looked at together
ARRAY = Expected("an array of numbers, what np.save writes", DataError)


@dataclass(frozen=True, eq=False)
class StockFrames:
    """An array as frames, made when they are asked for.

    array: (samples, time, C, H, W), whatever its type; after its last step there are no more spikes, but
    biases stay as they are, as in stock Lava. use: how they use the network, without resets. transform:
    (weight, bias) of the input neurons, or None. notes: what stock Lava makes of the array, one line each.
    """

    array: npt.NDArray[Any]
    use: StockUse
    transform: tuple[int, int] | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.array)

    def chunk(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        """Frames (samples, steps, C, H, W) of some samples: uint8, or int32 where that is too narrow."""
        low, high = self.use.input_min, self.use.input_max or 1
        values = _integers(self.array[start:stop, : self.use.steps], self.transform)
        binary = self.transform is None and not self.use.message_bits  # any nonzero integer is one spike
        values = values != 0 if binary else values - (self.use.input_bias or 0)
        frames = values.astype(np.uint8 if low == 0 and high <= UINT8_MAX else np.int32)
        missing = self.use.steps - frames.shape[1]
        if missing <= 0:
            return frames
        last = frames[:, -1:] if self.transform is not None else np.zeros_like(frames[:, -1:])
        return np.concatenate([frames, np.repeat(last, missing, axis=1)], axis=1)


def load_array(path: Path) -> npt.NDArray[Any]:
    """The numbers of a .npy file, mapped. Raises DataError."""
    array = read_npy(path, ARRAY)
    if not array.size:
        ARRAY.refuse(f"holds nothing, shape {array.shape}", path)
    return array


def image_shape(array: npt.NDArray[Any]) -> Shape | None:
    """(C, H, W) of an array (samples, time, C, H, W) or (time, C, H, W), or None."""
    return tuple(array.shape[-3:]) if array.ndim in (4, 5) else None


def stock_frames(
    array: npt.NDArray[Any], net: StockNet, steps: int | None, message_bits: int, where: Path | str,
    input_shape: Shape | None = None, reset_interval: int = 0,
) -> StockFrames:  # fmt: skip
    """Frames of `steps` steps from (samples, T, C, H, W), (T, C, H, W) or, with `steps`, (C, H, W).

    Where the network takes n inputs in a row, (samples, T, n), (T, n) or (n,) will do; also for C H W = n.
    Numbers become integers as in stock Lava, which drops fractions. steps: None for T + latency.
    input_shape: (C, H, W), where the file does not say it. reset_interval: as in StockUse.

    Raises:
        NetFileError: the network does not take `input_shape`, or needs it. DataError: another shape, values
            that are not finite or beyond 32 bits, biases beyond 16 bits.
    """
    if array.dtype.kind not in "buif" or not array.size:
        raise DataError(f"{array.dtype} {array.shape}", where=where, expected="numbers, a sample at least")
    train = _train(array, net.inputs(input_shape, image_shape(array)), steps, where)
    steps = train.shape[1] + net.latency if steps is None else steps
    found = _survey(train[:, :steps], net.transform, where)
    binary = net.transform is None and message_bits == 0
    notes = _notes(found, message_bits) if net.transform is None else ()
    bias = None if net.transform is None else found.low
    low = min(0, found.low) if bias is None and not binary else 0
    high = 1 if binary else max(1, found.high - (bias or 0))
    offset = int(bias is None)  # a spike reaches the first neurons one step late, a bias at once
    use = StockUse(steps, message_bits, reset_interval, offset, low, high, bias, train.shape[2:])
    return StockFrames(train, use, net.transform, notes)


@dataclass
class _Found:
    """What an array holds: the range of its integers, how many values, fractions, and neither 0 nor 1."""

    low: int
    high: int
    values: int = 0
    fractions: int = 0
    others: int = 0


def _survey(train: npt.NDArray[Any], transform: tuple[int, int] | None, where: Path | str) -> _Found:
    """Look at all of it once, block by block."""
    found = _Found(INT32.max, INT32.min)
    limits = (-INT32.max, INT32.max) if transform is None else (BIAS_MANT_MIN, BIAS_MANT_MAX)
    for sample in train:
        rows = max(1, BLOCK_BYTES // max(1, sample[:1].nbytes))
        for start in range(0, len(sample), rows):
            block = np.asarray(sample[start : start + rows])
            if not np.isfinite(block).all():
                raise DataError("values that are not finite", where=where, expected="finite numbers")
            integers = _integers(block, transform)
            low, high = int(integers.min()), int(integers.max())
            if low < limits[0] or high > limits[1]:
                _refuse_range(low, high, transform, where)
            found.low, found.high = min(found.low, low), max(found.high, high)
            found.values += block.size
            if transform is None:
                found.fractions += int(np.count_nonzero(block != integers))
                found.others += int(np.count_nonzero((integers != 0) & (integers != 1)))
        release(train)
    return found


def _integers(block: npt.NDArray[Any], transform: tuple[int, int] | None) -> npt.NDArray[Any]:
    """What stock Lava takes a value for: fractions dropped; or the bias that its users make of a pixel."""
    if transform is not None:
        weight, bias = transform
        return np.trunc(block.astype(np.float64) * weight + bias)
    return np.trunc(block) if block.dtype.kind == "f" else block


def _refuse_range(low: int, high: int, transform: tuple[int, int] | None, where: Path | str) -> None:
    if transform is None:
        raise DataError(f"values from {low} to {high}", where=where, expected="integers of 32 bits")
    weight, bias = transform
    found = f"pixels that make neuron biases {weight} * pixel + {bias} from {low} to {high}"
    wanted = f"biases {BIAS_MANT_MIN}..{BIAS_MANT_MAX}, beyond which stock Lava wraps: pixels from 0 to 1?"
    raise DataError(found, where=where, expected=wanted)


def _notes(found: _Found, message_bits: int) -> tuple[str, ...]:
    notes = []
    if found.fractions:
        part = f"{found.fractions:,} of {found.values:,} values have fractions"
        notes.append(f"{part}, which stock Lava drops: 0.7 is 0, 1.7 is 1")
    if not message_bits and found.others:
        notes.append(
            f"without --message-bits every nonzero input counts as one spike, whatever its sign: "
            f"{found.others:,} values were neither 0 nor 1"
        )
    most = (1 << message_bits) - 1
    if message_bits and max(-found.low, found.high) > most:
        reach = f"values from {found.low} to {found.high} do not fit {message_bits} message bits"
        notes.append(f"{reach}; stock Lava takes them as they are")
    return tuple(notes)


def _train(array: npt.NDArray[Any], shape: Shape, steps: int | None, where: Path | str) -> npt.NDArray[Any]:
    """(samples, time, C, H, W), a view."""
    inputs, found, whole = int(np.prod(shape)), f"shape {array.shape}", f"(samples, time, *{shape})"
    if array.ndim >= 3 and array.shape[-3:] == shape:
        outer = array.shape[:-3]
    elif array.ndim >= 1 and array.shape[-1] == inputs:
        outer = array.shape[:-1]
    else:
        raise DataError(found, where=where, expected=f"{whole} or (time, *{shape})")
    if len(outer) > 2:
        raise DataError(found, where=where, expected=f"at most {whole}")
    if not outer:
        if steps is None:
            raise DataError("one frame without time", where=where, expected="--steps N to show it N times")
        return np.broadcast_to(array.reshape(shape), (1, steps, *shape))
    return array.reshape((1,) * (2 - len(outer)) + outer + shape)
