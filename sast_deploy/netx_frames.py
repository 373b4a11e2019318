"""A person's array as the frames of a stock NetX network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.errors import DataError
from sast_deploy.netx_import import StockNet
from sast_deploy.program import Shape

UINT8_MAX = 255


@dataclass(frozen=True, eq=False)
class StockFrames:
    """frames: uint8 (samples, time, C, H, W). input_max: their largest value. input_bias: what the input
    neurons' bias is more than that, or None where the network has none. binarised: whether values other than
    1 were taken for one spike each.
    """

    frames: npt.NDArray[np.uint8]
    input_max: int
    input_bias: int | None
    binarised: bool


def load_array(path: Path) -> npt.NDArray[Any]:
    """The numbers of a .npy file. Raises DataError."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read: {error}", where=path, expected="a .npy file") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif" or not array.size:
        raise DataError("is no array of numbers", where=path, expected="what np.save writes")
    if not np.isfinite(array).all():
        raise DataError("values that are not finite", where=path, expected="finite numbers")
    return array


def stock_frames(
    array: npt.NDArray[Any], net: StockNet, steps: int | None, message_bits: int, where: Path
) -> StockFrames:
    """Frames of `steps` steps from (samples, T, C, H, W), (T, C, H, W) or, with `steps`, (C, H, W).

    Where the network takes n inputs in a row, (samples, T, n), (T, n) or (n,) will do. After the array's last
    step there are no more spikes; the biases of input neurons stay as they are, as in stock Lava. steps: None
    for T + latency.

    Raises:
        DataError: another shape, negative or too large values.
    """
    train = _train(array, net.program.input_shape, steps, where)
    steps = train.shape[1] + net.latency if steps is None else steps
    if net.transform is not None:
        return _biases(_lengthened(train, steps, hold=True), net.transform, where)
    train = _lengthened(train, steps, hold=False)
    if message_bits == 0:
        spikes = (train != 0).astype(np.uint8)
        return StockFrames(spikes, 1, None, bool((train != spikes).any()))
    largest = min((1 << message_bits) - 1, UINT8_MAX)
    if (train != np.trunc(train)).any() or train.min() < 0 or train.max() > largest:
        found = f"values from {train.min()} to {train.max()}"
        raise DataError(found, where=where, expected=f"integers from 0 to {largest}")
    return StockFrames(train.astype(np.uint8), max(1, int(train.max())), None, False)


def _train(array: npt.NDArray[Any], shape: Shape, steps: int | None, where: Path) -> npt.NDArray[Any]:
    """(samples, time, C, H, W)."""
    inputs = int(np.prod(shape))
    if array.ndim >= 3 and array.shape[-3:] == shape:
        outer = array.shape[:-3]
    elif array.ndim >= 1 and array.shape[-1] == inputs:
        outer = array.shape[:-1]
    else:
        raise DataError(
            f"shape {array.shape}", where=where, expected=f"(samples, time, *{shape}) or (time, *{shape})"
        )
    if len(outer) > 2:
        raise DataError(f"shape {array.shape}", where=where, expected=f"at most (samples, time, *{shape})")
    if not outer:
        if steps is None:
            raise DataError("one frame without time", where=where, expected="--steps N to show it N times")
        return np.broadcast_to(array.reshape(shape), (1, steps, *shape))
    return array.reshape((1,) * (2 - len(outer)) + outer + shape)


def _lengthened(train: npt.NDArray[Any], steps: int, hold: bool) -> npt.NDArray[Any]:
    missing = steps - train.shape[1]
    if missing <= 0:
        return train[:, :steps]
    end = np.repeat(train[:, -1:], missing, axis=1)
    return np.concatenate([train, end if hold else np.zeros_like(end)], axis=1)


def _biases(train: npt.NDArray[Any], transform: tuple[int, int], where: Path) -> StockFrames:
    """weight * pixel + bias, fractions dropped, as stock users write them to the input neurons."""
    weight, bias = transform
    values = np.trunc(train.astype(np.float64) * weight + bias).astype(np.int64)
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest > UINT8_MAX:
        raise DataError(
            f"pixels that make neuron biases {weight} * pixel + {bias} from {lowest} to {highest}",
            where=where,
            expected=f"a range of at most {UINT8_MAX}: pixels from 0 to 1?",
        )
    return StockFrames((values - lowest).astype(np.uint8), highest - lowest, lowest, False)
