from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.penalty import hidden_operations

FC = NetworkSpec("fc", (2, 6, 6), (7, 5), 3)
CONV = NetworkSpec("conv", (2, 9, 8), (4, 6, 5), 3, strides=(2, 1, 2))


def test_fc_by_hand() -> None:
    """Spikes 2 of 7 and 1 of 5 at every step: (2 * 5 + 1 * 3) of 72 * 7 + 7 * 5 + 5 * 3 operations."""
    first, second = torch.zeros(4, 2, 7), torch.zeros(4, 2, 5)
    first[:, :, :2], second[:, :, 4] = 1.0, 1.0
    assert float(hidden_operations(FC, [first, second])) == pytest.approx(13 / (504 + 35 + 15))
    first[0] = 0.0  # no spike in a quarter of the time
    assert float(hidden_operations(FC, [first, second])) == pytest.approx((7.5 + 3) / 554)


def test_conv_by_counting_what_each_spike_reaches() -> None:
    """One spike at a time through a kernel of ones: its fan-out is the sum of what comes out."""
    maps, fans, dense = [(4, 5, 4), (6, 5, 4), (5, 3, 2)], [], 0.0
    for (c, h, w), out, stride in zip([(2, 9, 8), *maps[:2]], (4, 6, 5), (2, 1, 2), strict=True):
        single = torch.eye(h * w).reshape(h * w, 1, h, w)
        reached = functional.conv2d(single, torch.ones(1, 1, 3, 3), None, stride, 1).sum((1, 2, 3))
        fans.append(out * reached.reshape(h, w))
        dense += c * float(fans[-1].sum())
    dense += 5 * 3 * 2 * 3
    generator = torch.Generator().manual_seed(0)
    layers = [(torch.rand(4, 2, *shape, generator=generator) < 0.3).float() for shape in maps]
    used = sum(float((s.mean((0, 1)) * f).sum()) for s, f in zip(layers, [*fans[1:], 3.0], strict=True))
    assert float(hidden_operations(CONV, layers)) == pytest.approx(used / dense, rel=1e-6)


def test_gradient_is_each_spikes_fan_out() -> None:
    layers = [torch.rand(4, 2, 7, requires_grad=True), torch.rand(4, 2, 5, requires_grad=True)]
    hidden_operations(FC, layers).backward()  # type: ignore[no-untyped-call]
    for s, fan in zip(layers, (5, 3), strict=True):
        assert s.grad is not None
        torch.testing.assert_close(s.grad, torch.full_like(s, fan / 554 / 8))
