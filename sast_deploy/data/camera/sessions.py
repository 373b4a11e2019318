"""N-MNIST's recording sessions: when the saccades began and which path they took.

Real recordings of small numbers and of number 15,000 differ by 5 ms in the start of the third saccade (with a
jump at about 14,450), the Test recordings by as much from the first Train recordings. That alone changes the
events of a quiet time bin by half, so a simulated recording that is compared with the real one of the
same number takes the onsets of that number. The first 1,000 training recordings also creep more between the
first two saccades than the later ones, and in the Test recordings the image stands 0.75 pixel higher.

Measured with `tools.camera.fitting.measure_onsets`: the shift in time that lays the simulated curve of
events per millisecond over the real one, about 100 recordings a row; Test: numbers 1 to 100 only.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sast_deploy.data.camera.idx import Split
from sast_deploy.data.camera.path import KNOTS, LATE_KNOTS, TEST_KNOTS
from sast_deploy.data.camera.pixelmodel import PixelModel

# Image number, shift of the second and of the third saccade against the default path; milliseconds.
TRAIN = (
    (500, 0.0, 0.0), (3000, 0.6, -0.5), (7500, 0.6, -0.7), (12000, 0.5, -1.4), (14450, 0.4, -1.4),
    (14451, 0.3, 4.4), (16500, 0.3, 4.4), (21000, 0.7, 2.8), (26000, 1.3, 2.4), (30000, 1.7, 1.7),
    (34000, 1.3, 1.7), (38000, -0.3, 3.9), (41500, 0.3, 3.6), (44500, 0.6, 4.7), (46500, 0.6, 3.2),
    (48500, 1.3, 1.4), (51500, 0.7, 0.7), (54500, 2.4, 0.5), (58000, 1.7, -0.2),
)  # fmt: skip
TEST = ((50, -1.5, 4.6),)


_FIRST_SESSION = 1000  # training images recorded along KNOTS


def session_model(model: PixelModel, number: int, split: Split) -> PixelModel:
    """`model` as N-MNIST's recording `number` (1-based) saw the screen.

    Its saccade onsets are added to the model's; its path replaces the default path, but no other.
    """
    table = np.array(TRAIN if split == "Train" else TEST)
    second, third = (round(1000 * float(np.interp(number, table[:, 0], column))) for column in table.T[1:])
    first = model.onset_us
    path = model.path
    if path == KNOTS and (split == "Test" or number > _FIRST_SESSION):
        path = TEST_KNOTS if split == "Test" else LATE_KNOTS
    return dataclasses.replace(model, path=path, onset_us=(first[0], first[1] + second, first[2] + third))
