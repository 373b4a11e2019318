from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.compiled import compiled
from sast_deploy.training.kernels import threads
from sast_deploy.training.kernels.membranes import Dynamics, smooth_spike
from sast_deploy.training.network import lif as lif_module
from sast_deploy.training.network.lif import lif, lif_states, step
from sast_deploy.training.network.surrogates import ARCTAN

HALF = Dynamics(0.5)  # the papers'
ALL = {
    "after the leak": HALF, "before the leak": Dynamics(0.7, order="before-leak"),
    "to zero": Dynamics(0.5, "zero"),
}  # fmt: skip
of_all = pytest.mark.parametrize("dynamics", ALL.values(), ids=ALL)


def random_layer(seed: int, steps: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    current = 2 * torch.rand(steps, 3, 4, generator=generator, dtype=torch.float64) - 0.5
    theta = 0.5 + torch.rand(4, generator=generator, dtype=torch.float64)
    return current.requires_grad_(), theta


def hard_lif(current: torch.Tensor, theta: torch.Tensor, dynamics: Dynamics = HALF) -> torch.Tensor:
    return lif_states(current, theta, dynamics, None)[1]


def next_membrane(
    u: torch.Tensor, s: torch.Tensor, current: torch.Tensor, theta: torch.Tensor, dynamics: Dynamics
) -> torch.Tensor:
    """The equations of `Dynamics`, as they stand there."""
    alpha = dynamics.alpha
    if dynamics.reset == "zero":
        return alpha * u * (1 - s) + current
    if dynamics.order == "before-leak":
        return alpha * (u - theta * s) + current
    return alpha * u + current - theta * s


def lif_by_autograd(
    current: torch.Tensor, theta: torch.Tensor, dynamics: Dynamics, k: float
) -> torch.Tensor:
    """`lif` as plain torch operations, slow and obvious."""
    u = torch.zeros_like(current[0])
    s = torch.zeros_like(current[0])
    spikes = []
    for current_t in current:
        u = next_membrane(u, s, current_t, theta, dynamics)
        s = ARCTAN.spike(u - theta, k)
        spikes.append(s)
    return torch.stack(spikes)


@of_all
def test_backward_matches_finite_differences(dynamics: Dynamics) -> None:
    current, theta = random_layer(0)
    assert torch.autograd.gradcheck(lambda i: lif(i, theta, dynamics, 5.0), (current,))


@of_all
def test_forward_and_backward_match_the_obvious_loop(dynamics: Dynamics) -> None:
    current, theta = random_layer(1, steps=10)
    weight = torch.randn(10, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours, obvious = (f(current, theta, dynamics, 25.0) for f in (lif, lif_by_autograd))
    torch.testing.assert_close(ours, obvious, rtol=1e-12, atol=1e-14)
    gradients = [torch.autograd.grad((s * weight).sum(), current)[0] for s in (ours, obvious)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


def test_channel_thresholds_broadcast_over_a_map() -> None:
    current = torch.rand(3, 2, 4, 5, 5, dtype=torch.float64)
    theta = torch.tensor([0.3, 0.6, 0.9, 1.2], dtype=torch.float64)
    whole = lif(current, theta[:, None, None], HALF, 25.0)
    for channel in range(4):
        alone = lif(current[:, :, channel], theta[channel], HALF, 25.0)
        torch.testing.assert_close(whole[:, :, channel], alone, rtol=0, atol=0)


def test_hard_spikes_by_hand() -> None:
    """alpha 1/2, theta 1, constant input 3/4: u = .75, 1.125*, .3125, .90625, 1.203125* (* spikes)."""
    current = torch.full((5, 1, 1), 0.75, dtype=torch.float64)
    spikes = hard_lif(current, torch.ones(1, dtype=torch.float64))
    assert spikes.flatten().tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


def test_hard_reset_subtracts_one_step_late_and_exact_threshold_fires() -> None:
    """u = 1 fires (H(0) = 1); then u = 1/2 - 1 + 1/2 = 0, not 1/2 * 0 + 1/2."""
    current = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    spikes = hard_lif(current, torch.ones(1, dtype=torch.float64))
    assert spikes.flatten().tolist() == [1.0, 0.0, 1.0]


def test_smooth_spikes_by_hand() -> None:
    """u_1 = 1 gives s_1 = 1/2; u_2 = 1/2 + I_2 - 1/2 = I_2 = 1.04, 25 (u - theta) = 1, s_2 = 3/4."""
    current = torch.tensor([1.0, 1.04], dtype=torch.float64).reshape(2, 1, 1)
    spikes = lif(current, torch.ones(1, dtype=torch.float64), HALF, 25.0).flatten()
    torch.testing.assert_close(spikes, torch.tensor([0.5, 0.75], dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_steep_slope_tends_to_hard_spikes() -> None:
    current, theta = random_layer(3)
    torch.testing.assert_close(
        lif(current, theta, HALF, 1e12).detach(), hard_lif(current, theta), atol=1e-6, rtol=0
    )


def test_inputs_are_left_alone_and_calls_share_no_state() -> None:
    current, theta = random_layer(4)
    before = current.detach().clone()
    first = lif(current, theta, HALF, 25.0)
    first.sum().backward()  # type: ignore[no-untyped-call]
    second = lif(current, theta, HALF, 25.0)
    assert torch.equal(first, second)
    assert torch.equal(current.detach(), before)


def test_gradient_growth_is_bounded_by_gamma() -> None:
    """One step back multiplies by alpha - theta sigma', so |d I_1| <= max(alpha, |alpha - theta k/pi|)."""
    current = torch.rand(2, 50, 1, dtype=torch.float64, requires_grad=True)
    theta, k = torch.ones(1, dtype=torch.float64), 2.0
    spikes = lif(current, theta, HALF, k)
    (gradient,) = torch.autograd.grad(spikes[1].sum(), current)
    bound = max(0.5, abs(0.5 - k / math.pi)) * gradient[1].abs()
    assert bool((gradient[0].abs() <= bound + 1e-15).all())


def test_reset_to_zero_by_hand() -> None:
    """alpha 1/2, theta 1, I = 1 1/2 1 3/4 3/4: u = 1*, (1/2 * 0 +) 1/2, 5/4*, 3/4, 9/8* (* spikes)."""
    current = torch.tensor([1.0, 0.5, 1.0, 0.75, 0.75], dtype=torch.float64).reshape(5, 1, 1)
    u, s = lif_states(current, torch.ones(1, dtype=torch.float64), Dynamics(0.5, "zero"), None)
    assert u.flatten().tolist() == [1.0, 0.5, 1.25, 0.75, 1.125]
    assert s.flatten().tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_a_reset_before_the_leak_by_hand() -> None:
    """alpha 1/2, theta 1, I = 3/2 3/4 3/4 3/4: u = 3/2*, 1/2 1/2 + 3/4 = 1*, 3/4, 9/8*."""
    current, theta = torch.tensor([1.5, 0.75, 0.75, 0.75]).double()[:, None, None], torch.ones(1).double()
    u, s = lif_states(current, theta, Dynamics(0.5, order="before-leak"), None)
    assert u.flatten().tolist() == [1.5, 1.0, 0.75, 1.125]
    assert s.flatten().tolist() == [1.0, 1.0, 0.0, 1.0]
    assert lif_states(current, theta, HALF, None)[0].flatten().tolist() == [1.5, 0.5, 1.0, 0.25]


class _Step(torch.autograd.Function):
    """H forward, the arctan's slope backward: the straight-through estimate, for one spike."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, k: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.k = k
        return step(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0] * ARCTAN.slope(ctx.saved_tensors[0], ctx.k), None


@of_all
def test_straight_through_is_a_step_with_the_surrogates_slope(dynamics: Dynamics) -> None:
    """Spikes of `hard_lif`; the gradient is autograd's through a loop whose step has sigma's slope."""
    current, theta = random_layer(5, steps=10)
    weight = torch.randn(10, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u, s, spikes = torch.zeros_like(current[0]), torch.zeros_like(current[0]), []
    for current_t in current:
        u = next_membrane(u, s, current_t, theta, dynamics)
        s = _Step.apply(u - theta, 25.0)
        spikes.append(s)
    ours = lif(current, theta, dynamics, 25.0, hard=True)
    assert torch.equal(ours.detach(), hard_lif(current, theta, dynamics))
    assert 0 < ours.mean() < 1
    gradients = [torch.autograd.grad((a * weight).sum(), current)[0] for a in (ours, torch.stack(spikes))]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


@of_all
@pytest.mark.parametrize("chunk", [1, 24, 36, 10_000])  # 1, 2, 3 and all of the 7 steps of 12 neurons
def test_the_parts_of_the_gradient_make_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk: int, dynamics: Dynamics
) -> None:
    current, theta = random_layer(6, steps=7)
    weight = torch.randn(7, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(lif_module, "CHUNK", chunk)
    ours, obvious = (f(current, theta, dynamics, 5.0) for f in (lif, lif_by_autograd))
    gradients = [torch.autograd.grad((s * weight).sum(), current)[0] for s in (ours, obvious)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


@compiled(error_model="numpy", fastmath={"contract"})
def smooth_spikes(x: Any, out: Any) -> None:
    for index in range(len(x)):
        out[index] = smooth_spike(x[index])


def test_the_compiled_arctan_is_exact_to_three_units_in_the_last_place() -> None:
    """Of the spike itself, in its tails too, where 1/2 - 0.4999 would leave a few digits."""
    size = np.concatenate([np.linspace(0, 4, 400_001), 10 ** np.linspace(-40, 38, 100_001)])
    x = np.concatenate([-size, size]).astype(np.float32)
    found = np.empty_like(x)
    smooth_spikes(x, found)
    exact = x.astype(np.float64)
    with np.errstate(divide="ignore"):
        exact = np.where(exact < -1, np.arctan(-1 / exact) / np.pi, 0.5 + np.arctan(exact) / np.pi)
    unit = np.spacing(np.maximum(exact, np.finfo(np.float32).tiny).astype(np.float32))
    assert (np.abs(found - exact) / unit).max() < 3
    assert found[x == 0].tolist() == [0.5] * int((x == 0).sum())
    limits = np.array([np.inf, -np.inf, np.nan], np.float32)
    smooth_spikes(limits, limits)
    assert limits[:2].tolist() == [1.0, 0.0]
    assert np.isnan(limits[2])


SHAPES = {
    "one neuron": (3, 1, 1), "dense": (10, 13, 168), "wide": (4, 2, 2000), "map": (5, 3, 6, 7, 5),
    "channels last": (5, 3, 6, 7, 5), "many channels": (3, 2, 1100, 2, 1), "one pixel": (3, 4, 5, 1, 1),
}  # fmt: skip


def single_precision(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Currents, thresholds by channel, and a gradient from above."""
    generator, shape = torch.Generator().manual_seed(7), SHAPES[name]
    current, grad = (2 * torch.rand(shape, generator=generator) - 0.5 for _ in range(2))
    theta = 0.5 + torch.rand(shape[2], generator=generator)
    if name == "channels last":
        current = current.flatten(0, 1).contiguous(memory_format=torch.channels_last).reshape(shape)
        assert not current.is_contiguous()
    return current, theta.reshape(-1, *[1] * (len(shape) - 3)), grad


@pytest.mark.parametrize("name", SHAPES)
@of_all
@pytest.mark.parametrize("hard", [False, True])
def test_the_compiled_recursion_is_torchs(
    name: str, dynamics: Dynamics, hard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near to float64 as torch's own operations in float32; `spikes` and `states` agree on every bit."""
    current, theta, grad = single_precision(name)
    k = 4.0

    def run(current: torch.Tensor, theta: torch.Tensor) -> list[torch.Tensor]:
        current = current.detach().requires_grad_()
        spikes = lif(current, theta, dynamics, k, hard=hard)
        (delta,) = torch.autograd.grad(spikes, current, grad.to(current.dtype))
        membrane, same = lif_states(current, theta, dynamics, None if hard else k)
        assert torch.equal(same, spikes)
        return [membrane, spikes.detach(), delta]

    ours, exact = run(current, theta), run(current.double(), theta.double())
    monkeypatch.setattr(lif_module, "_is_here", lambda _: False)
    torchs = run(current, theta)
    assert all(each.stride() == current.stride() for each in ours)
    assert hard or not torch.equal(ours[1], torchs[1])  # two computations, not one twice
    for our, other, wanted in zip(ours, torchs, exact, strict=True):
        ours_off, torchs_off = (float((each - wanted).abs().max()) for each in (our, other))
        assert ours_off <= max(3 * torchs_off, 2e-6), (ours_off, torchs_off)


@of_all
def test_a_gradient_of_another_layout_and_one_that_is_spread(dynamics: Dynamics) -> None:
    """As they come from a mean over time and space, and from a layer that stores maps otherwise."""
    current, theta, grad = single_precision("channels last")
    current.requires_grad_()
    spikes = lif(current, theta, dynamics, 4.0)
    found = torch.autograd.grad(spikes, current, grad, retain_graph=True)[0]
    again = torch.autograd.grad(spikes, current, torch.empty_like(spikes).copy_(grad), retain_graph=True)[0]
    assert torch.equal(found, again)
    spread = torch.ones(()).expand(spikes.shape)
    assert torch.equal(
        torch.autograd.grad(spikes, current, spread, retain_graph=True)[0],
        torch.autograd.grad(spikes, current, torch.ones_like(spikes))[0],
    )


def test_the_number_of_threads_changes_no_bit_of_a_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LEAST", 1)
    current, theta, grad = single_precision("wide")
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "_threads", lambda n=count: n)
        leaf = current.clone().requires_grad_()
        spikes = lif(leaf, theta, HALF, 25.0)
        found.append((spikes.detach(), torch.autograd.grad(spikes, leaf, grad)[0]))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_currents_that_are_stored_in_no_order_of_ours() -> None:
    current, theta, _ = single_precision("dense")
    strided = torch.stack([current, current], -1)[..., 0]
    assert not strided.is_contiguous()
    assert torch.equal(lif(strided, theta, HALF, 25.0), lif(current, theta, HALF, 25.0))


def test_what_is_no_number_stays_none() -> None:
    current = torch.zeros(3, 1, 2)
    current[1, 0, 0] = math.nan
    spikes = lif(current, torch.ones(2), HALF, 25.0)
    assert spikes.isnan()[:, 0].tolist() == [[False, False], [True, False], [True, False]]
