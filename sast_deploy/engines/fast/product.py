"""Products of matrices for layers with many events: all steps of a tile in one int8 product of torch.

A convolution first copies what each place sees into a row. Torch's product of two int8 matrices accumulates
in int32, so it is exact where int8 holds weights and inputs and int32 the sum (bounds.py). Some processors'
int8 instructions saturate in between; `exact_here` looks.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.fast.lanekernels import copy_seen
from sast_deploy.engines.fast.plan import SpikingPlan
from sast_deploy.program.program import Dense

INT8_MAX = np.iinfo(np.int8).max
NO_SUMS = np.empty((0, 0, 0), np.int32)


def product_sums(plan: SpikingPlan, x: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Weighted sums (samples, T, places * lanes) of inputs (samples, T, size or more).

    None where int8 cannot hold the inputs.
    """
    if x.max(initial=0) > INT8_MAX:
        return NO_SUMS
    table = plan.synapses.weight[: plan.layer.weight[0].size]
    if isinstance(plan.layer, Dense):
        rows = x[:, :, : len(table)].reshape(-1, len(table))
    else:
        synapses, places = plan.synapses, len(plan.synapses.segment_of) - 1
        rows = np.zeros((x.shape[0] * x.shape[1] * places, len(table)), np.uint8)
        unit = int(np.searchsorted(synapses.unit_of, 1))
        copy_seen(x, synapses.segment_of, synapses.segments, unit, rows)
    return int8_product(rows.view(np.int8), table).reshape(*x.shape[:2], -1)


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
