from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sast_deploy.training.network import lif as lif_module
from sast_deploy.training.network.lif import Reset, arctan_slope, arctan_spike, lif, lif_states, step


def random_layer(seed: int, steps: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    current = 2 * torch.rand(steps, 3, 4, generator=generator, dtype=torch.float64) - 0.5
    theta = 0.5 + torch.rand(4, generator=generator, dtype=torch.float64)
    return current.requires_grad_(), theta


def hard_lif(
    current: torch.Tensor, theta: torch.Tensor, alpha: float, reset: Reset = "subtract"
) -> torch.Tensor:
    return lif_states(current, theta, alpha, None, reset)[1]


def lif_by_autograd(
    current: torch.Tensor, theta: torch.Tensor, alpha: float, k: float, reset: Reset = "subtract"
) -> torch.Tensor:
    """`lif` as plain torch operations, slow and obvious."""
    u = torch.zeros_like(current[0])
    s = torch.zeros_like(current[0])
    spikes = []
    for current_t in current:
        u = alpha * u * (1 - s) + current_t if reset == "zero" else alpha * u + current_t - theta * s
        s = arctan_spike(u - theta, k)
        spikes.append(s)
    return torch.stack(spikes)


def test_backward_matches_finite_differences() -> None:
    current, theta = random_layer(0)
    assert torch.autograd.gradcheck(lambda i: lif(i, theta, 0.5, 5.0), (current,))


def test_forward_and_backward_match_the_obvious_loop() -> None:
    current, theta = random_layer(1, steps=10)
    weight = torch.randn(10, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours, obvious = lif(current, theta, 0.5, 25.0), lif_by_autograd(current, theta, 0.5, 25.0)
    torch.testing.assert_close(ours, obvious, rtol=1e-12, atol=1e-14)
    gradients = [torch.autograd.grad((s * weight).sum(), current)[0] for s in (ours, obvious)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


def test_channel_thresholds_broadcast_over_a_map() -> None:
    current = torch.rand(3, 2, 4, 5, 5, dtype=torch.float64)
    theta = torch.tensor([0.3, 0.6, 0.9, 1.2], dtype=torch.float64)
    whole = lif(current, theta[:, None, None], 0.5, 25.0)
    for channel in range(4):
        alone = lif(current[:, :, channel], theta[channel], 0.5, 25.0)
        torch.testing.assert_close(whole[:, :, channel], alone, rtol=0, atol=0)


def test_hard_spikes_by_hand() -> None:
    """alpha 1/2, theta 1, constant input 3/4: u = .75, 1.125*, .3125, .90625, 1.203125* (* spikes)."""
    current = torch.full((5, 1, 1), 0.75, dtype=torch.float64)
    spikes = hard_lif(current, torch.ones(1, dtype=torch.float64), 0.5)
    assert spikes.flatten().tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


def test_hard_reset_subtracts_one_step_late_and_exact_threshold_fires() -> None:
    """u = 1 fires (H(0) = 1); then u = 1/2 - 1 + 1/2 = 0, not 1/2 * 0 + 1/2."""
    current = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    spikes = hard_lif(current, torch.ones(1, dtype=torch.float64), 0.5)
    assert spikes.flatten().tolist() == [1.0, 0.0, 1.0]


def test_smooth_spikes_by_hand() -> None:
    """u_1 = 1 gives s_1 = 1/2; u_2 = 1/2 + I_2 - 1/2 = I_2 = 1.04, 25 (u - theta) = 1, s_2 = 3/4."""
    current = torch.tensor([1.0, 1.04], dtype=torch.float64).reshape(2, 1, 1)
    spikes = lif(current, torch.ones(1, dtype=torch.float64), 0.5, 25.0).flatten()
    torch.testing.assert_close(spikes, torch.tensor([0.5, 0.75], dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_steep_slope_tends_to_hard_spikes() -> None:
    current, theta = random_layer(3)
    torch.testing.assert_close(
        lif(current, theta, 0.5, 1e12).detach(), hard_lif(current, theta, 0.5), atol=1e-6, rtol=0
    )


def test_inputs_are_left_alone_and_calls_share_no_state() -> None:
    current, theta = random_layer(4)
    before = current.detach().clone()
    first = lif(current, theta, 0.5, 25.0)
    first.sum().backward()  # type: ignore[no-untyped-call]
    second = lif(current, theta, 0.5, 25.0)
    assert torch.equal(first, second)
    assert torch.equal(current.detach(), before)


def test_gradient_growth_is_bounded_by_gamma() -> None:
    """One step back multiplies by alpha - theta sigma', so |d I_1| <= max(alpha, |alpha - theta k/pi|)."""
    current = torch.rand(2, 50, 1, dtype=torch.float64, requires_grad=True)
    theta, k = torch.ones(1, dtype=torch.float64), 2.0
    spikes = lif(current, theta, 0.5, k)
    (gradient,) = torch.autograd.grad(spikes[1].sum(), current)
    bound = max(0.5, abs(0.5 - k / math.pi)) * gradient[1].abs()
    assert bool((gradient[0].abs() <= bound + 1e-15).all())


def test_reset_to_zero_by_hand() -> None:
    """alpha 1/2, theta 1, I = 1 1/2 1 3/4 3/4: u = 1*, (1/2 * 0 +) 1/2, 5/4*, 3/4, 9/8* (* spikes)."""
    current = torch.tensor([1.0, 0.5, 1.0, 0.75, 0.75], dtype=torch.float64).reshape(5, 1, 1)
    u, s = lif_states(current, torch.ones(1, dtype=torch.float64), 0.5, None, "zero")
    assert u.flatten().tolist() == [1.0, 0.5, 1.25, 0.75, 1.125]
    assert s.flatten().tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert torch.equal(hard_lif(current, torch.ones(1, dtype=torch.float64), 0.5, "zero"), s)


def test_reset_to_zero_matches_finite_differences_and_the_obvious_loop() -> None:
    current, theta = random_layer(0)
    assert torch.autograd.gradcheck(lambda i: lif(i, theta, 0.5, 5.0, reset="zero"), (current,))
    weight = torch.randn(6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours, obvious = (f(current, theta, 0.5, 25.0, reset="zero") for f in (lif, lif_by_autograd))
    torch.testing.assert_close(ours, obvious, rtol=1e-12, atol=1e-14)
    gradients = [torch.autograd.grad((s * weight).sum(), current)[0] for s in (ours, obvious)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


class _Step(torch.autograd.Function):
    """H forward, the arctan's slope backward: the straight-through estimate, for one spike."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, k: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.k = k
        return step(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0] * arctan_slope(ctx.saved_tensors[0], ctx.k), None


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_straight_through_is_a_step_with_the_surrogates_slope(reset: Reset) -> None:
    """Spikes of `hard_lif`; the gradient is autograd's through a loop whose step has sigma's slope."""
    current, theta = random_layer(5, steps=10)
    weight = torch.randn(10, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u, s, spikes = torch.zeros_like(current[0]), torch.zeros_like(current[0]), []
    for current_t in current:
        u = 0.5 * u * (1 - s) + current_t if reset == "zero" else 0.5 * u + current_t - theta * s
        s = _Step.apply(u - theta, 25.0)
        spikes.append(s)
    ours = lif(current, theta, 0.5, 25.0, hard=True, reset=reset)
    assert torch.equal(ours.detach(), hard_lif(current, theta, 0.5, reset))
    assert 0 < ours.mean() < 1
    gradients = [torch.autograd.grad((a * weight).sum(), current)[0] for a in (ours, torch.stack(spikes))]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("chunk", [1, 24, 36, 10_000])  # 1, 2, 3 and all of the 7 steps of 12 neurons
def test_the_parts_of_the_gradient_make_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk: int, reset: Reset
) -> None:
    current, theta = random_layer(6, steps=7)
    weight = torch.randn(7, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(lif_module, "CHUNK", chunk)
    ours, obvious = (f(current, theta, 0.5, 5.0, reset=reset) for f in (lif, lif_by_autograd))
    gradients = [torch.autograd.grad((s * weight).sum(), current)[0] for s in (ours, obvious)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)
