"""Reading files that nobody vouches for, one helper a format: only regular files, named for what they are,
their sizes checked before anything is read, and one line of error where they are something else.

files.py opens and identifies; documents.py parses JSON and TOML; arrays.py reads .npy; hdf5.py opens HDF5;
torchfile.py reads checkpoints.
"""

from sast_deploy.base.reading.files import Expected, open_regular, read_bytes

__all__ = ["Expected", "open_regular", "read_bytes"]
