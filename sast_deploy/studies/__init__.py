"""Many networks: analyses of checkpoints, sweeps, and the tables made of them."""
