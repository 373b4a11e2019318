"""Lava NetX's HDF5 files: ours, and in foreign/ other people's."""
