"""Event-camera pixels watching a handwritten digit through N-MNIST's three saccades (simulated).

    L(x, t)  = log(1 - (1 - ink_luminance) * ink(x - p(t)))        log luminance, dark ink on bright paper
    ON  (1)    when L - L_ref >=  threshold_on  * m(x)             brightness rises
    OFF (0)    when L - L_ref <= -threshold_off * m(x)             brightness falls

p(t) is the path of the image over the sensor, m(x) the fixed threshold mismatch of a pixel. After an
event a pixel is blind for `refractory_us`, then remembers the L of that moment as its L_ref. Between
samples 1 ms apart L is linear, so event times are solved for, not rounded to the step.

Everything that a mathematical library might round differently on another machine (blur, logarithm,
random thresholds) is rounded to fixed-point numbers before it is used; what follows are IEEE additions,
products and divisions in a fixed order. The same seed therefore gives the same bytes everywhere.

Source: G. Orchard et al., Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
Saccades, Frontiers in Neuroscience 9:437, 2015; P. Lichtsteiner et al., IEEE JSSC 43(2), 2008 (pixel).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from sast_deploy.data.events import EVENT, NMNIST_SENSOR, Events
from sast_deploy.data.saccadepath import KNOTS, PATH_STEP_US, PAUSES_US, Knots, image_path
from sast_deploy.errors import DataError

SENSOR = NMNIST_SENSOR[0]  # square
IMAGE = 28  # MNIST's images are 28 pixels high and wide

_MARGIN = 10  # pixels of blank paper around the sensor that the path may bring into view
_SUB = 4  # samples of L per pixel and axis, bilinear between them
_GRID = (SENSOR + 2 * _MARGIN) * _SUB
_BLUR_BITS = 12  # fixed-point fraction of a blur weight
_INK_BITS = 12  # fixed-point fraction of the blurred ink, the index of the logarithm's table
_LOG_BITS = 20  # fixed-point fraction of L
_MAX_EVENTS = 60_000
_LATEST_US = 10_000  # largest |onset| + jitter of the third saccade


@dataclass(frozen=True)
class PixelModel:
    """Parameters of the simulated sensor and display.

    The defaults are `sast_deploy.data.calibrate.fit` run on 1,000 real N-MNIST training recordings
    matched with their MNIST images by number.

    Args:
        threshold_on: rise of the log luminance that makes an ON event; natural-log units.
        threshold_off: fall of the log luminance that makes an OFF event; natural-log units.
        mismatch: standard deviation of a pixel's fixed threshold factor; relative.
        threshold_noise: standard deviation of a threshold from event to event; relative.
        refractory_us: blind time of a pixel after an event; microseconds.
        ink_luminance: luminance of full ink relative to blank paper; 0 to 1. N-MNIST's polarities say
            that the digit was dark: ON events follow at its trailing edge.
        blur_px: standard deviation of the optical blur; sensor pixels.
        magnification: sensor pixels per image pixel.
        noise_on_hz: rate of background ON events; per pixel and second.
        noise_off_hz: rate of background OFF events; per pixel and second.
        jitter_us: half widths of the uniform shifts of the three saccades of a recording; microseconds.
        onset_us: mean shifts of the three saccades against `path`; microseconds. N-MNIST's differ from
            session to session (`sast_deploy.data.sessions`).
        path: (x, y) of the image's pixel (0, 0) on the sensor every 5 ms; sensor pixels.
    """

    threshold_on: float = 0.2867
    threshold_off: float = 0.2807
    mismatch: float = 0.0999
    threshold_noise: float = 0.05
    refractory_us: int = 500
    ink_luminance: float = 0.1004
    blur_px: float = 0.5022
    magnification: float = 1.0112
    noise_on_hz: float = 0.304
    noise_off_hz: float = 0.001
    jitter_us: tuple[int, int, int] = (1000, 1000, 3500)
    onset_us: tuple[int, int, int] = (0, 0, 0)
    path: Knots = KNOTS

    def __post_init__(self) -> None:
        _check(self)


def _check(model: PixelModel) -> None:
    limits = {
        "threshold_on": (0.01, 5.0), "threshold_off": (0.01, 5.0), "mismatch": (0.0, 0.5),
        "threshold_noise": (0.0, 0.5), "refractory_us": (0, 100_000), "ink_luminance": (0.001, 0.999),
        "blur_px": (0.2, 3.0), "magnification": (0.25, 1.15), "noise_on_hz": (0.0, 5.0),
        "noise_off_hz": (0.0, 5.0),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = getattr(model, name)
        if not low <= value <= high:
            raise DataError(f"{name} = {value}", where="pixel model", expected=f"{low} to {high}")
    for name, low in (("jitter_us", 0), ("onset_us", -5000)):
        values = getattr(model, name)
        if len(values) != 3 or not all(low <= value <= 5000 for value in values):
            raise DataError(f"{name} = {values}", where="pixel model", expected=f"three of {low} to 5000")
    if len(model.path) < 2 or not all(abs(at) <= _MARGIN - 1 for knot in model.path for at in knot):
        raise DataError("a path of fewer than 2 knots or too far", where="pixel model",
                        expected=f"knots within {_MARGIN - 1} pixels")  # fmt: skip


def simulate_recording(
    image: NDArray[np.uint8], *, seed: int, number: int = 1, model: PixelModel | None = None
) -> Events:
    """Show one image to the sensor and return its events, sorted by time.

    Args:
        image: (28, 28) uint8, ink from 0 (paper) to 255.
        seed: picks the sensor (threshold mismatch) and, with `number`, everything random in a recording.
        number: 1-based image number; a recording depends on nothing but image, seed, number and model.
        model: the sensor; None takes the calibrated one.

    Returns:
        (n,) structured array of x, y in 0..33, t in microseconds from 0, p: 1 = ON = brightness rose.

    Raises:
        DataError: the image has another shape or type, or the model floods the sensor with events.
    """
    model = PixelModel() if model is None else model
    image = np.asarray(image)
    if image.shape != (IMAGE, IMAGE) or image.dtype != np.uint8:
        raise DataError(f"an image of shape {image.shape}, {image.dtype}", expected="(28, 28) uint8")
    offsets, weights, times = _path_samples(model.path)
    dice = _dice(seed, number)
    packed = np.empty(_MAX_EVENTS, dtype=np.int64)
    count = _expose(
        _log_luminance(image, model), offsets, weights, times, _mismatch(seed, model.mismatch),
        model.threshold_on, model.threshold_off, model.threshold_noise, float(model.refractory_us),
        dice[3], packed,
    )  # fmt: skip
    if count >= 0:
        length = float(times[-1]) + _LATEST_US
        on, off = (rate * length * 1e-6 * SENSOR**2 for rate in (model.noise_on_hz, model.noise_off_hz))
        count = _background(on, off, length, dice[4], packed, count)
    if count < 0:
        raise DataError(f"more than {_MAX_EVENTS} events in a recording", where="pixel model",
                        expected="higher thresholds or less noise")  # fmt: skip
    shifts = _shifts(dice, model)
    # A recording is cut off where its third saccade should have ended; sessions moved the saccade, not the cut.
    end = int(times[-1]) + shifts[2] - model.onset_us[2]
    return _unpack(np.sort(packed[:count]), shifts, end)


def _shifts(dice: NDArray[np.uint64], model: PixelModel) -> list[int]:
    """Shift of each saccade in this recording; microseconds."""
    shifts = []
    for bits, jitter, onset in zip(dice[:3], model.jitter_us, model.onset_us, strict=True):
        shifts.append(onset + int(bits) % (2 * jitter + 1) - jitter)
    return shifts


def _unpack(packed: NDArray[np.int64], shifts: list[int], end: int) -> Events:
    """Events before `end` from packed integers; between two saccades the shift of time goes over linearly."""
    times = packed >> 13
    moved = times + shifts[0]
    for k, (pause, length) in enumerate(PAUSES_US):
        moved += (shifts[k + 1] - shifts[k]) * np.clip(times - pause, 0, length) // length
    times = moved
    inside = (times >= 0) & (times < end)
    packed, times = packed[inside], times[inside]
    events = np.empty(len(packed), dtype=EVENT)
    events["x"], events["y"] = (packed >> 1) & 63, (packed >> 7) & 63
    events["p"], events["t"] = packed & 1, times
    return events


def _dice(seed: int, number: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=[seed % 2**64, number]).random_raw(5)


@functools.lru_cache(maxsize=4)
def _mismatch(seed: int, sigma: float) -> NDArray[np.float64]:
    """Threshold factors of the pixels, (34 * 34,): 1 + sigma * z, z a sum of four uniform numbers."""
    raw = np.random.Philox(key=[seed % 2**64, 0]).random_raw(SENSOR * SENSOR)
    lanes = (raw[:, None] >> np.arange(0, 64, 16, dtype=np.uint64)) & np.uint64(0xFFFF)
    z = (lanes.sum(axis=1).astype(np.float64) - 2.0 * 0xFFFF) * (math.sqrt(3.0) / 0xFFFF)
    factors = np.maximum(np.rint((1.0 + sigma * z) * 2**_LOG_BITS), 2 ** (_LOG_BITS - 2)) / 2**_LOG_BITS
    factors.flags.writeable = False
    return factors


@functools.lru_cache(maxsize=8)
def _blur_matrix(sigma: float, magnification: float) -> NDArray[np.float64]:
    """Weights (grid, 28) of the image's pixels at the samples of one axis; whole numbers, exact in float64."""
    centre = (np.arange(_GRID) + 0.5) / _SUB - 0.5 - _MARGIN
    middle = (IMAGE - 1) / 2
    left = (np.arange(IMAGE) - 0.5 - middle) * magnification + middle
    scale = 1.0 / (sigma * math.sqrt(2.0))
    edges = np.concatenate([left, left[-1:] + magnification])
    cumulative = np.array([[math.erf((e - c) * scale) for e in edges] for c in centre])
    matrix: NDArray[np.float64] = np.rint(np.diff(cumulative, axis=1) / 2 * 2**_BLUR_BITS)
    return matrix


@functools.lru_cache(maxsize=8)
def _log_table(ink_luminance: float) -> NDArray[np.float64]:
    """L for blurred ink 0, 1/4096, ..., 1, rounded to 2**-20."""
    ink = np.arange(2**_INK_BITS + 1) / 2**_INK_BITS
    table: NDArray[np.float64] = np.rint(np.log(1.0 - (1.0 - ink_luminance) * ink) * 2**_LOG_BITS) / 2**_LOG_BITS
    return table


def _log_luminance(image: NDArray[np.uint8], model: PixelModel) -> NDArray[np.float64]:
    """L on the fine grid, (grid, grid), image at its own place (path at 0)."""
    blur = _blur_matrix(model.blur_px, model.magnification)
    ink = blur @ image.astype(np.float64) @ blur.T  # whole numbers below 2**53: exact in any order
    full = float(255 * 2 ** (2 * _BLUR_BITS))
    index = np.minimum(ink * (2**_INK_BITS / full) + 0.5, 2.0**_INK_BITS).astype(np.int64)
    return _log_table(model.ink_luminance)[index]


@functools.lru_cache(maxsize=8)
def _path_samples(knots: Knots) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Per time step: corner (row, column) of a pixel (0, 0) on the fine grid, its two fractions; times in us."""
    path = image_path(knots)
    grid = (_MARGIN - path[:, ::-1]) * _SUB + (_SUB - 1) / 2  # rows first
    grid = np.rint(grid * 2**16) / 2**16
    corner = np.floor(grid)
    times = np.arange(len(path)) * float(PATH_STEP_US)
    return corner.astype(np.int64), grid - corner, times


@numba.njit(cache=True)
def _hash(state):  # type: ignore[no-untyped-def]
    """SplitMix64: the next of a sequence of 64 random bits from a counter."""
    z = state * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True)
def _uniform(key, counter):  # type: ignore[no-untyped-def]
    """Uniform in [0, 1) from 53 random bits."""
    return float(_hash(key + np.uint64(counter)) >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True)
def _gaussian(key, counter):  # type: ignore[no-untyped-def]
    """About normal: the sum of four uniform 16-bit numbers, mean 0 and variance 1, exact arithmetic."""
    bits = _hash(key + np.uint64(counter))
    total = 0.0
    for lane in range(4):
        total += float((bits >> np.uint64(16 * lane)) & np.uint64(0xFFFF))
    return (total - 2.0 * 65535.0) * (1.7320508075688772 / 65535.0)


@numba.njit(cache=True)
def _sample(levels, corner, weight, row, column):  # type: ignore[no-untyped-def]
    """L at a pixel, bilinear on the fine grid."""
    i, j = corner[0] + row * _SUB, corner[1] + column * _SUB
    top = levels[i, j] + (levels[i, j + 1] - levels[i, j]) * weight[1]
    bottom = levels[i + 1, j] + (levels[i + 1, j + 1] - levels[i + 1, j]) * weight[1]
    return top + (bottom - top) * weight[0]


@numba.njit(cache=True, nogil=True)
def _expose(levels, corners, weights, times, factors, on, off, noise, refractory, key, packed):  # type: ignore[no-untyped-def]
    """All pixels through the whole recording; events packed as t << 13 | y << 7 | x << 1 | p."""
    count = 0
    for row in range(SENSOR):
        for column in range(SENSOR):
            pixel = row * SENSOR + column
            blank = True
            for k in range(0, len(times), 8):
                blank = blank and levels[corners[k, 0] + row * _SUB, corners[k, 1] + column * _SUB] == 0.0
            if not blank:
                count = _pixel(levels, corners, weights, times, row, column, on * factors[pixel],
                               off * factors[pixel], noise, refractory, key + np.uint64(pixel << 16),
                               packed, count)  # fmt: skip
                if count < 0:
                    return -1
    return count


@numba.njit(cache=True, nogil=True)
def _pixel(levels, corners, weights, times, row, column, on, off, noise, refractory, key, packed, count):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, nogil=True)
def _background(on, off, length, key, packed, count):  # type: ignore[no-untyped-def]
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
