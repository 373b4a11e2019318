"""When N-MNIST's saccades began: the timing drifts over the recording sessions.

Real recordings of small numbers and of number 15,000 differ by 5 ms in the start of the third saccade (with a
jump at about 14,450), the Test recordings by as much from the first Train recordings. That alone changes the
events of a quiet time bin by half, so a simulated recording that is compared with the real one of the
same number takes the onsets of that number.

Measured with `sast_deploy.data.calibrate.measure_onsets`: the shift in time that lays the simulated curve of
events per millisecond over the real one, about 100 recordings a row; Test: numbers 1 to 100 only.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sast_deploy.data.idx import Split
from sast_deploy.data.pixelmodel import PixelModel

# Image number, shift of the second and of the third saccade against the default path; milliseconds.
TRAIN = (
    (500, 0.0, 0.0), (3000, 0.6, -0.5), (7500, 0.6, -0.7), (12000, 0.5, -1.4), (14450, 0.4, -1.4),
    (14451, 0.3, 4.4), (16500, 0.3, 4.4), (21000, 0.7, 2.8), (26000, 1.3, 2.4), (30000, 1.7, 1.7),
    (34000, 1.3, 1.7), (38000, -0.3, 3.9), (41500, 0.3, 3.6), (44500, 0.6, 4.7), (46500, 0.6, 3.2),
    (48500, 1.3, 1.4), (51500, 0.7, 0.7), (54500, 2.4, 0.5), (58000, 1.7, -0.2),
)  # fmt: skip
TEST = ((50, -1.5, 4.6),)


def session_model(model: PixelModel, number: int, split: Split) -> PixelModel:
    """`model` with the saccade onsets of N-MNIST's recording `number` (1-based) added to its own."""
    table = np.array(TRAIN if split == "Train" else TEST)
    later = [round(1000 * float(np.interp(number, table[:, 0], column))) for column in table.T[1:]]
    first, second, third = model.onset_us
    return dataclasses.replace(model, onset_us=(first, second + later[0], third + later[1]))
