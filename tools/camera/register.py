"""Where the image stood on the sensor, measured from recordings whose image is known.

In a short time the ON minus OFF events of a pixel are (L(x, t + dt) - L(x, t)) / threshold, about
-dt/threshold * v . grad L(x - p). For every candidate position p the best v is a linear regression, whose
right-hand sides for all p are cross-correlations (by FFT, at quarter pixels). The best p is the position;
v is known up to one factor, which the straight line between integrated v and p gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sast_deploy.data.camera.path import KNOT_US, Knots
from sast_deploy.data.events import Events

_SIZE = 48  # pixels of the periodic field; 34 for the sensor and room for the shift
_PHASES = 4  # quarter pixels
_LOWEST, _HIGHEST = -4, 10  # candidate positions; pixels
_INK_LUMINANCE = 0.3
_BLUR = 0.7
_BINS = 63
_MOVING = slice(2, 60)  # bins where enough happens to trust a position


def measure_path(recordings: Sequence[Events], images: Sequence[NDArray[np.uint8]]) -> Knots:
    """(x, y) of the images' pixel (0, 0) on the sensor every 5 ms, in pixels; 64 knots."""
    position, velocity = _register(recordings, images)
    knots = []
    for axis in range(2):
        travelled = np.concatenate([[0.0], np.cumsum(velocity[:, axis])])
        middle = (travelled[1:] + travelled[:-1]) / 2
        slope, offset = np.polyfit(middle[_MOVING], position[_MOVING, axis], 1)
        knots.append(offset + slope * travelled)
    return as_knots(np.stack(knots, axis=1))


def as_knots(path: NDArray[np.float64]) -> Knots:
    """Positions (n, 2) as they are written down: to a hundredth of a pixel."""
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in path)


def _register(
    recordings: Sequence[Events], images: Sequence[NDArray[np.uint8]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position (63, 2) in pixels and velocity (63, 2) in thresholds per bin, x first."""
    sums = np.zeros((_BINS, _PHASES, _PHASES, 2, _SIZE, _SIZE))
    power = np.zeros((2, 2))
    for events, image in zip(recordings, images, strict=True):
        spectrum = np.fft.rfft2(_signed(events))
        for a, b in itertools.product(range(_PHASES), repeat=2):
            gradients = _gradients(image, a / _PHASES, b / _PHASES)
            if a == b == 0:
                flat = gradients.reshape(2, -1)
                power += flat @ flat.T
            for axis in range(2):
                product = spectrum * np.conj(np.fft.rfft2(gradients[axis]))
                sums[:, a, b, axis] += np.fft.irfft2(product, s=(_SIZE, _SIZE))
    return _best(sums, np.linalg.inv(power).astype(np.float64))


def _best(
    sums: NDArray[np.float64], inverse: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    quarters = np.arange(_LOWEST * _PHASES, _HIGHEST * _PHASES)
    y, x = np.meshgrid(quarters, quarters, indexing="ij")
    position, velocity = np.zeros((_BINS, 2)), np.zeros((_BINS, 2))
    for k in range(_BINS):
        right = sums[k][y % _PHASES, x % _PHASES, :, (y // _PHASES) % _SIZE, (x // _PHASES) % _SIZE]
        slopes = right @ inverse
        i = int(np.argmax((slopes * right).sum(axis=-1)))
        position[k] = x.flat[i] / _PHASES, y.flat[i] / _PHASES
        velocity[k] = -slopes.reshape(-1, 2)[i]
    return position, velocity


def _signed(events: Events) -> NDArray[np.float64]:
    field = np.zeros((_BINS, _SIZE, _SIZE))
    bins = np.minimum(events["t"] // KNOT_US, _BINS - 1)
    np.add.at(field, (bins, events["y"], events["x"]), events["p"] * 2.0 - 1.0)
    return field


def _gradients(image: NDArray[np.uint8], down: float, right: float) -> NDArray[np.float64]:
    """(2, size, size): d/dx and d/dy of log luminance of the blurred image, moved by a part of a pixel."""
    fy, fx = np.fft.fftfreq(_SIZE)[:, None], np.fft.rfftfreq(_SIZE)[None]
    field = np.zeros((_SIZE, _SIZE))
    field[: image.shape[0], : image.shape[1]] = image / 255.0
    blur = np.exp(-2 * (np.pi * _BLUR) ** 2 * (fy**2 + fx**2))
    moved = np.fft.rfft2(field) * blur * np.exp(-2j * np.pi * (fy * down + fx * right))
    ink = np.clip(np.fft.irfft2(moved, s=(_SIZE, _SIZE)), 0.0, 1.0)
    d_y, d_x = np.gradient(np.log(1.0 - (1.0 - _INK_LUMINANCE) * ink))
    return np.stack([d_x, d_y])
