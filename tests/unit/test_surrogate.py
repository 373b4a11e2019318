from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import numba
import numpy as np
import pytest
import torch

from sast_deploy.commands.network import SURROGATES as OFFERED
from sast_deploy.training.kernels import membranes
from sast_deploy.training.kernels.membranes import CODES, SurrogateName
from sast_deploy.training.network.lif import step
from sast_deploy.training.network.surrogates import ARCTAN, SURROGATES, Surrogate

of_all = pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
# sigma(x) = 1/2 + arctan(25 x)/pi at 25 x = 0, +-1, +-sqrt(3), where arctan is 0, pi/4, pi/3
TABLE = [
    (0.0, 1 / 2, 25 / math.pi),
    (1 / 25, 3 / 4, 25 / (2 * math.pi)),
    (-1 / 25, 1 / 4, 25 / (2 * math.pi)),
    (math.sqrt(3) / 25, 5 / 6, 25 / (4 * math.pi)),
    (-math.sqrt(3) / 25, 1 / 6, 25 / (4 * math.pi)),
]
LN3, LN4 = math.log(3), math.log(4)
# (surrogate, k x, sigma, sigma' / k)
EXACT = [
    ("fast-sigmoid", 0.0, 1 / 2, 1 / 2), ("fast-sigmoid", 1.0, 3 / 4, 1 / 8),
    ("fast-sigmoid", -3.0, 1 / 8, 1 / 32),
    ("sigmoid", 0.0, 1 / 2, 1 / 4), ("sigmoid", LN3, 3 / 4, 3 / 16), ("sigmoid", -LN3, 1 / 4, 3 / 16),
    ("spike-rate-escape", 0.0, 1 / 2, 1 / 2), ("spike-rate-escape", -LN4, 1 / 8, 1 / 8),
    ("spike-rate-escape", LN4, 7 / 8, 1 / 8),
    ("triangular", 0.0, 1 / 2, 1.0), ("triangular", 0.5, 7 / 8, 1 / 2), ("triangular", -0.5, 1 / 8, 1 / 2),
    ("triangular", -1.0, 0.0, 0.0), ("triangular", 2.0, 1.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("x", "spike", "slope"), TABLE)
def test_arctan_at_its_exact_points(x: float, spike: float, slope: float) -> None:
    value = torch.tensor([x], dtype=torch.float64)
    assert ARCTAN.spike(value, 25.0).item() == pytest.approx(spike, abs=1e-15)
    assert ARCTAN.slope(value, 25.0).item() == pytest.approx(slope, rel=1e-14)


@pytest.mark.parametrize(("name", "z", "spike", "slope"), EXACT)
def test_the_others_at_exact_points(name: SurrogateName, z: float, spike: float, slope: float) -> None:
    x = torch.tensor([z / 8], dtype=torch.float64)
    assert SURROGATES[name].spike(x, 8.0).item() == pytest.approx(spike, abs=1e-15)
    assert SURROGATES[name].slope(x, 8.0).item() == pytest.approx(8 * slope, rel=1e-14)


@of_all
def test_slope_is_the_derivative(surrogate: Surrogate) -> None:
    """By central differences that step over no kink; and in place it is the same, bit for bit."""
    x = torch.linspace(-2, 2, 1001, dtype=torch.float64) + 1e-4
    k, h = 3.0, 1e-6
    difference = (surrogate.spike(x + h, k) - surrogate.spike(x - h, k)) / (2 * h)
    torch.testing.assert_close(surrogate.slope(x, k), difference, rtol=1e-7, atol=1e-9)
    for dtype in (torch.float32, torch.float64):
        y = x.to(dtype)
        assert torch.equal(surrogate.slope(y, k), surrogate.slope_(y.clone(), k))
        assert torch.equal(surrogate.spike(y, k), surrogate.spike_(y.clone(), k))


@of_all
def test_each_is_a_distribution(surrogate: Surrogate) -> None:
    """Monotone from 0 to 1, point-symmetric, 1/2 at 0; the density integrates to its area."""
    z = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    s, f = surrogate.spike(z, 1.0), surrogate.slope(z, 1.0)
    assert bool((s.diff() >= 0).all())
    torch.testing.assert_close(s + s.flip(0), torch.ones_like(s), rtol=0, atol=1e-12)
    assert surrogate.spike(torch.zeros(1), 7.0).item() == 0.5
    assert float(torch.trapezoid(f, z)) == pytest.approx(float(s[-1] - s[0]), abs=1e-8)
    far = torch.tensor([-1e12, 1e12, math.inf, -math.inf], dtype=torch.float64)
    ends = torch.tensor([0.0, 1, 1, 0]).double()
    torch.testing.assert_close(surrogate.spike(far, 1.0), ends, rtol=0, atol=1e-11)


@of_all
def test_constants_are_the_suprema(surrogate: Surrogate) -> None:
    """Steepest slope, largest |x| sigma' and the Lipschitz constant of sigma', on a grid of 1e-4 / k."""
    k = 5.0
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64) / k
    f = surrogate.slope(x, k)
    assert float(f.max()) == pytest.approx(surrogate.steepest(k), rel=1e-12)
    assert float((x.abs() * f).max()) == pytest.approx(surrogate.reach, rel=1e-7)
    assert float((x.abs() * f).max()) <= surrogate.reach * (1 + 1e-12)
    bend = float((f.diff() / x.diff()).abs().max())
    assert bend == pytest.approx(surrogate.smoothness(k), rel=3e-4)
    assert bend <= surrogate.smoothness(k) * (1 + 1e-9)


@of_all
def test_kinks_are_where_the_second_derivative_jumps(surrogate: Surrogate) -> None:
    z = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    curved = surrogate.slope(z, 1.0).diff() / z.diff()  # of sigma' between neighbours
    jumps = z[1:-1][(curved.diff().abs() > 0.1)]
    assert sorted({round(float(each), 2) for each in jumps}) == list(surrogate.kinks)


def test_what_other_frameworks_call_k() -> None:
    """snnTorch's gradients with their own parameters: equal, or k / 2 times theirs of height 1."""
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    k = 9.0
    alpha = 2 * k / math.pi
    torch.testing.assert_close(ARCTAN.slope(x, k), alpha / 2 / (1 + (math.pi / 2 * alpha * x) ** 2))
    fast = 1 / (k * x.abs() + 1) ** 2
    torch.testing.assert_close(SURROGATES["fast-sigmoid"].slope(x, k), k / 2 * fast)
    sigmoid = k * torch.exp(-k * x) / (torch.exp(-k * x) + 1) ** 2
    torch.testing.assert_close(SURROGATES["sigmoid"].slope(x, k), sigmoid)
    escape = (k / 2) * torch.exp(-k * x.abs())  # its slope k / 2, its beta k, its peak moved to the threshold
    torch.testing.assert_close(SURROGATES["spike-rate-escape"].slope(x, k), escape)


def test_step_is_one_at_zero_and_keeps_the_dtype() -> None:
    x = torch.tensor([-1.0, -1e-30, -0.0, 0.0, 1e-30], dtype=torch.float32)
    assert step(x).tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert step(x.double()).dtype == torch.float64


@of_all
def test_all_tend_to_the_step(surrogate: Surrogate) -> None:
    x = torch.tensor([-0.5, -0.01, 0.01, 0.5], dtype=torch.float64)
    torch.testing.assert_close(surrogate.spike(x, 1e9), step(x), atol=1e-6, rtol=0)


def test_one_list_of_names() -> None:
    assert list(get_args(SurrogateName)) == list(SURROGATES) == list(CODES) == OFFERED


def by_kernel(spike: Any) -> Callable[[np.ndarray], np.ndarray]:
    def each(x: Any, out: Any) -> None:
        for index in range(len(x)):
            out[index] = spike(x[index])

    kernel = numba.njit(error_model="numpy", fastmath={"contract"})(each)

    def call(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        kernel(x, out)
        return out

    return call


@pytest.mark.parametrize("name", ["fast-sigmoid", "sigmoid", "spike-rate-escape", "triangular"])
def test_compiled_spikes_are_exact_to_some_units_in_the_last_place(name: SurrogateName) -> None:
    """In the tails too; of the triangular's, whose 1 - |z| cancels, to units of the rounding of z."""
    inside = {
        "fast-sigmoid": membranes.fast_sigmoid_spike, "sigmoid": membranes.sigmoid_spike,
        "spike-rate-escape": membranes.escape_spike, "triangular": membranes.triangular_spike,
    }  # fmt: skip
    run = by_kernel(inside[name])
    size = np.concatenate([np.linspace(0, 4, 40_001), 10 ** np.linspace(-30, 1.5, 20_001)])
    x = np.concatenate([-size, size]).astype(np.float32)
    found = run(x)
    exact = SURROGATES[name].spike(torch.from_numpy(x.astype(np.float64)), 1.0).numpy()
    unit = np.spacing(np.maximum(exact, 1e-30).astype(np.float32)) if name != "triangular" else 2**-24
    assert (np.abs(found - exact) / unit).max() < 4
    limits = run(np.array([np.inf, -np.inf, np.nan, 0.0], np.float32))
    assert limits[[0, 1, 3]].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(limits[2])
