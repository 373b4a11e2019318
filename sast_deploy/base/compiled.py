"""Numba's compiler as all kernels use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile without Python's lock; keep the machine code on disk where a folder for it can be written.

    options: what `numba.njit` takes besides. Works for a user who may write neither the package's folder nor
    a home: the code is compiled in memory then.
    """
    settings = {"nogil": True, **options}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            kernel: Any = numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
            return numba.njit(**settings)(function)
        # Numba reuses the machine code as long as the function's own file has not changed, but code from
        # other files of its folder is compiled into it, too: let it watch all of them.
        stored: Any = getattr(kernel._cache, "_cache_file", None)
        if hasattr(stored, "_source_stamp"):
            stored._source_stamp = (stored._source_stamp, source_digest(_folder(function)))
        return kernel

    return decorate


def inlined(function: Callable[..., Any]) -> Any:
    """A part of kernels: its body takes the place of each call, which saves passing arrays around."""
    return numba.njit(inline="always", error_model="numpy")(function)


@cache
def source_digest(folder: Path) -> str:
    """SHA-256 of all files of a folder, which the kernels there may be made of."""
    sha = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _folder(function: Callable[..., Any]) -> Path:
    return Path(function.__code__.co_filename).parent
