"""scikit-learn's 1,797 handwritten digits (8x8, 0..16) at MNIST's size, and how they are split.

The digits are the test set of UCI optdigits: 13 writers, whose names are not in the data. They stand in the
order of writing, so a split at random, as ours is, has the same writers on both sides. It measures how
well a network reads known hands, not new ones.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sast_deploy.data.split import stratified_split

DIGITS_TEST = 0.25  # share of the test split: 449 of 1,797

_CELLS = 8
_SIZE = 20  # MNIST fits digits into 20 x 20 pixels
_EDGE = 4  # and leaves 4 pixels of paper around them
_PHASE = 2 * _SIZE  # denominators: 2 * 20 pixels share 8 cells
_FULL = 16


def digit_images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (1797, 28, 28) uint8, ink 0..255, and labels (1797,) int64."""
    from sklearn.datasets import load_digits

    data = load_digits()
    cells = np.rint(data.images).astype(np.int64)
    return np.stack([enlarge(image) for image in cells]), np.asarray(data.target, dtype=np.int64)


def digits_split(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(train, test) indices, stratified by digit; 1,348 and 449 of scikit-learn's digits."""
    return stratified_split(labels, DIGITS_TEST, seed)


def enlarge(cells: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(8, 8) cells of 0..16 to a (28, 28) uint8 image with strokes as sharp as MNIST's.

    Cubic (Catmull-Rom) interpolation to 20 x 20, then contrast: coverage below `low` is paper, above `high`
    is full ink. All in whole numbers, so that no machine rounds otherwise.
    """
    weights, unit = _cubic_weights()
    smooth = weights @ cells @ weights.T
    whole = _FULL * unit * unit
    low, high = 3 * whole // 10, 8 * whole // 10
    ink = np.clip((smooth - low) * 255 // (high - low), 0, 255)
    image = np.zeros((_SIZE + 2 * _EDGE,) * 2, dtype=np.uint8)
    image[_EDGE : _EDGE + _SIZE, _EDGE : _EDGE + _SIZE] = ink
    return image


def _cubic_weights() -> tuple[NDArray[np.int64], int]:
    """Catmull-Rom weights (20, 8) of the cells for each of 20 pixels, as multiples of 1 / unit."""
    weights = np.zeros((_SIZE, _CELLS), dtype=np.int64)
    d = _PHASE
    for i in range(_SIZE):
        # The centre of pixel i in cells is (i + 1/2) * 8 / 20 - 1/2, in units of 1 / 40 cell:
        position = (2 * i + 1) * _CELLS - _SIZE
        cell, u = divmod(position, d)
        cubic = (
            -u * d * d + 2 * u * u * d - u**3,
            2 * d**3 - 5 * u * u * d + 3 * u**3,
            u * d * d + 4 * u * u * d - 3 * u**3,
            -u * u * d + u**3,
        )
        for k, weight in enumerate(cubic):
            if 0 <= cell - 1 + k < _CELLS:  # beyond the edge is paper
                weights[i, cell - 1 + k] += weight
    return weights, 2 * d**3
