"""What runs a program: the reference, which is the specification; vectorised, fast and Lava equal it."""

from typing import Literal, get_args

EngineName = Literal["reference", "vectorised", "fast", "lava"]  # here, where naming them loads none of them
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)
