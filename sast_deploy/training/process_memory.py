"""How much memory a training used, and how convolutions get theirs without waiting for the kernel."""

from __future__ import annotations

import ctypes
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
MMAP_MAX, TRIM_THRESHOLD = 65_536, 128 * 1024  # its defaults


def peak_memory_mb(device: torch.device) -> float:
    """Most memory this process has used so far, in MiB: on the GPU what tensors took, else resident memory.

    Resident memory counts the pages of memory-mapped frames that were read, too.
    """
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    # A child process inherits its parent's ru_maxrss on Linux, so that is only the second choice.
    kilobytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 2**10


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Freed memory stays with this process until the end, where malloc is glibc's and the device the CPU.

    malloc gives tensors of more than 32 MiB, as convolutions of 128 samples make by the dozen, back to the
    kernel at once and gets them back page by page, zeroed: a third of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if device.type == "cpu" else None
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(M_MMAP_MAX, MMAP_MAX)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
