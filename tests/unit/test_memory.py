from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from sast_deploy.training.process_memory import kept_memory, peak_memory_mb

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def test_the_peak_counts_what_was_used_and_given_back() -> None:
    before = peak_memory_mb(CPU)
    np.ones((int(before) + 64) << 17).sum()  # float64: so many MiB, on top of what is there
    after = peak_memory_mb(CPU)
    assert after >= 1.5 * before + 60
    assert peak_memory_mb(CPU) >= after - 1


def test_a_child_does_not_inherit_its_parents_peak() -> None:
    held = np.ones(600 << 17)
    script = (
        "import torch\nfrom sast_deploy.training.process_memory import peak_memory_mb as p\n"
        "print(p(torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert 50 < float(done.stdout) < peak_memory_mb(CPU)
    assert held.nbytes < peak_memory_mb(CPU) * 2**20


FAULTS = """
import ctypes
import resource
import torch
from sast_deploy.training.process_memory import kept_memory

class Info(ctypes.Structure):  # malloc.h: struct mallinfo; hblks counts the blocks that came from mmap
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_int) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo
mallinfo.restype = Info

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16 << 20, dtype=torch.float32)  # 64 MiB, touched and given back
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def mapped(gib):
    before = mallinfo().hblks
    huge = torch.empty(gib << 30, dtype=torch.uint8)  # never touched, and more than can be left over
    return mallinfo().hblks - before

torch.set_num_threads(1)
outside = min(faults() for _ in range(5)), mapped(1)
with kept_memory(torch.device("cpu")):
    # Small blocks may land in what was given back, and the heap grows a few times.
    inside = min(faults() for _ in range(5)), mapped(1)
print(*outside, *inside, mapped(3))
"""


def test_inside_freed_memory_stays_and_outside_it_goes_back() -> None:
    """Counted, not timed: a page that went back to the kernel faults when it is touched again."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("malloc is not glibc's")
    done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    outside, mapped_outside, inside, mapped_inside, mapped_after = map(int, done.stdout.split())
    assert outside >= 4 * 64 // 2  # the kernel may give 2 MiB at a fault
    assert inside <= outside // 10
    assert (mapped_outside, mapped_inside, mapped_after) == (1, 0, 1)


def test_results_are_the_same_and_errors_pass() -> None:
    with kept_memory(CPU):
        first = torch.arange(12_000_000, dtype=torch.float32).sum()
        with kept_memory(torch.device("cuda")):  # nothing to do there
            second = torch.arange(12_000_000, dtype=torch.float32).sum()
    assert torch.equal(first, second)
    with pytest.raises(KeyError), kept_memory(CPU):
        raise KeyError(os.getpid())
