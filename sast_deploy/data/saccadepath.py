"""The path of an MNIST image over N-MNIST's sensor, measured from real recordings.

N-MNIST's sensor stood before a screen on a pan-tilt head and made three micro-saccades of about 100 ms
along a triangle (Orchard et al. 2015). Seen from the sensor the image goes right and down, right and
up, and back to the left. The knots below are what `sast_deploy.data.calibrate.measure_path` finds in 500
real recordings: in every 5 ms the picture (ON events - OFF events) is explained as -v . grad L(x - p)
with the image of the same number; p comes from the best match, v from its size, and the integral of v
agrees with p to 0.1 pixel (mean), which is how v's unit is fixed.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

PATH_STEP_US = 1000  # time between two samples of the path
KNOT_US = 5000  # time between two knots

# (x, y) of the image's pixel (0, 0) on the sensor, in pixels, every 5 ms from 0 to 315 ms.
KNOTS = (
    (0.47, 1.05), (0.47, 1.07), (0.45, 1.12), (0.43, 1.24), (0.39, 1.45), (0.35, 1.75),
    (0.31, 2.18), (0.29, 2.72), (0.29, 3.32), (0.31, 3.97), (0.38, 4.63), (0.57, 5.23),
    (0.88, 5.73), (1.17, 6.11), (1.49, 6.41), (1.73, 6.56), (1.83, 6.63), (1.88, 6.66),
    (1.92, 6.65), (1.96, 6.63), (2.02, 6.61), (2.08, 6.57), (2.17, 6.54), (2.27, 6.53),
    (2.39, 6.52), (2.58, 6.45), (2.89, 6.28), (3.24, 5.98), (3.60, 5.55), (3.94, 5.05),
    (4.19, 4.49), (4.34, 3.92), (4.46, 3.37), (4.62, 2.83), (4.82, 2.34), (4.99, 2.00),
    (5.14, 1.78), (5.24, 1.66), (5.31, 1.62), (5.39, 1.62), (5.48, 1.62), (5.60, 1.63),
    (5.71, 1.63), (5.79, 1.62), (5.84, 1.60), (5.85, 1.59), (5.79, 1.58), (5.50, 1.58),
    (5.04, 1.60), (4.55, 1.61), (4.07, 1.59), (3.56, 1.58), (3.03, 1.55), (2.52, 1.51),
    (2.06, 1.47), (1.70, 1.41), (1.42, 1.36), (1.16, 1.33), (0.94, 1.32), (0.80, 1.33),
    (0.74, 1.34), (0.72, 1.35), (0.72, 1.35), (0.72, 1.35),
)


@functools.lru_cache(maxsize=8)
def image_path(amplitude: float) -> NDArray[np.float64]:
    """Position of the image every millisecond, (316, 2) float64: x, y in pixels; Catmull-Rom between knots.

    `amplitude` scales the excursion about the first knot.
    """
    knots = np.array(KNOTS)
    knots = knots[0] + (knots - knots[0]) * amplitude
    padded = np.concatenate([knots[:1], knots, knots[-1:]])
    steps = KNOT_US // PATH_STEP_US
    u = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (padded[i : i + len(knots) - 1, None] for i in range(4))
    cubic = (
        start
        + u * (end - before) / 2
        + u * u * (before - 2.5 * start + 2 * end - after / 2)
        + u * u * u * (1.5 * (start - end) + (after - before) / 2)
    )
    path = np.concatenate([cubic.reshape(-1, 2), knots[-1:]])
    path.flags.writeable = False
    return path
