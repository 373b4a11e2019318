"""The path of an MNIST image over N-MNIST's sensor, measured from real recordings.

N-MNIST's sensor stood before a screen on a pan-tilt head and made three micro-saccades of about 100 ms
along a triangle (Orchard et al. 2015). Seen from the sensor the image goes right and down, right and
up, and back to the left.

`tools.camera.register.measure_path` finds where it stood: in every 5 ms the picture (ON events - OFF
events) is explained as -v . grad L(x - p) with the image of the same number; p comes from the best match,
v from its size, and the integral of v agrees with p to 0.1 pixel (mean), which fixes v's unit.
`tools.camera.fitting.fit_speed` then scales the speed in every 5 ms until the simulated events per
millisecond are the real ones; that moves no knot by more than 0.4 pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PATH_STEP_US = 1000  # time between two samples of the path
KNOT_US = 5000  # time between two knots
# The sensor hardly moves between two saccades. Each pause is longer than two saccades can shift together.
PAUSES_US = ((84_000, 22_000), (207_000, 20_000))  # start, length

Knots = tuple[tuple[float, float], ...]

# (x, y) of the image's pixel (0, 0) on the sensor, in pixels, every 5 ms from 0 to 310 ms, in recordings of
# the first 1,000 training images (the default), of the later ones, and of the first 100 test images.
KNOTS: Knots = (
    (0.64, 1.30), (0.63, 1.33), (0.61, 1.40), (0.58, 1.54), (0.54, 1.75), (0.50, 2.03), (0.48, 2.40),
    (0.45, 2.89), (0.46, 3.45), (0.48, 4.06), (0.54, 4.70), (0.72, 5.27), (1.02, 5.76), (1.29, 6.12),
    (1.59, 6.39), (1.81, 6.55), (1.90, 6.60), (1.96, 6.64), (2.00, 6.62), (2.05, 6.60), (2.12, 6.56),
    (2.18, 6.53), (2.27, 6.49), (2.36, 6.49), (2.45, 6.48), (2.63, 6.42), (2.91, 6.27), (3.26, 5.96),
    (3.63, 5.55), (3.97, 5.01), (4.24, 4.39), (4.42, 3.78), (4.54, 3.19), (4.70, 2.61), (4.89, 2.11),
    (5.07, 1.76), (5.21, 1.56), (5.30, 1.44), (5.37, 1.40), (5.46, 1.39), (5.56, 1.39), (5.68, 1.40),
    (5.79, 1.40), (5.87, 1.39), (5.90, 1.38), (5.93, 1.36), (5.73, 1.33), (5.28, 1.33), (4.79, 1.36),
    (4.31, 1.37), (3.82, 1.36), (3.30, 1.35), (2.73, 1.30), (2.19, 1.27), (1.71, 1.22), (1.35, 1.17),
    (1.10, 1.12), (0.85, 1.09), (0.64, 1.08), (0.51, 1.09), (0.46, 1.10), (0.44, 1.11), (0.44, 1.11),
)

LATE_KNOTS: Knots = (
    (0.65, 1.09), (0.64, 1.11), (0.61, 1.18), (0.58, 1.34), (0.54, 1.55), (0.50, 1.83), (0.48, 2.20),
    (0.45, 2.68), (0.46, 3.23), (0.48, 3.84), (0.54, 4.49), (0.73, 5.08), (1.03, 5.58), (1.32, 5.96),
    (1.63, 6.23), (1.86, 6.40), (1.95, 6.45), (2.01, 6.49), (2.04, 6.47), (2.07, 6.47), (2.14, 6.44),
    (2.19, 6.41), (2.26, 6.38), (2.32, 6.38), (2.39, 6.37), (2.53, 6.32), (2.80, 6.17), (3.18, 5.83),
    (3.58, 5.40), (3.93, 4.84), (4.21, 4.20), (4.39, 3.57), (4.51, 2.96), (4.68, 2.36), (4.88, 1.85),
    (5.06, 1.49), (5.19, 1.30), (5.28, 1.18), (5.35, 1.14), (5.44, 1.13), (5.56, 1.13), (5.69, 1.14),
    (5.79, 1.14), (5.86, 1.13), (5.88, 1.12), (5.91, 1.11), (5.73, 1.08), (5.30, 1.08), (4.81, 1.11),
    (4.26, 1.12), (3.70, 1.11), (3.15, 1.10), (2.60, 1.05), (2.10, 1.02), (1.64, 0.97), (1.29, 0.92),
    (1.07, 0.88), (0.86, 0.85), (0.70, 0.84), (0.59, 0.85), (0.55, 0.86), (0.53, 0.87), (0.53, 0.87),
)

TEST_KNOTS: Knots = (
    (0.50, 0.61), (0.49, 0.64), (0.47, 0.72), (0.44, 0.89), (0.39, 1.10), (0.35, 1.39), (0.33, 1.76),
    (0.30, 2.24), (0.31, 2.80), (0.33, 3.41), (0.39, 4.06), (0.57, 4.63), (0.87, 5.10), (1.13, 5.45),
    (1.42, 5.72), (1.65, 5.88), (1.75, 5.93), (1.80, 5.97), (1.80, 5.96), (1.83, 5.95), (1.90, 5.92),
    (2.00, 5.86), (2.15, 5.79), (2.30, 5.79), (2.42, 5.78), (2.64, 5.71), (2.90, 5.57), (3.22, 5.27),
    (3.57, 4.90), (3.92, 4.34), (4.20, 3.69), (4.40, 3.04), (4.53, 2.40), (4.69, 1.81), (4.87, 1.33),
    (5.04, 1.00), (5.19, 0.79), (5.29, 0.63), (5.40, 0.58), (5.53, 0.56), (5.62, 0.56), (5.69, 0.57),
    (5.72, 0.57), (5.75, 0.57), (5.76, 0.56), (5.82, 0.52), (5.50, 0.48), (5.15, 0.48), (4.71, 0.51),
    (4.20, 0.52), (3.65, 0.51), (3.14, 0.50), (2.63, 0.45), (2.14, 0.43), (1.67, 0.38), (1.31, 0.33),
    (1.03, 0.27), (0.78, 0.24), (0.61, 0.24), (0.50, 0.24), (0.45, 0.25), (0.43, 0.26), (0.43, 0.27),
)


def image_path(path: Knots) -> NDArray[np.float64]:
    """Position of the image every millisecond, (n, 2) float64: x, y in pixels; Catmull-Rom between knots."""
    knots = np.array(path)
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
    return np.concatenate([cubic.reshape(-1, 2), knots[-1:]])
