"""How the parameters of the simulated camera were measured: run once, on real recordings."""
