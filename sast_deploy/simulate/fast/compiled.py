"""Numba's compiler as the kernels use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile without Python's lock; keep the machine code on disk where a folder for it can be written."""
    try:
        kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return numba.njit(nogil=True, error_model="numpy")(function)
    # Numba reuses the machine code as long as the function's own file has not changed, but code from our
    # other files is compiled into it, too: let it watch all of them.
    stored: Any = getattr(kernel._cache, "_cache_file", None)
    if hasattr(stored, "_source_stamp"):
        stored._source_stamp = (stored._source_stamp, source_digest())
    return kernel


def inlined(function: Callable[..., Any]) -> Any:
    """A part of kernels: its body takes the place of each call, which saves passing arrays around."""
    return numba.njit(inline="always", error_model="numpy")(function)


@cache
def source_digest() -> str:
    """SHA-256 of all files beside this one that kernels may be made of."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()
