"""Simulators of integer programs: the reference in Python integers, and Lava."""
