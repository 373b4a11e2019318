"""Facts of a run and of a network, as frozen values."""
