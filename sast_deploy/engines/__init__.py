"""What runs a program: the reference, which is the specification, and fast and Lava, which equal it."""
