"""Numba's compiler as the kernels use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile without Python's lock; keep the machine code on disk where a folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return numba.njit(nogil=True, error_model="numpy")(function)
