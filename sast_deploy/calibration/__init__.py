"""Integers chosen on data: a network that loses as little as its bits allow. NumPy only.

A pass (solve.py) takes the layers in order, each with the inputs that the integer layers below it really
send: moments.py measures them, scales.py and rounding.py choose, hidden.py and readout.py put a layer
together. steps.py adds one option after the other and keeps what helps (objective.py).
"""

from sast_deploy.calibration.ablation import AblationRow, ablate
from sast_deploy.calibration.objective import Score
from sast_deploy.calibration.samples import Samples, draw
from sast_deploy.calibration.steps import STEPS, Calibrated, StepGain, calibrate, ordered_steps

__all__ = [
    "STEPS", "AblationRow", "Calibrated", "Samples", "Score", "StepGain", "ablate", "calibrate", "draw",
    "ordered_steps",
]  # fmt: skip
