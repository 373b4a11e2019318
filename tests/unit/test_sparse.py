from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sast_deploy.training.network import sparse
from sast_deploy.training.network.sparse import event_linear


def operands(density: float, rows: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(rows, 30, generator=generator) * (torch.rand(rows, 30, generator=generator) < density)
    weight = torch.randn(7, 30, generator=generator).requires_grad_()
    return (
        x,
        weight,
        torch.randn(7, generator=generator).requires_grad_(),
        torch.randn(rows, 7, generator=generator),
    )


@pytest.mark.parametrize("density", [0.0, 0.1, 0.2, 0.9, 1.0])
def test_equals_the_dense_product(density: float) -> None:
    x, weight, bias, g = operands(density)
    ours, dense = event_linear(x, weight, bias), functional.linear(x, weight, bias)
    torch.testing.assert_close(ours, dense)
    for a, b in zip(*(torch.autograd.grad(y, (weight, bias), g) for y in (ours, dense)), strict=True):
        torch.testing.assert_close(a, b)


def test_small_whole_numbers_are_exact() -> None:
    x = torch.tensor([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], requires_grad=True)
    bias = torch.tensor([10.0, 20.0], requires_grad=True)
    assert sparse._nonzeros(x.numpy()) is not None
    y = event_linear(x, weight, bias)
    assert y.tolist() == [[14.0, 32.0], [10.0, 20.0], [11.0, 25.0]]
    (y * torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).sum().backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.tolist() == [[5.0, 2.0, 0.0, 0.0], [6.0, 4.0, 0.0, 0.0]]
    assert bias.grad.tolist() == [9.0, 12.0]


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias, g = operands(0.1, rows=333)
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(sparse, "_threads", lambda n=count: n)
        y = event_linear(x, weight, bias)
        results.append((y.detach(), *torch.autograd.grad(y, (weight, bias), g)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nonzeros_by_hand() -> None:
    x = np.zeros((3, 8), np.float32)
    x[0, 2], x[2, 0], x[2, 7] = 0.5, 0.25, -1.0
    rows = sparse._nonzeros(x)
    assert rows is not None
    assert [part.tolist() for part in rows] == [[0, 1, 1, 3], [2, 0, 7], [0.5, 0.25, -1.0]]


def test_dense_input_and_other_dtypes_take_the_dense_product() -> None:
    assert sparse._nonzeros(np.ones((3, 8), np.float32)) is None
    x, weight, bias, _ = operands(0.1)
    y = event_linear(x.double(), weight.double(), bias.double())
    assert torch.equal(y, functional.linear(x.double(), weight.double(), bias.double()))


def test_an_input_that_wants_a_gradient_gets_it() -> None:
    x, weight, bias, g = operands(0.1)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(event_linear(x, weight, bias), x, g)
    torch.testing.assert_close(gradient, g @ weight)


def test_a_strided_input() -> None:
    x, weight, bias, _ = operands(0.1)
    wide = torch.zeros(40, 60)
    wide[:, ::2] = x
    torch.testing.assert_close(event_linear(wide[:, ::2], weight, bias), event_linear(x, weight, bias))
