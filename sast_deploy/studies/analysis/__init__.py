"""What a trained network is like beyond its accuracy: margins, robustness, contraction, thresholds, tests."""

from __future__ import annotations

from sast_deploy.studies.analysis.contraction import Contraction, contraction
from sast_deploy.studies.analysis.corruption import Corruption, Level
from sast_deploy.studies.analysis.drop import event_drop, unclipped
from sast_deploy.studies.analysis.duel import Duel, accuracies, compare, tell_apart
from sast_deploy.studies.analysis.margins import Margins, margins
from sast_deploy.studies.analysis.noise import weight_noise
from sast_deploy.studies.analysis.pairs import PairCheck, check_pairs
from sast_deploy.studies.analysis.stream import Predictions, predict
from sast_deploy.studies.analysis.study import analyse, measure
from sast_deploy.studies.analysis.thresholds import ThresholdTuning, tune_thresholds

__all__ = [
    "Contraction",
    "Corruption",
    "Duel",
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
    "measure",
    "predict",
    "tell_apart",
    "tune_thresholds",
    "unclipped",
    "weight_noise",
]
