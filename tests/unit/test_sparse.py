from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from sast_deploy.base import measured
from sast_deploy.base.errors import UsageError
from sast_deploy.base.measured import answers
from sast_deploy.training.kernels import threads
from sast_deploy.training.kernels.events import event_rows
from sast_deploy.training.network import sparse
from sast_deploy.training.network.sparse import DENSE, EVENTS, TOPIC, EventInput, counts_of, event_linear

Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def operands(density: float, rows: int = 40, inputs: int = 30, outputs: int = 7) -> Operands:
    generator = torch.Generator().manual_seed(0)
    shape = rows, inputs
    x = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < density)
    weight = torch.randn(outputs, inputs, generator=generator).requires_grad_()
    bias = torch.randn(outputs, generator=generator).requires_grad_()
    return x, weight, bias, torch.randn(rows, outputs, generator=generator)


def event_input(x: torch.Tensor, steps: int = 1) -> EventInput:
    return EventInput(steps, event_rows(x.numpy(), np.arange(len(x))))


def results(
    x: torch.Tensor | EventInput, weight: torch.Tensor, bias: torch.Tensor, g: torch.Tensor
) -> list[torch.Tensor]:
    y = event_linear(x, weight, bias)
    return [y.detach(), *torch.autograd.grad(y, (weight, bias), g)]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the way that products take, whatever their size."""

    def choose(way: str) -> None:
        monkeypatch.setenv(measured.VARIABLE, f"{TOPIC}={way}")
        monkeypatch.setattr(sparse, "SMALL", 0)
        monkeypatch.setattr(sparse, "SPARSE", 0.0)
        sparse._fastest.cache_clear()

    yield choose
    sparse._fastest.cache_clear()


@pytest.mark.parametrize("way", [EVENTS, DENSE])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.2, 0.9, 1.0])
def test_equals_torchs_product(density: float, way: str, chosen: Callable[[str], None]) -> None:
    chosen(way)
    x, weight, bias, g = operands(density)
    ours, dense = event_linear(x, weight, bias), functional.linear(x, weight, bias)
    torch.testing.assert_close(ours, dense)
    for a, b in zip(*(torch.autograd.grad(y, (weight, bias), g) for y in (ours, dense)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1, 1, 1), (3, 64, 16), (7, 130, 17), (9, 63, 168), (600, 65, 31), (5, 1100, 100), (40, 20, 250)],
)
@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_both_ways_give_the_same_bits(
    rows: int, inputs: int, outputs: int, density: float, chosen: Callable[[str], None]
) -> None:
    """What was measured decides no result; sizes around every vector, block and 64 bits of a mask."""
    x, weight, bias, g = operands(density, rows, inputs, outputs)
    found = []
    for way in (EVENTS, DENSE):
        chosen(way)
        found += [results(x, weight, bias, g), results(event_input(x), weight, bias, g)]
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    exact = functional.linear(x.double(), weight.double(), bias.double())
    torch.testing.assert_close(found[0][0].double(), exact.detach(), rtol=1e-4, atol=3e-4)


def test_the_order_of_additions_is_the_inputs() -> None:
    """2^24 + 1 is 2^24 in float32: from the left both ones are lost, or none where they come first."""
    x, weight = torch.tensor([[1.0, 1.0, 1.0, 1.0]]), torch.tensor([[2.0**24, 1.0, 1.0, -(2.0**24)]])
    assert event_linear(x, weight, torch.zeros(1)).item() == 0.0
    assert event_linear(x, weight[:, [1, 2, 0, 3]], torch.zeros(1)).item() == 2.0


def test_small_whole_numbers_are_exact() -> None:
    x = torch.tensor([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], requires_grad=True)
    bias = torch.tensor([10.0, 20.0], requires_grad=True)
    y = event_linear(x, weight, bias)
    assert y.tolist() == [[14.0, 32.0], [10.0, 20.0], [11.0, 25.0]]
    (y * torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).sum().backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.tolist() == [[5.0, 2.0, 0.0, 0.0], [6.0, 4.0, 0.0, 0.0]]
    assert bias.grad.tolist() == [9.0, 12.0]


@pytest.mark.parametrize("way", [EVENTS, DENSE])
def test_the_number_of_threads_changes_no_bit(
    way: str, chosen: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(way)
    monkeypatch.setattr(threads, "LEAST", 1)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "_threads", lambda n=count: n)
        found.append(results(*operands(0.1, rows=333)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_what_is_faster_is_asked_once_for_a_kind_of_product(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(measured, "_known", {})
    monkeypatch.setattr(measured, "SECONDS", 0.0)
    sparse._fastest.cache_clear()
    assert sparse._pays(0.03, 300, 100)  # hardly anything there
    assert sparse._pays(1.0, 300, 50)  # hardly any weights
    assert answers() == []
    for density in (0.24, 0.26):
        for outputs in (97, 112):
            sparse._pays(density, 300, outputs)
    (answer,) = answers()
    assert answer.question == f"{TOPIC} 300 x 112, 25.00 % dense"
    assert set(answer.seconds) == {EVENTS, DENSE}
    assert sparse._pays(0.25, 300, 100) == (answer.fastest == EVENTS)
    sparse._fastest.cache_clear()


def test_a_way_that_there_is_not_is_refused(chosen: Callable[[str], None]) -> None:
    chosen("magic")
    with pytest.raises(UsageError, match=r"SAST_FASTEST: 'magic' .* expected events or dense"):
        event_linear(*operands(0.5)[:3])


def test_other_dtypes_take_torchs_product() -> None:
    x, weight, bias, _ = (each.detach() for each in operands(0.1))
    y = event_linear(x.double(), weight.double(), bias.double())
    assert torch.equal(y, functional.linear(x.double(), weight.double(), bias.double()))
    assert torch.equal(event_linear(event_input(x), weight.double(), bias.double()), y)


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


def test_a_list_of_events_stands_for_the_tensor() -> None:
    x = operands(0.2)[0]
    events = event_input(x, steps=5)
    assert events.shape == (5, 8, 30)
    assert torch.equal(events.dense(), x.reshape(5, 8, 30))
    counts = counts_of(event_input((x * 3).round() / 3, steps=5), 3)
    assert isinstance(counts, EventInput)
    assert torch.equal(counts.dense().flatten(0, 1), (x * 3).round())
