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

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError
from sast_deploy.data.camera.path import KNOTS, PATH_STEP_US, PAUSES_US, Knots, image_path
from sast_deploy.data.camera.pixelkernel import (
    SENSOR,
    SUB,
    Optics,
    Scene,
    Sensor,
    background,
    develop,
    expose,
    unpack,
)
from sast_deploy.data.events import EVENT, Events

IMAGE = 28  # MNIST's images are 28 pixels high and wide

_MARGIN = 10  # pixels of blank paper around the sensor that the path may bring into view
_PLANE = SENSOR + 2 * _MARGIN
_GRID = _PLANE * SUB
_CORNERS = ((0, 0, 1, 1), (0, 1, 0, 1))  # down, right
_PAUSES = np.array(PAUSES_US)
_BLUR_BITS = 12  # fixed-point fraction of a blur weight
_INK_BITS = 12  # fixed-point fraction of the blurred ink, the index of the logarithm's table
_LOG_BITS = 20  # fixed-point fraction of L
_MAX_EVENTS = 60_000
_LATEST_US = 10_000  # largest |onset| + jitter of the third saccade


@dataclass(frozen=True)
class PixelModel:
    """Parameters of the simulated sensor and display.

    The defaults are `tools.camera.fitting.fit` run on 1,000 real N-MNIST training recordings
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
            session to session (`sast_deploy.data.camera.sessions`).
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
    if not _is_near(model.path):
        raise DataError("a path of fewer than 2 knots or too far", where="pixel model",
                        expected=f"knots within {_MARGIN - 1} pixels")  # fmt: skip


@functools.lru_cache(maxsize=8)  # each recording has a model of its own, but one of few paths
def _is_near(path: Knots) -> bool:
    return len(path) > 1 and all(abs(at) <= _MARGIN - 1 for knot in path for at in knot)


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
    dice, levels = _dice(seed, number), np.empty((SUB, SUB, _PLANE, _PLANE))
    optics = _optics(model.blur_px, model.magnification, model.ink_luminance)
    develop(np.ascontiguousarray(image), optics, levels)
    scene = Scene(levels.ravel(), _PLANE, *_path_samples(model.path), float(PATH_STEP_US))
    sensor = Sensor(
        model.threshold_on, model.threshold_off, model.threshold_noise, float(model.refractory_us),
        _mismatch(seed, model.mismatch),
    )  # fmt: skip
    packed = np.empty(_MAX_EVENTS, dtype=np.int64)
    count = expose(scene, sensor, dice[3], packed)
    last = (len(scene.places) - 1) * PATH_STEP_US
    if count >= 0:
        length = float(last + _LATEST_US)
        on, off = (rate * length * 1e-6 * SENSOR**2 for rate in (model.noise_on_hz, model.noise_off_hz))
        count = background(on, off, length, dice[4], packed, count)
    if count < 0:
        raise DataError(f"more than {_MAX_EVENTS} events in a recording", where="pixel model",
                        expected="higher thresholds or less noise")  # fmt: skip
    shifts = _shifts(dice, model)
    # Recordings end where the third saccade should have ended; sessions moved the saccade, not the end.
    end, events = last + shifts[2] - model.onset_us[2], np.empty(count, dtype=EVENT)
    return events[: unpack(np.sort(packed[:count]), shifts, _PAUSES, end, events)]


def _shifts(dice: NDArray[np.uint64], model: PixelModel) -> NDArray[np.int64]:
    """Shift of each saccade in this recording; microseconds."""
    shifts = []
    for bits, jitter, onset in zip(dice[:3], model.jitter_us, model.onset_us, strict=True):
        shifts.append(onset + int(bits) % (2 * jitter + 1) - jitter)
    return np.array(shifts)


def _dice(seed: int, number: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=[seed % 2**64, number]).random_raw(5)


@functools.lru_cache(maxsize=4)
def _mismatch(seed: int, sigma: float) -> NDArray[np.float64]:
    """Threshold factors of the pixels, (34 * 34,): 1 + sigma * z, z a sum of four uniform numbers."""
    raw = np.random.Philox(key=[seed % 2**64, 0]).random_raw(SENSOR * SENSOR)
    lanes = (raw[:, None] >> np.arange(0, 64, 16, dtype=np.uint64)) & np.uint64(0xFFFF)
    z = (lanes.sum(axis=1).astype(np.float64) - 2.0 * 0xFFFF) * (math.sqrt(3.0) / 0xFFFF)
    steps = np.rint((1.0 + sigma * z) * 2**_LOG_BITS)
    factors: NDArray[np.float64] = np.maximum(steps, 2 ** (_LOG_BITS - 2)) / 2**_LOG_BITS
    factors.flags.writeable = False
    return factors


@functools.lru_cache(maxsize=8)
def _optics(sigma: float, magnification: float, ink_luminance: float) -> Optics:
    """The blur of one axis, and L for blurred ink 0, 1/4096, ..., 1, rounded to 2**-20."""
    centre = (np.arange(_GRID) + 0.5) / SUB - 0.5 - _MARGIN
    middle = (IMAGE - 1) / 2
    left = (np.arange(IMAGE) - 0.5 - middle) * magnification + middle
    scale = 1.0 / (sigma * math.sqrt(2.0))
    edges = np.concatenate([left, left[-1:] + magnification])
    cumulative = np.array([[math.erf((e - c) * scale) for e in edges] for c in centre])
    blur = np.rint(np.diff(cumulative, axis=1) / 2 * 2**_BLUR_BITS)
    inked = np.cumsum(blur != 0, axis=1)
    bands = np.stack([(inked == 0).sum(axis=1), IMAGE - (inked[:, ::-1] == inked[:, -1:]).sum(axis=1) + 1], 1)
    ink = np.arange(2**_INK_BITS + 1) / 2**_INK_BITS
    table = np.rint(np.log(1.0 - (1.0 - ink_luminance) * ink) * 2**_LOG_BITS) / 2**_LOG_BITS
    return Optics(blur, bands, 2**_INK_BITS / float(255 * 2 ** (2 * _BLUR_BITS)), table)


@functools.lru_cache(maxsize=8)
def _path_samples(knots: Knots) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`places` and `weights` of a Scene, each millisecond."""
    grid = (_MARGIN - image_path(knots)[:, ::-1]) * SUB + (SUB - 1) / 2  # rows first
    grid = np.rint(grid * 2**16) / 2**16
    corner = np.floor(grid).astype(np.int64)
    rows, columns = (corner[:, axis, None] + np.array(beside) for axis, beside in enumerate(_CORNERS))
    planes = rows % SUB * SUB + columns % SUB
    return (planes * _PLANE + rows // SUB) * _PLANE + columns // SUB, grid - corner
