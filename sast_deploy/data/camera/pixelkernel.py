"""The compiled inner loops of the pixel model: from log luminance to packed events.

An event is packed as t << 13 | y << 7 | x << 1 | p, so that sorting integers sorts events. Random numbers
come from SplitMix64 of (key, counter): no state, hence no order to depend on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sast_deploy.base.compiled import compiled
from sast_deploy.data.events import NMNIST_SENSOR

SENSOR = NMNIST_SENSOR[0]  # square
SUB = 4  # samples of L per pixel and axis, bilinear between them
_COARSE = 8  # every so many steps a pixel looks whether there is any ink


@compiled()
def _hash(state: Any) -> Any:
    """SplitMix64: the next of a sequence of 64 random bits from a counter."""
    z = state * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled()
def _uniform(key: Any, counter: Any) -> Any:
    """Uniform in [0, 1) from 53 random bits."""
    return float(_hash(key + np.uint64(counter)) >> np.uint64(11)) * 2.0**-53


@compiled()
def _gaussian(key: Any, counter: Any) -> Any:
    """About normal: the sum of four uniform 16-bit numbers, mean 0 and variance 1, exact arithmetic."""
    bits = _hash(key + np.uint64(counter))
    total = 0.0
    for lane in range(4):
        total += float((bits >> np.uint64(16 * lane)) & np.uint64(0xFFFF))
    return (total - 2.0 * 65535.0) * (1.7320508075688772 / 65535.0)


@compiled()
def look_up(ink: Any, scale: Any, table: Any, levels: Any) -> None:
    """levels = table[ink * scale], to the nearest entry and never beyond the last."""
    last = len(table) - 1
    for i in range(ink.shape[0]):
        for j in range(ink.shape[1]):
            levels[i, j] = table[min(int(ink[i, j] * scale + 0.5), last)]


@compiled()
def _sample(levels: Any, width: Any, i: Any, down: Any, right: Any) -> Any:
    """L between the samples i, i + 1, i + width and i + width + 1 of the flat fine grid, bilinear."""
    top = levels[i] + (levels[i + 1] - levels[i]) * right
    bottom = levels[i + width] + (levels[i + width + 1] - levels[i + width]) * right
    return top + (bottom - top) * down


@compiled()
def expose(
    levels: Any, width: Any, corners: Any, weights: Any, step: Any, factors: Any,
    on: Any, off: Any, noise: Any, refractory: Any, key: Any, packed: Any,
) -> Any:  # fmt: skip
    """All pixels through the whole recording; the number of packed events, -1 when there are too many.

    levels (grid * width,) L on the fine grid; corners (n,) and weights (n, 2) where pixel (0, 0) samples it
    every `step` us; factors (pixels,) threshold mismatch.
    """
    count = 0
    for pixel in range(SENSOR * SENSOR):
        base = (pixel // SENSOR * width + pixel % SENSOR) * SUB
        blank = True
        for k in range(0, len(corners), _COARSE):
            blank = blank and levels[base + corners[k]] == 0.0
        if not blank:
            count = _pixel(
                levels, width, base, corners, weights, step, on * factors[pixel], off * factors[pixel],
                noise, refractory, key + np.uint64(pixel << 16), pixel, packed, count,
            )  # fmt: skip
            if count < 0:
                return -1
    return count


@compiled()
def _pixel(
    levels: Any, width: Any, base: Any, corners: Any, weights: Any, step: Any, on: Any, off: Any,
    noise: Any, refractory: Any, key: Any, pixel: Any, packed: Any, count: Any,
) -> Any:  # fmt: skip
    """One pixel's events appended to `packed`; the new count, or -1 when it is full."""
    draws = 2
    rise, fall = on * (1.0 + noise * _gaussian(key, 0)), off * (1.0 + noise * _gaussian(key, 1))
    level = _sample(levels, width, base + corners[0], weights[0, 0], weights[0, 1])
    # The pixel remembers some earlier moment: nothing says that it was reset just before the start.
    reference = level - rise + (rise + fall) * _uniform(key, 2)
    ready, blind = 0.0, False
    for k in range(1, len(corners)):
        begin, end = (k - 1) * step, k * step
        before, level = level, _sample(levels, width, base + corners[k], weights[k, 0], weights[k, 1])
        while not blind or ready < end:
            if blind:
                reference = before + (level - before) * ((max(ready, begin) - begin) / step)
                blind = False
            rising = level - reference >= rise
            if not rising and reference - level < fall:
                break
            target = reference + rise if rising else reference - fall
            # L is linear within the step; equal ends mean that the threshold was passed at its beginning.
            part = (target - before) / (level - before) if level != before else 0.0
            moment = min(max(begin + part * step, ready, begin), end)
            if count >= len(packed):
                return -1
            packed[count] = pack(int(moment), pixel, 1 if rising else 0)
            count += 1
            draws += 2
            rise = on * (1.0 + noise * _gaussian(key, draws))
            fall = off * (1.0 + noise * _gaussian(key, draws + 1))
            ready, blind = moment + refractory, True
    return count


@compiled()
def pack(time: Any, pixel: Any, polarity: Any) -> Any:
    """An event as an integer: t << 13 | y << 7 | x << 1 | p."""
    return (time << 13) | (pixel // SENSOR << 7) | (pixel % SENSOR << 1) | polarity


@compiled()
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
                pixel = int(_uniform(key, draw) * float(SENSOR * SENSOR))
                moment = int(_uniform(key, draw + 1) * length)
                draw += 2
                packed[count] = pack(moment, pixel, polarity)
                count += 1
    return count
