"""What runs a program: the reference, which is the specification; vectorised, fast, Lava and RTL equal it."""

from typing import Literal, get_args

# Here, where naming them loads none of them.
EngineName = Literal["reference", "vectorised", "fast", "lava", "rtl"]
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)
INSTALLED: tuple[EngineName, ...] = ENGINE_NAMES[:-1]  # without what needs a simulator of hardware
