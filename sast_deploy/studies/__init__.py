"""Many networks: analyses of checkpoints, sweeps, and the tables made of them."""

ANALYSES = ("drop", "noise", "margins", "contraction", "thresholds")  # here, where naming them loads nothing
TRAINERS_OWN = ("contraction", "thresholds")  # need the surrogate and the validation part of our trainer
