"""What a trained network is like beyond its accuracy: margins, robustness, contraction, thresholds, tests."""

from __future__ import annotations

from sast_deploy.analysis.compare import Comparison, accuracies, compare
from sast_deploy.analysis.contraction import Contraction, contraction
from sast_deploy.analysis.corruption import Corruption, Level
from sast_deploy.analysis.drop import event_drop, unclipped
from sast_deploy.analysis.margins import Margins, margins
from sast_deploy.analysis.noise import weight_noise
from sast_deploy.analysis.pairs import PairCheck, check_pairs
from sast_deploy.analysis.stream import Predictions, predict
from sast_deploy.analysis.study import PARTS, analyse
from sast_deploy.analysis.thresholds import ThresholdTuning, tune_thresholds

__all__ = [
    "PARTS",
    "Comparison",
    "Contraction",
    "Corruption",
    "Level",
    "Margins",
    "PairCheck",
    "Predictions",
    "ThresholdTuning",
    "accuracies",
    "analyse",
    "check_pairs",
    "compare",
    "contraction",
    "event_drop",
    "margins",
    "predict",
    "tune_thresholds",
    "unclipped",
    "weight_noise",
]
