from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sast_deploy.training.network.network import Network, NetworkSpec, cross_entropy
from sast_deploy.training.sam import SAM

SPEC = NetworkSpec("fc", (1, 2, 3), (5, 4), 3)


def batches(steps: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.rand(3, 8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator))
        for _ in range(steps)
    ]


def closure(network: Network, batch: tuple[Tensor, Tensor]) -> Callable[[], Tensor]:
    return lambda: cross_entropy(network(batch[0]), batch[1])


def must_not_run() -> Tensor:
    raise AssertionError("the climb pass ran at rho = 0")


def test_rho_zero_is_plain_adam_bit_for_bit() -> None:
    plain, wrapped = Network(SPEC), Network(SPEC)
    adam = torch.optim.Adam(plain.parameters(), 1e-2)
    sam = SAM(wrapped.parameters(), torch.optim.Adam(wrapped.parameters(), 1e-2), rho=0.0)
    for batch in batches(5, 0):
        adam.zero_grad()
        closure(plain, batch)().backward()  # type: ignore[no-untyped-call]
        adam.step()
        sam.step(must_not_run, closure(wrapped, batch))
    for a, b in zip(plain.parameters(), wrapped.parameters(), strict=True):
        assert torch.equal(a, b)


def test_one_step_is_the_equations() -> None:
    """eps = rho g / ||g|| with one norm over all parameters; the gradient at w + eps on B' moves w."""
    (climb,), (descend,) = batches(1, 1), batches(1, 2)
    ours, manual, rho, lr = Network(SPEC, 3), Network(SPEC, 3), 0.3, 0.1
    sam = SAM(ours.parameters(), torch.optim.SGD(ours.parameters(), lr), rho)
    loss, norm = sam.step(closure(ours, climb), closure(ours, descend))

    weights = list(manual.parameters())
    g = torch.autograd.grad(closure(manual, climb)(), weights)
    length = torch.cat([x.flatten() for x in g]).norm()
    start = [w.detach().clone() for w in weights]
    with torch.no_grad():
        for w, direction in zip(weights, g, strict=True):
            w.add_(rho * direction / length)
    at_peak = closure(manual, descend)()
    g_peak = torch.autograd.grad(at_peak, weights)
    for w, w0, direction in zip(ours.parameters(), start, g_peak, strict=True):
        torch.testing.assert_close(w.detach(), w0 - lr * direction, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(loss, at_peak.detach())
    torch.testing.assert_close(norm, torch.cat([x.flatten() for x in g_peak]).norm())


def test_the_offset_has_length_rho() -> None:
    (climb,), (descend,) = batches(1, 1), batches(1, 2)
    network = Network(SPEC)
    sam = SAM(network.parameters(), torch.optim.SGD(network.parameters(), 0.1), rho=0.7)
    before = torch.cat([w.detach().flatten().clone() for w in network.parameters()])
    distance = []

    def at_peak() -> Tensor:
        now = torch.cat([w.detach().flatten() for w in network.parameters()])
        distance.append(float((now - before).norm()))
        return closure(network, descend)()

    sam.step(closure(network, climb), at_peak)
    assert abs(distance[0] - 0.7) < 1e-5


def test_the_weights_come_back_exactly() -> None:
    """With a learning rate of 0 a step leaves every bit as it was, however far the climb went."""
    (climb,), (descend,) = batches(1, 1), batches(1, 2)
    network = Network(SPEC)
    before = [w.detach().clone() for w in network.parameters()]
    SAM(network.parameters(), torch.optim.SGD(network.parameters(), 0.0), rho=1e3).step(
        closure(network, climb), closure(network, descend)
    )
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_vanishing_gradient_climbs_nowhere() -> None:
    weight = torch.zeros(3, requires_grad=True)
    sam = SAM([weight], torch.optim.SGD([weight], 1.0), rho=1.0)
    sam.step(lambda: (weight * 0).sum(), lambda: weight.sum())
    assert weight.tolist() == [-1.0, -1.0, -1.0]


def test_no_neuron_state_passes_from_the_climb_to_the_descent() -> None:
    """The descent loss is what a fresh network with the climbed weights gives: states start at 0."""
    (climb,), (descend,) = batches(1, 1), batches(1, 2)
    network = Network(SPEC)
    seen: dict[str, Tensor] = {}

    def at_peak() -> Tensor:
        seen.update({key: value.clone() for key, value in network.state_dict().items()})
        return closure(network, descend)()

    sam = SAM(network.parameters(), torch.optim.SGD(network.parameters(), 0.1), rho=0.5)
    loss, _ = sam.step(closure(network, climb), at_peak)
    fresh = Network(SPEC)
    fresh.load_state_dict(seen)
    assert torch.equal(loss, closure(fresh, descend)().detach())


def test_one_adaptive_step_is_the_equations() -> None:
    """eps = rho T^2 g / ||T g||, T = |w| + eta for weights and 1 for biases (Kwon et al., equation 6)."""
    (climb,), (descend,) = batches(1, 1), batches(1, 2)
    ours, manual, rho, lr = Network(SPEC, 3), Network(SPEC, 3), 0.3, 0.1
    sam = SAM(ours.parameters(), torch.optim.SGD(ours.parameters(), lr), rho, adaptive=True, eta=0.02)
    sam.step(closure(ours, climb), closure(ours, descend))

    names, weights = zip(*manual.named_parameters(), strict=True)
    g = torch.autograd.grad(closure(manual, climb)(), weights)
    start = [w.detach().clone() for w in weights]
    t = [
        w.abs() + 0.02 if n.endswith("weight") else torch.ones_like(w)
        for n, w in zip(names, start, strict=True)
    ]
    length = torch.cat([(a * b).flatten() for a, b in zip(t, g, strict=True)]).norm()
    with torch.no_grad():
        for w, stretch, direction in zip(weights, t, g, strict=True):
            w.add_(rho * stretch**2 * direction / length)
    g_peak = torch.autograd.grad(closure(manual, descend)(), weights)
    for w, w0, direction in zip(ours.parameters(), start, g_peak, strict=True):
        torch.testing.assert_close(w.detach(), w0 - lr * direction, rtol=1e-5, atol=1e-7)
    assert sum(n.endswith("bias") for n in names) == 3


def test_adaptive_offsets_do_not_depend_on_the_scale_of_the_weights() -> None:
    """w -> 3 w in a function of w / 3 (eta = 0): an offset 3 times as large, the same loss at w + eps."""
    found = []
    for scale in (1.0, 3.0):
        w = (torch.tensor([[0.5, -1.0], [2.0, 0.25]]) * scale).requires_grad_()
        sam = SAM([w], torch.optim.SGD([w], 0.0), rho=0.5, adaptive=True, eta=0.0)

        def loss(w: Tensor = w, scale: float = scale) -> Tensor:
            return (w / scale).pow(3).sum()

        found.append(float(sam.step(loss, loss)[0]))
    assert abs(found[0] - found[1]) < 1e-5
