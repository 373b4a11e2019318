"""A network as memories for hardware: one file an array for $readmemh, and a header of parameters."""
