"""The compiled loops of training: event lists by hand, and the same bits whatever registers there are."""

from __future__ import annotations

import os
import subprocess
import sys

import llvmlite.binding
import numpy as np
import pytest

from sast_deploy.training.kernels import threads
from sast_deploy.training.kernels.events import count_nonzeros, event_rows
from sast_deploy.training.kernels.threads import share
from sast_deploy.training.kernels.vectors import LANES, padded


def test_events_by_hand() -> None:
    x = np.zeros((3, 8), np.float32)
    x[0, 2], x[2, 0], x[2, 7] = 0.5, 0.25, -1.0
    rows = event_rows(x, np.arange(3))
    assert [rows.starts.tolist(), rows.columns.tolist(), rows.values.tolist()] == [
        [0, 1, 1, 3], [2, 0, 7], [0.5, 0.25, -1.0],
    ]  # fmt: skip
    turned = rows.transposed()
    assert [turned.starts.tolist(), turned.columns.tolist(), turned.values.tolist()] == [
        [0, 1, 1, 2, 2, 2, 2, 2, 3], [2, 0, 2], [0.25, 0.5, -1.0],
    ]  # fmt: skip
    assert rows.density == turned.density == 3 / 24


@pytest.mark.parametrize("width", [1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_events_of_chosen_rows(width: int, dtype: type) -> None:
    """In any order and more than once, times the unit; the matrix and its transpose come back."""
    rng = np.random.default_rng(width)
    matrix = (rng.integers(0, 5, (9, width)) * (rng.random((9, width)) < 0.3)).astype(dtype)
    order = np.array([8, 0, 3, 3])
    wanted = matrix[order] * np.float32(0.2)
    rows = event_rows(matrix, order, unit=0.2)
    assert rows.values.dtype == np.float32
    assert np.array_equal(rows.dense(), wanted)
    assert np.array_equal(rows.transposed().dense(), wanted.T)
    assert count_nonzeros(matrix, order).tolist() == (wanted != 0).sum(1).tolist()


def test_what_is_no_number_is_an_event() -> None:
    x = np.zeros((1, 70), np.float32)
    x[0, 3], x[0, 66], x[0, 69] = np.nan, -np.inf, -0.0
    assert event_rows(x, np.arange(1)).columns.tolist() == [3, 66]


def test_no_rows_and_no_events() -> None:
    nothing = event_rows(np.zeros((4, 5), np.uint8), np.arange(0))
    assert nothing.dense().shape == (0, 5)
    assert nothing.transposed().dense().shape == (5, 0)
    assert nothing.density == 0.0


@pytest.mark.parametrize("width", [1, 16, 17])
def test_padded_rows_are_whole_vectors_on_their_boundaries(width: int) -> None:
    rows = padded(3, width)
    assert rows.shape == (3, -(-width // LANES) * LANES)
    assert rows.ctypes.data % (4 * LANES) == 0


@pytest.mark.parametrize(("items", "cost", "parts"), [(10, 1e9, 3), (2, 1e9, 2), (10, 1.0, 1), (0, 1e9, 1)])
def test_work_is_shared_where_it_is_worth_it(
    items: int, cost: float, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_threads", lambda: 3)
    seen: list[tuple[int, int]] = []
    share(items, lambda low, high: seen.append((low, high)), cost)
    assert len(seen) == parts
    assert sorted(item for low, high in seen for item in range(low, high)) == list(range(items))


def test_what_a_part_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(low: int, high: int) -> None:
        if high == 2:
            raise ValueError("broken")

    monkeypatch.setattr(threads, "_threads", lambda: 2)
    with pytest.raises(ValueError, match="broken"):
        share(2, work)


NARROW = """
import hashlib, llvmlite.binding, numpy as np
features = llvmlite.binding.get_host_cpu_features
if {narrow}:
    llvmlite.binding.get_host_cpu_features = dict
from sast_deploy.training.kernels import vectors
llvmlite.binding.get_host_cpu_features = features
from sast_deploy.training.kernels.events import *
assert vectors.ROW_VECTORS == (6 if {narrow} else vectors.ROW_VECTORS)
rng = np.random.default_rng(0)
x = (rng.random((37, 150)) * (rng.random((37, 150)) < 0.3)).astype(np.float32)
sha = hashlib.sha256()
for outputs in (5, 40, 168, 300):
    table, first = padded(150, outputs), padded(1, outputs)[0]
    table[:], first[:] = rng.standard_normal(table.shape), rng.standard_normal(first.shape)
    rows = event_rows(x, np.arange(37))
    y = rows.times(table, first)
    assert np.array_equal(y, dense_times(x, table, first))
    assert np.abs(y - (x.astype(float) @ table + first)).max() < 1e-4
    grad = y[:, :outputs].copy()
    wide = padded(37, outputs)
    wide[:] = y
    turned = rows.transposed().times(wide, np.zeros(wide.shape[1], np.float32))
    assert np.array_equal(turned, dense_transposed_times(x, wide, np.zeros(wide.shape[1], np.float32)))
    sha.update(y.tobytes() + turned.tobytes())
print(sha.hexdigest())
"""


@pytest.mark.slow
def test_fewer_and_narrower_registers_give_the_same_bits() -> None:
    """As on a processor without AVX512: other blocks, other machine code, the same order of additions."""
    found = set()
    for narrow, processor in ((False, {}), (True, {}), (True, {"NUMBA_CPU_NAME": "haswell"})):
        if processor and not llvmlite.binding.get_host_cpu_features().get("fma"):
            continue
        environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", **processor}
        command = [sys.executable, "-c", NARROW.format(narrow=narrow)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
