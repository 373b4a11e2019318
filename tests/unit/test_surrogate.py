from __future__ import annotations

import math

import pytest
import torch

from sast_deploy.training.network.lif import step
from sast_deploy.training.network.surrogates import ARCTAN

# sigma(x) = 1/2 + arctan(25 x)/pi at 25 x = 0, +-1, +-sqrt(3), where arctan is 0, pi/4, pi/3
TABLE = [
    (0.0, 1 / 2, 25 / math.pi),
    (1 / 25, 3 / 4, 25 / (2 * math.pi)),
    (-1 / 25, 1 / 4, 25 / (2 * math.pi)),
    (math.sqrt(3) / 25, 5 / 6, 25 / (4 * math.pi)),
    (-math.sqrt(3) / 25, 1 / 6, 25 / (4 * math.pi)),
]


@pytest.mark.parametrize(("x", "spike", "slope"), TABLE)
def test_arctan_at_its_exact_points(x: float, spike: float, slope: float) -> None:
    value = torch.tensor([x], dtype=torch.float64)
    assert ARCTAN.spike(value, 25.0).item() == pytest.approx(spike, abs=1e-15)
    assert ARCTAN.slope(value, 25.0).item() == pytest.approx(slope, rel=1e-14)


def test_slope_is_the_derivative() -> None:
    x = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ARCTAN.spike(x, 25.0).sum(), x)
    torch.testing.assert_close(ARCTAN.slope(x, 25.0), gradient)


def test_step_is_one_at_zero_and_keeps_the_dtype() -> None:
    x = torch.tensor([-1.0, -1e-30, -0.0, 0.0, 1e-30], dtype=torch.float32)
    assert step(x).tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert step(x.double()).dtype == torch.float64


def test_arctan_tends_to_the_step() -> None:
    x = torch.tensor([-0.5, -0.01, 0.01, 0.5], dtype=torch.float64)
    torch.testing.assert_close(ARCTAN.spike(x, 1e9), step(x), atol=1e-6, rtol=0)
