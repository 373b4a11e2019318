"""Dense integer products for layers with many events: all steps of a tile in one int8 product of torch.

Torch's product of two int8 matrices accumulates in int32, so it is exact where int8 holds weights and inputs
and int32 the sum (bounds.py). Some processors' int8 instructions saturate in between; `exact_here` looks.
Importing torch takes longer than many a run, so it is done only where the product saves more than that.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.fast.neurons import RECURRENT
from sast_deploy.engines.fast.plan import SpikingPlan
from sast_deploy.program.program import Dense

INT8_MAX = np.iinfo(np.int8).max
NO_SUMS = np.empty((0, 0, 0), np.int32)
DENSE_FROM = 0.25  # share of nonzero inputs from which the dense product is the faster one (bench_fast.py)
WORTH_IMPORTING = 1e11  # additions of rows that take about as long as importing torch


def worthwhile(plan: SpikingPlan, density: float, rows: int) -> bool:
    """Whether `rows` more inputs of such density are faster in a dense product, torch's import included.

    Only a layer that is a plain product in int8 and int32 can have one.
    """
    plain = isinstance(plan.layer, Dense) and plan.rules[RECURRENT] < 0 and not plan.synapses.delays.any()
    if density < DENSE_FROM or not plain or plan.widths.weight is not np.int8:
        return False
    work = density * rows * plan.synapses.weight.size
    return ("torch" in sys.modules or work > WORTH_IMPORTING) and exact_here()


def dense_sums(plan: SpikingPlan, x: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Weighted sums (samples, T, lanes) of inputs (samples, T, size); none where int8 cannot hold them."""
    if x.max(initial=0) > INT8_MAX:
        return NO_SUMS
    inputs = plan.layer.weight.shape[1]
    rows = x[:, :, :inputs].reshape(-1, inputs)
    return int8_product(rows.view(np.int8), plan.synapses.weight[:inputs]).reshape(*x.shape[:2], -1)


def int8_product(a: npt.NDArray[np.int8], b: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """a b, int32 (m, n), of a (m, k) and b (k, n)."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        left, right = torch.from_numpy(a), torch.from_numpy(b)
    product: npt.NDArray[np.int32] = torch._int_mm(left, right).numpy()
    return product


@cache
def exact_here() -> bool:
    """Whether the product is exact on this machine at the ends of int8, where sums in between are largest."""
    try:
        a = np.resize(np.array([127, 127, 127, 0, 1, 127], np.int8), (64, 320))
        b = np.resize(np.array([127, -128, -128, 127, 127], np.int8), (320, 64))
        return np.array_equal(int8_product(a, b), a.astype(np.int32) @ b.astype(np.int32))
    except (AttributeError, RuntimeError):  # a torch without this product
        return False
