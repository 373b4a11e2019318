"""Frames -> a trained network: SAM on the surrogate-forward loss, checkpoints, evaluation."""
