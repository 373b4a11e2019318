"""What all the rest may use: errors, files, strict settings, progress, versions, the numba decorator."""
