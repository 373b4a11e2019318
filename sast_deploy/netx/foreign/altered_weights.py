"""What stock NetX and stock Lava make of a dense weight matrix before they compute with it.

NetX scales the matrix by a power of two so that it fills eight bits, and tells Lava how many low bits it
may drop; Lava clips and truncates, and shifts every sum back. Mixed signs within -256..254 survive, and so
do 0..255 and -127..-1; what does not is altered without a word.
Source: lava-dl 0.6.0 netx/utils.py `optimize_weight_bits`, lava-nc 0.10.0 utils/weightutils.py.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sast_deploy.program.lava_constants import WEIGHT_BITS, WEIGHT_MAX, WEIGHT_MIN

Int64Array = npt.NDArray[np.int64]


def stock_weights(weight: Int64Array, recurrent: Int64Array | None = None) -> tuple[Int64Array, ...]:
    """The weights that stock Lava computes with, of one dense layer: (weight,) or (weight, recurrent).

    weight: int64 (out, in). recurrent: (out, out), scaled together with it.

    Raises:
        ValueError: stock NetX cannot load them, turns them all into 0, or alters them so that sums are no
            longer those of any weights; the message says which.
    """
    parts = [weight] if recurrent is None else [weight, recurrent]
    joined = np.hstack(parts)
    if not joined.any():
        raise ValueError("all weights are 0, which stock NetX cannot load (OverflowError)")
    if joined.min() < 0 < joined.max() and (joined.max() > WEIGHT_MAX or joined.min() < WEIGHT_MIN):
        joined = np.clip(joined, WEIGHT_MIN, WEIGHT_MAX)
    scale_bits, weight_bits = _optimized(joined)
    # NumPy shifts by a negative count to 0: what becomes of positive weights of 256 and more.
    scaled = np.left_shift(joined.astype(np.int32), scale_bits)
    used = [_held(part, weight_bits) for part in np.split(scaled, [weight.shape[1]], axis=1)[: len(parts)]]
    if not any(part.any() for part in used):
        raise ValueError(f"weights {joined.min()}..{joined.max()} all become 0 in stock Lava")
    return tuple(_shifted_back(part, scale_bits) for part in used)


def _optimized(weight: Int64Array) -> tuple[int, int]:
    """(bits to shift to the left, bits that the weights need) as NetX chooses them."""
    low, high = int(weight.min()), int(weight.max())
    mixed = int(high >= 0 > low)
    with np.errstate(divide="ignore"):
        if mixed:
            scale = min(np.divide(127, high), np.divide(-128, low))
        else:
            scale = -256 / low if high < 0 else 255 / high
    scale_bits = math.floor(np.log2(scale)) + mixed
    # How many low bits are 0 in all weights, at most 8; NetX never finds none.
    zeros = next((n for n in range(WEIGHT_BITS, 0, -1) if not (weight % (1 << n)).any()), 0)
    return scale_bits, WEIGHT_BITS - scale_bits - (zeros - mixed)


def _held(weight: npt.NDArray[np.int32], weight_bits: int) -> Int64Array:
    """Lava's clipping and truncation; each matrix by its own signs."""
    mixed = int(weight.min() < 0 < weight.max())
    sign = 1 if mixed or weight.min() >= 0 else -1
    limit = 1 << WEIGHT_BITS
    held = np.clip(sign * weight.astype(np.int64), -limit * mixed, limit - 1)
    dropped = WEIGHT_BITS - weight_bits + mixed
    return sign * ((held >> dropped) << dropped)


def _shifted_back(used: Int64Array, scale_bits: int) -> Int64Array:
    """Weights whose sums are the shifted sums of `used`."""
    if scale_bits < 0:
        return used << -scale_bits
    if (used & ((1 << scale_bits) - 1)).any():
        raise ValueError("stock Lava clips these weights and rounds their sums")
    return used >> scale_bits
