"""The compiled inner loops of the pixel model: from log luminance to packed events.

An event is packed as t << 13 | y << 7 | x << 1 | p, so that sorting integers sorts events. Random numbers
come from SplitMix64 of (key, counter): no state, hence no order to depend on.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Scene(NamedTuple):
    """What the pixels see.

    levels: (grid * width,) L on the fine grid, `width` samples a row. corners (n,), weights (n, 2): where
    pixel (0, 0) samples it every `step` us: flat index above and left, fractions (down, right).
    """

    levels: NDArray[np.float64]
    width: int
    corners: NDArray[np.int64]
    weights: NDArray[np.float64]
    step: float


class Sensor(NamedTuple):
    """What the pixels are: thresholds, their relative noise, blind time in us, (pixels,) factors of both."""

    on: float
    off: float
    noise: float
    refractory: float
    factors: NDArray[np.float64]


@compiled()
def _level(scene: Any, base: Any, k: Any) -> Any:
    """L at moment k of the pixel whose samples begin at `base`: bilinear between four of the fine grid."""
    levels, i, right = scene.levels, base + scene.corners[k], scene.weights[k, 1]
    top = levels[i] + (levels[i + 1] - levels[i]) * right
    i += scene.width
    bottom = levels[i] + (levels[i + 1] - levels[i]) * right
    return top + (bottom - top) * scene.weights[k, 0]


@compiled()
def expose(scene: Any, sensor: Any, key: Any, packed: Any) -> Any:
    """All pixels through the whole recording; the number of packed events, -1 when there are too many."""
    count = 0
    for pixel in range(SENSOR * SENSOR):
        base = (pixel // SENSOR * scene.width + pixel % SENSOR) * SUB
        blank = True
        for k in range(0, len(scene.corners), _COARSE):
            blank = blank and scene.levels[base + scene.corners[k]] == 0.0
        if not blank:
            count = _pixel(scene, sensor, base, key + np.uint64(pixel << 16), pixel, packed, count)
            if count < 0:
                return -1
    return count


@compiled()
def _pixel(scene: Any, sensor: Any, base: Any, key: Any, pixel: Any, packed: Any, count: Any) -> Any:
    """One pixel's events appended to `packed`; the new count, or -1 when it is full."""
    draws, step, noise = 2, scene.step, sensor.noise
    on, off = sensor.on * sensor.factors[pixel], sensor.off * sensor.factors[pixel]
    rise, fall = on * (1.0 + noise * _gaussian(key, 0)), off * (1.0 + noise * _gaussian(key, 1))
    level = _level(scene, base, 0)
    # The pixel remembers some earlier moment: nothing says that it was reset just before the start.
    reference = level - rise + (rise + fall) * _uniform(key, 2)
    ready, blind = 0.0, False
    for k in range(1, len(scene.corners)):
        begin, end = (k - 1) * step, k * step
        before, level = level, _level(scene, base, k)
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
            ready, blind = moment + sensor.refractory, True
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
