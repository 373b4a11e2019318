"""The compiled inner loops of the pixel model: from log luminance to packed events.

An event is packed as t << 13 | y << 7 | x << 1 | p, so that sorting integers sorts events. Random numbers
come from SplitMix64 of (key, counter): no state, hence no order to depend on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from sast_deploy.data.events import NMNIST_SENSOR

SENSOR = NMNIST_SENSOR[0]  # square
SUB = 4  # samples of L per pixel and axis, bilinear between them


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile without Python's lock; keep the machine code on disk where a folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return numba.njit(nogil=True)(function)


@_compiled
def _hash(state: Any) -> Any:
    """SplitMix64: the next of a sequence of 64 random bits from a counter."""
    z = state * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_compiled
def _uniform(key: Any, counter: Any) -> Any:
    """Uniform in [0, 1) from 53 random bits."""
    return float(_hash(key + np.uint64(counter)) >> np.uint64(11)) * 2.0**-53


@_compiled
def _gaussian(key: Any, counter: Any) -> Any:
    """About normal: the sum of four uniform 16-bit numbers, mean 0 and variance 1, exact arithmetic."""
    bits = _hash(key + np.uint64(counter))
    total = 0.0
    for lane in range(4):
        total += float((bits >> np.uint64(16 * lane)) & np.uint64(0xFFFF))
    return (total - 2.0 * 65535.0) * (1.7320508075688772 / 65535.0)


@_compiled
def _sample(levels: Any, corner: Any, weight: Any, row: Any, column: Any) -> Any:
    """L at a pixel, bilinear on the fine grid."""
    i, j = corner[0] + row * SUB, corner[1] + column * SUB
    top = levels[i, j] + (levels[i, j + 1] - levels[i, j]) * weight[1]
    bottom = levels[i + 1, j] + (levels[i + 1, j + 1] - levels[i + 1, j]) * weight[1]
    return top + (bottom - top) * weight[0]


@_compiled
def expose(
    levels: Any, corners: Any, weights: Any, times: Any, factors: Any,
    on: Any, off: Any, noise: Any, refractory: Any, key: Any, packed: Any,
) -> Any:  # fmt: skip
    """All pixels through the whole recording; events packed as t << 13 | y << 7 | x << 1 | p."""
    count = 0
    for row in range(SENSOR):
        for column in range(SENSOR):
            pixel = row * SENSOR + column
            blank = True
            for k in range(0, len(times), 8):
                blank = blank and levels[corners[k, 0] + row * SUB, corners[k, 1] + column * SUB] == 0.0
            if not blank:
                count = _pixel(levels, corners, weights, times, row, column, on * factors[pixel],
                               off * factors[pixel], noise, refractory, key + np.uint64(pixel << 16),
                               packed, count)  # fmt: skip
                if count < 0:
                    return -1
    return count


@_compiled
def _pixel(
    levels: Any, corners: Any, weights: Any, times: Any, row: Any, column: Any,
    on: Any, off: Any, noise: Any, refractory: Any, key: Any, packed: Any, count: Any,
) -> Any:  # fmt: skip
    """One pixel's events appended to `packed`; the new count, or -1 when it is full."""
    draws = 2
    rise, fall = on * (1.0 + noise * _gaussian(key, 0)), off * (1.0 + noise * _gaussian(key, 1))
    ready = 0.0
    blind = False
    level = _sample(levels, corners[0], weights[0], row, column)
    # The pixel remembers some earlier moment: nothing says that it was reset just before the start.
    reference = level - rise + (rise + fall) * _uniform(key, 2)
    for k in range(1, len(times)):
        start, end = times[k - 1], times[k]
        before, level = level, _sample(levels, corners[k], weights[k], row, column)
        slope = (level - before) / (end - start)
        while True:
            if blind:
                if ready >= end:
                    break
                start = max(start, ready)
                reference = before + slope * (start - times[k - 1])
                blind = False
            rising = level - reference >= rise
            if not rising and reference - level < fall:
                break
            target = reference + rise if rising else reference - fall
            moment = times[k - 1] + (target - before) / slope if slope != 0.0 else start
            moment = min(max(moment, start), end)
            if count >= len(packed):
                return -1
            packed[count] = (int(moment) << 13) | (row << 7) | (column << 1) | (1 if rising else 0)
            count += 1
            draws += 2
            rise = on * (1.0 + noise * _gaussian(key, draws))
            fall = off * (1.0 + noise * _gaussian(key, draws + 1))
            ready = moment + refractory
            blind = True
    return count


@_compiled
def background(on: Any, off: Any, length: Any, key: Any, packed: Any, count: Any) -> Any:
    """Background events at random pixels and times: exponential gaps over the whole sensor."""
    draw = 0
    for polarity in range(2):
        mean = on if polarity == 1 else off
        remaining = mean
        while remaining > 0.0:
            # A Poisson count by halves of at most 50, so that exp(-mean) never underflows.
            part = min(remaining, 50.0)
            remaining -= part
            limit, product = math.exp(-part), 1.0
            while True:
                product *= _uniform(key, draw)
                draw += 1
                if product <= limit:
                    break
                if count >= len(packed):
                    return -1
                place = int(_uniform(key, draw) * float(SENSOR * SENSOR))
                moment = int(_uniform(key, draw + 1) * length)
                draw += 2
                row, column = place // SENSOR, place % SENSOR
                packed[count] = (moment << 13) | (row << 7) | (column << 1) | polarity
                count += 1
    return count
