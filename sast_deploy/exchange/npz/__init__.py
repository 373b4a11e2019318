"""A network as NumPy arrays with a standalone runner."""
