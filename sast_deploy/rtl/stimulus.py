"""Frames as the items that a circuit takes: events and ends of steps, one word each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.rtl.memories import Built, hexadecimal
from sast_deploy.rtl.top import item_bits


def items(layer: Built, frame: npt.NDArray[Any]) -> str:
    """Lines of {end of step, end of sample, value, channel, row, column} of one sample (time, C, H, W).

    Events of a step come in C, H, W order.
    """
    value, *place = item_bits(layer)
    events = np.nonzero(frame)
    step, *where = events
    word = frame[events].astype(np.int64) & ((1 << value) - 1)
    for bits, coordinate in zip(place, where, strict=True):
        word = word << bits | coordinate
    width = value + sum(place)
    ends = np.full(len(frame), 1 << (width + 1), np.int64)
    ends[-1] |= 1 << width
    order = np.argsort(np.concatenate([step, np.arange(len(frame))]), kind="stable")
    return hexadecimal(np.concatenate([word, ends])[order][:, None], width + 2)
