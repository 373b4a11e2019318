from __future__ import annotations

import json

import pytest
import torch

from sast_deploy.base.errors import UsageError
from sast_deploy.training.network.network import (
    Network,
    NetworkSpec,
    network_spec,
    state_shapes,
)

N_MNIST, DVS = (2, 34, 34), (2, 48, 48)
TINY_FC = NetworkSpec("fc", (2, 3, 3), (5, 4), 3)
TINY_CONV = NetworkSpec("conv", (2, 7, 6), (4, 5), 3, strides=(2, 1))
TINY_ZERO = NetworkSpec("fc", (2, 3, 3), (5, 4), 3, reset="zero")
TINY_BEFORE = NetworkSpec("fc", (2, 3, 3), (5, 4), 3, alpha=0.7, reset_order="before-leak")
TINY_LAYERS = NetworkSpec("fc", (2, 3, 3), (5, 4, 6), 3, (0.9, 0.3, 0.0), (1.0, 0.5, 2.0))


def parameter_counts(network: Network) -> tuple[int, int]:
    """(learnable parameters, fixed thresholds)."""
    return sum(p.numel() for p in network.parameters()), sum(b.numel() for b in network.buffers())


@pytest.mark.parametrize(
    ("kind", "shape", "classes", "learnable", "fixed"),
    [
        ("fc", N_MNIST, 10, 400_050, 232),
        ("fc", DVS, 11, 399_643, 416),
        ("conv", N_MNIST, 10, 421_066 - 476, 476),
        ("conv", DVS, 11, 421_339 - 476, 476),
    ],
)
def test_the_papers_parameter_counts(
    kind: str, shape: tuple[int, int, int], classes: int, learnable: int, fixed: int
) -> None:
    assert parameter_counts(Network(network_spec(kind, shape, classes))) == (learnable, fixed)  # type: ignore[arg-type]


def test_fc_parameter_count_a_second_way() -> None:
    network = Network(network_spec("fc", N_MNIST, 10))
    sizes = [tuple(value.shape) for value in network.state_dict().values()]
    weights = [size for size in sizes if len(size) == 2]
    assert weights == [(168, 2312), (64, 168), (10, 64)]
    assert parameter_counts(network) == (sum(o * i + o for o, i in weights), 168 + 64)


def loop(network: Network, x: torch.Tensor, hard: bool) -> torch.Tensor:
    """The network as DESIGN's equations, step by step and layer by layer, for fc or conv."""
    spec = network.spec
    states: list[tuple[torch.Tensor, torch.Tensor]] = [(torch.tensor(0.0), torch.tensor(0.0))] * len(
        spec.hidden
    )
    total = torch.tensor(0.0)
    for x_t in x:
        s = x_t.reshape(-1, *spec.input_shape) if spec.kind == "conv" else x_t
        for index, layer in enumerate(network.layers):
            alpha, (u_before, s_before) = spec.alphas[index], states[index]
            theta = network.get_buffer(f"theta_{index}")
            theta = theta[:, None, None] if spec.kind == "conv" else theta
            if spec.reset == "zero":
                u = alpha * u_before * (1 - s_before) + layer(s)
            elif spec.reset_order == "before-leak":
                u = alpha * (u_before - theta * s_before) + layer(s)
            else:
                u = alpha * u_before + layer(s) - theta * s_before
            s = (u >= theta).float() if hard else 0.5 + torch.atan(spec.k * (u - theta)) / torch.pi
            states[index] = (u, s)
        total = total + (s.mean((2, 3)) if spec.kind == "conv" else s)
    return total / len(x) @ network.readout.weight.T + network.readout.bias


@pytest.mark.parametrize(
    "spec", [TINY_FC, TINY_CONV, TINY_ZERO, TINY_BEFORE, TINY_LAYERS],
    ids=["fc", "conv", "to zero", "before the leak", "each layer its own"],
)  # fmt: skip
@pytest.mark.parametrize("hard", [False, True])
def test_forward_is_the_equations(spec: NetworkSpec, hard: bool) -> None:
    network = Network(spec, seed=1)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.mul_(4)  # so that some neurons fire
        for index, width in enumerate(spec.hidden):  # and no two alike
            network.get_buffer(f"theta_{index}").mul_(torch.linspace(0.5, 1.5, width))
    x = torch.rand(
        6, 5, 2 * spec.input_shape[1] * spec.input_shape[2], generator=torch.Generator().manual_seed(3)
    )
    torch.testing.assert_close(network(x, hard=hard), loop(network, x, hard), rtol=1e-5, atol=1e-6)
    rates = [float(s.detach().mean()) for s in network.spikes(x, hard=True)]
    assert all(0.0 < rate < 1.0 for rate in rates)


@pytest.mark.parametrize(
    "spec", [TINY_FC, TINY_ZERO, TINY_BEFORE, TINY_CONV], ids=["subtract", "zero", "before", "conv"]
)
def test_gradients_of_all_parameters_match_the_equations(spec: NetworkSpec) -> None:
    inputs = 2 * spec.input_shape[1] * spec.input_shape[2]
    x = torch.rand(6, 5, inputs, generator=torch.Generator().manual_seed(3))
    ours, obvious = Network(spec, seed=1), Network(spec, seed=1)
    ours(x).square().sum().backward()
    loop(obvious, x, False).square().sum().backward()
    for (name, a), b in zip(ours.named_parameters(), obvious.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name, rtol=1e-4, atol=1e-6)


def test_calls_keep_no_state() -> None:
    network, x = Network(TINY_FC), torch.rand(4, 2, 18)
    first = network(x)
    network(torch.rand(4, 2, 18))
    assert torch.equal(network(x), first)
    # products of other sizes may round in another order, which some processors do
    torch.testing.assert_close(network(x[:, :1]), network(torch.cat([x[:, :1], x[:, 1:] * 0], 1))[:1])


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(5)
    first = Network(TINY_FC, seed=7).state_dict()
    torch.manual_seed(6)
    again, other = Network(TINY_FC, seed=7).state_dict(), Network(TINY_FC, seed=8).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_thresholds_are_not_learnable() -> None:
    assert not any("theta" in name for name, _ in Network(TINY_FC).named_parameters())


def test_k_overrides_the_slope() -> None:
    network, x = Network(TINY_FC), torch.rand(4, 2, 18)
    steep = Network(NetworkSpec("fc", (2, 3, 3), (5, 4), 3, k=3.0))
    assert torch.equal(network(x, k=3.0), steep(x))
    assert not torch.equal(network(x), steep(x))


@pytest.mark.parametrize("spec", [TINY_FC, TINY_CONV, TINY_ZERO, TINY_BEFORE, TINY_LAYERS])
def test_spec_survives_json(spec: NetworkSpec) -> None:
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "rnn"}, "rnn"),
        ({"hidden": ()}, "hidden = .*1 to 256 values"),
        ({"hidden": (0,)}, r"hidden\[0\] = 0"),
        ({"hidden": (2.5,)}, r"hidden\[0\] = 2\.5"),
        ({"input_shape": (34, 34)}, "input_shape = .34, 34.*3 values"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"theta": 0.0}, "theta"),
        ({"k": float("inf")}, "k = inf"),
        ({"strides": (2,)}, "strides"),
        ({"reset": "hard"}, "reset = 'hard'.*subtract or zero"),
        ({"alpha": (0.5, 0.5, 0.5)}, "network: 3 values of alpha for 2 LIF layers; expected one, or 2"),
        ({"theta": (1.0, 2.0, 3.0)}, "3 values of theta for 2 LIF layers"),
        ({"alpha": ()}, "alpha = .*1 to 256 values"),
        ({"alpha": (0.5, 1.0)}, r"alpha\[1\] = 1\.0; expected a number from 0 to below 1"),
        ({"theta": (0.5, "x")}, r"theta\[1\] = 'x'"),
        ({"theta": 1e39}, "theta = 1e.39.*from 1.17549e-38 to 1.70141e.38"),
        ({"reset_order": "late"}, "reset_order = 'late'.*after-leak or before-leak"),
        ({"reset": "zero", "reset_order": "before-leak"}, "reset_order 'before-leak' with reset 'zero'"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        NetworkSpec.from_dict({**TINY_FC.to_dict(), **change})


def test_unknown_spec_keys_are_refused() -> None:
    with pytest.raises(UsageError, match="depth"):
        NetworkSpec.from_dict({**TINY_FC.to_dict(), "depth": 3})


def test_a_spec_from_before_the_reset_was_a_choice_resets_by_subtraction() -> None:
    old = {key: value for key, value in TINY_ZERO.to_dict().items() if not key.startswith("reset")}
    assert NetworkSpec.from_dict(old) == TINY_FC
    with pytest.raises(UsageError, match="missing key k"):
        NetworkSpec.from_dict({key: value for key, value in old.items() if key != "k"})


@pytest.mark.parametrize("spec", [TINY_FC, TINY_CONV])
def test_state_shapes_are_the_networks(spec: NetworkSpec) -> None:
    assert state_shapes(spec) == {key: tuple(v.shape) for key, v in Network(spec).state_dict().items()}


def test_one_number_or_one_for_each_layer() -> None:
    """Equal ones are the one number, as specs were before: a run is the same run."""
    assert (TINY_FC.alphas, TINY_FC.thetas) == ((0.5, 0.5), (1.0, 1.0))
    assert (TINY_LAYERS.alphas, TINY_LAYERS.thetas) == ((0.9, 0.3, 0.0), (1.0, 0.5, 2.0))
    assert TINY_LAYERS.to_dict()["alpha"] == [0.9, 0.3, 0.0]
    for alike in ((0.5,), (0.5, 0.5), [0.5, 0.5]):
        spec = NetworkSpec("fc", (2, 3, 3), (5, 4), 3, alpha=alike)  # type: ignore[arg-type]
        assert spec == TINY_FC
        assert spec.to_dict() == TINY_FC.to_dict()
    network = Network(TINY_LAYERS)
    assert [float(network.theta(index)[0]) for index in range(3)] == [1.0, 0.5, 2.0]


def test_layers_of_any_number_and_width() -> None:
    deep = network_spec("fc", N_MNIST, 10, hidden=(256, 128, 32), alpha=(0.9, 0.8, 0.7))
    assert (deep.hidden, deep.strides, deep.alphas) == ((256, 128, 32), (), (0.9, 0.8, 0.7))
    conv = network_spec("conv", N_MNIST, 10, hidden=(8, 16))
    assert (conv.hidden, conv.strides) == ((8, 16), (2, 2))
