"""The compiled inner loops of the pixel model: from log luminance to packed events.

An event is packed as t << 13 | y << 7 | x << 1 | p, so that sorting integers sorts events. Random numbers
come from SplitMix64 of (key, counter): no state, hence no order to depend on.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.compiled import compiled, inlined
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


class Optics(NamedTuple):
    """How an image becomes log luminance.

    blur (grid, pixels): weights of the image's pixels at the samples of one axis, whole numbers. bands
    (grid, 2): first and past-the-last pixel with a weight. scale: from blurred ink to an index of `table`, L.
    """

    blur: NDArray[np.float64]
    bands: NDArray[np.int64]
    scale: float
    table: NDArray[np.float64]


@compiled()
def develop(image: Any, optics: Any, levels: Any) -> None:
    """L of an image on the fine grid; levels (SUB, SUB, grid / SUB, grid / SUB), one plane a phase.

    Sample (row, column) lies in plane (row % SUB, column % SUB) at (row // SUB, column // SUB): samples of
    neighbouring pixels lie side by side. The blur adds whole numbers below 2**53: exact in any order.
    """
    blur, bands, last = optics.blur, optics.bands, len(optics.table) - 1
    grid, size = blur.shape
    levels[:] = optics.table[0]
    left, right, across = size, 0, np.zeros((size, grid))
    for i in range(size):
        for j in range(size):
            if image[i, j]:
                left, right = min(left, j), max(right, j + 1)
    for i in range(size):
        for c in range(grid):
            for j in range(max(left, bands[c, 0]), min(right, bands[c, 1])):
                across[i, c] += image[i, j] * blur[c, j]
    ink = np.empty(grid)
    for r in range(grid):
        ink[:] = 0.0
        for i in range(bands[r, 0], bands[r, 1]):
            weight, row = blur[r, i], across[i]
            for c in range(grid):
                ink[c] += weight * row[c]
        for c in range(grid):
            if ink[c] != 0.0:
                level = optics.table[min(int(ink[c] * optics.scale + 0.5), last)]
                levels[r % SUB, c % SUB, r // SUB, c // SUB] = level


class Scene(NamedTuple):
    """What the pixels see.

    levels: L on the fine grid, the planes of `develop` in a row; width: samples in a row of a plane. places
    (n, 4), weights (n, 2): where pixel (0, 0) samples L every `step` us: flat indices of the samples above
    left, above right, below left and below right of it, fractions (down, right).
    """

    levels: NDArray[np.float64]
    width: int
    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    step: float


class Sensor(NamedTuple):
    """What the pixels are: thresholds, their relative noise, blind time in us, (pixels,) factors of both."""

    on: float
    off: float
    noise: float
    refractory: float
    factors: NDArray[np.float64]


class Row(NamedTuple):
    """The state of one row of pixels, each (SENSOR,): `rise` is -inf while a pixel is blind."""

    reference: NDArray[np.float64]
    rise: NDArray[np.float64]
    fall: NDArray[np.float64]
    ready: NDArray[np.float64]
    draws: NDArray[np.int64]


@compiled()
def expose(scene: Any, sensor: Any, key: Any, packed: Any) -> Any:
    """All pixels through the whole recording; the number of packed events, -1 when there are too many."""
    count, before, now = 0, np.empty(SENSOR), np.empty(SENSOR)
    row = Row(
        np.empty(SENSOR), np.empty(SENSOR), np.empty(SENSOR), np.empty(SENSOR), np.empty(SENSOR, np.int64)
    )
    for y in range(SENSOR):
        _look(scene, y, 0, before)
        if not _wake(scene, sensor, key, y, before, row):
            continue
        for k in range(1, len(scene.places)):
            _look(scene, y, k, now)
            waiting = _waiting(row, now, k * scene.step)
            while waiting:
                x = math.frexp(float(waiting & -waiting))[1] - 1  # the lowest bit
                waiting &= waiting - 1
                count = _fire(scene, sensor, key, row, y * SENSOR + x, k, before[x], now[x], packed, count)
                if count < 0:
                    return -1
            before, now = now, before
    return count


@inlined
def _look(scene: Any, y: int, k: int, now: Any) -> None:
    """L at moment k of the pixels of row y: bilinear between four samples."""
    levels, places, start = scene.levels, scene.places[k], y * scene.width
    a, b = levels[start + places[0] :][:SENSOR], levels[start + places[1] :][:SENSOR]
    c, d = levels[start + places[2] :][:SENSOR], levels[start + places[3] :][:SENSOR]
    down, right = scene.weights[k, 0], scene.weights[k, 1]
    for x in range(SENSOR):
        top = a[x] + (b[x] - a[x]) * right
        bottom = c[x] + (d[x] - c[x]) * right
        now[x] = top + (bottom - top) * down


@compiled()
def _wake(scene: Any, sensor: Any, key: Any, y: int, level: Any, row: Any) -> bool:
    """Set the pixels of row y to their state at the start; whether any sees ink; the others sleep."""
    awake = False
    row.ready[:] = 0.0
    row.draws[:] = 2
    for x in range(SENSOR):
        blank = True
        for k in range(0, len(scene.places), _COARSE):
            blank = blank and scene.levels[scene.places[k, 0] + y * scene.width + x] == 0.0
        if blank:
            row.rise[x] = row.fall[x] = math.inf
            row.reference[x] = 0.0
            continue
        awake, pixel = True, y * SENSOR + x
        _threshold(sensor, key, row, pixel, 0)
        # The pixel remembers some earlier moment: nothing says that it was reset just before the start.
        rise, fall = row.rise[x], row.fall[x]
        row.reference[x] = level[x] - rise + (rise + fall) * _uniform(key + np.uint64(pixel << 16), 2)
    return awake


@inlined
def _threshold(sensor: Any, key: Any, row: Any, pixel: int, draw: int) -> None:
    """Draw a pixel's next thresholds."""
    x, own = pixel % SENSOR, key + np.uint64(pixel << 16)
    on, off = sensor.on * sensor.factors[pixel], sensor.off * sensor.factors[pixel]
    row.rise[x] = on * (1.0 + sensor.noise * _gaussian(own, draw))
    row.fall[x] = off * (1.0 + sensor.noise * _gaussian(own, draw + 1))


@inlined
def _waiting(row: Any, now: Any, end: float) -> Any:
    """Bit x: pixel x may fire, or see again, before the moment `end`. Without branches: a vector a time."""
    reference, rise, fall, ready = row.reference, row.rise, row.fall, row.ready
    bits = np.int64(0)
    for x in range(SENSOR):
        beyond = (now[x] - reference[x] >= rise[x]) | (reference[x] - now[x] >= fall[x])
        bits |= np.int64((ready[x] < end) & beyond) << np.int64(x)
    return bits


@inlined
def _fire(
    scene: Any, sensor: Any, key: Any, row: Any, pixel: int, k: int, before: float, level: float, packed: Any,
    count: int,
) -> Any:
    """One pixel's events of step k appended to `packed`; the new count, or -1 when it is full."""
    x, begin, end = pixel % SENSOR, (k - 1) * scene.step, k * scene.step
    while row.ready[x] < end:
        if row.rise[x] == -math.inf:
            row.reference[x] = before + (level - before) * ((max(row.ready[x], begin) - begin) / scene.step)
            _threshold(sensor, key, row, pixel, row.draws[x])
        reference, rise, fall = row.reference[x], row.rise[x], row.fall[x]
        rising = level - reference >= rise
        if not rising and reference - level < fall:
            break
        target = reference + rise if rising else reference - fall
        # L is linear within the step; equal ends mean that the threshold was passed at its beginning.
        part = (target - before) / (level - before) if level != before else 0.0
        moment = min(max(begin + part * scene.step, row.ready[x], begin), end)
        if count >= len(packed):
            return -1
        packed[count] = pack(int(moment), pixel, 1 if rising else 0)
        count += 1
        row.draws[x] += 2
        row.ready[x], row.rise[x] = moment + sensor.refractory, -math.inf
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


@compiled()
def unpack(packed: Any, shifts: Any, pauses: Any, end: int, events: Any) -> Any:
    """Events within 0..end from packed integers; their number.

    Between two saccades the shift of time goes over linearly; pauses (n, 2): when it does, and for how long.
    """
    count = 0
    for one in packed:
        time = moved = one >> 13
        moved += shifts[0]
        for k in range(len(pauses)):
            start, length = pauses[k]
            moved += (shifts[k + 1] - shifts[k]) * min(max(time - start, 0), length) // length
        if 0 <= moved < end:
            event = events[count]
            event.x, event.y, event.t, event.p = (one >> 1) & 63, (one >> 7) & 63, moved, one & 1
            count += 1
    return count
