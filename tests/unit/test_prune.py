from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.training.network.network import Network, NetworkSpec, state_shapes
from sast_deploy.training.prune import Cut, least_important, narrowed, narrowed_moments, narrowed_spec
from sast_deploy.training.recipes import PAPER

FC = NetworkSpec("fc", (1, 2, 3), (5, 4), 3)
CONV = NetworkSpec("conv", (2, 7, 6), (5, 4), 3, strides=(2, 1))
ONE = NetworkSpec("fc", (1, 2, 3), (5,), 3)
CUT = Cut(torch.tensor([0, 2, 4]), torch.tensor([1, 3]), torch.tensor([0.25, 0.5]))


def test_the_cubic_schedule_by_hand() -> None:
    """prune (1 - (1 - x)^3), x = 0 at 10 % and 1 at 50 % of the epochs (Zhu & Gupta, equation 1)."""
    plan = PAPER.replace(epochs=20, prune=0.4)
    shares = [plan.pruned(epoch) for epoch in range(20)]
    assert shares[:3] == [0.0, 0.0, 0.0]
    assert shares[6] == pytest.approx(0.4 * 0.875)
    assert shares[4] == pytest.approx(0.4 * (1 - 0.75**3))
    assert shares[10:] == pytest.approx([0.4] * 10)
    assert shares == sorted(shares)
    assert [PAPER.pruned(epoch) for epoch in (0, 199)] == [0.0, 0.0]


@pytest.mark.parametrize("way", ["layer", "neuron"])
def test_what_is_learned_of_the_neurons_goes_with_them(way: Any) -> None:
    spec = replace(FC, learn_theta=way, learn_alpha=way, neuron="cuba", current_leak=(0.5, 0.75))
    network = Network(spec, seed=1)
    with torch.no_grad():
        network.log_theta_0 += torch.arange(float(len(network.log_theta_0)))
    state = network.state_dict()
    small = narrowed(state, spec, CUT)
    assert {k: tuple(v.shape) for k, v in small.items()} == state_shapes(narrowed_spec(spec, 3))
    assert small["log_theta_0"].tolist() == ([0.0] if way == "layer" else [0.0, 2.0, 4.0])
    lost = state["layers.1.weight"][:, [1, 3]] @ CUT.activity  # a constant current, which the filter keeps
    torch.testing.assert_close(small["layers.1.bias"], state["layers.1.bias"] + lost / (1 - 0.75))
    names = [name for name, _ in network.named_parameters()]
    moments = {i: {"exp_avg": p.detach()} for i, p in enumerate(network.parameters())}
    found = narrowed_moments({"state": moments}, names, spec, CUT)["state"]
    shapes = {name: tuple(found[i]["exp_avg"].shape) for i, name in enumerate(names)}
    assert shapes == {k: v for k, v in state_shapes(narrowed_spec(spec, 3)).items() if "theta_" not in k[:6]}


def silent(network: Network, *neurons: int) -> None:
    with torch.no_grad():
        network.layers[0].bias[list(neurons)] = -100.0


def test_the_neurons_that_tell_least_go() -> None:
    """Silent, always firing, and firing but barely connected neurons go before the one that matters least."""
    network = Network(FC)
    x = (torch.rand(20, 30, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    with torch.no_grad():
        network.layers[0].weight.fill_(1.0)
        network.layers[1].weight.fill_(1.0)
        silent(network, 3)
        network.layers[0].bias[1] = 100.0
        network.layers[1].weight[:, 4] = 1e-6
        network.layers[1].weight[:, 0] = 0.5
    cuts = [least_important(network, x, surplus) for surplus in (1, 2, 3, 4)]
    assert [set(cut.removed.tolist()) for cut in cuts] == [{3}, {1, 3}, {1, 3, 4}, {0, 1, 3, 4}]
    assert cuts[1].kept.tolist() == [0, 2, 4]
    assert cuts[1].activity.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("spec", [FC, CONV, ONE], ids=["fc", "conv", "one layer"])
def test_what_remains_are_the_kept_rows_and_columns(spec: NetworkSpec) -> None:
    state = Network(spec, seed=1).state_dict()
    small = narrowed(state, spec, CUT)
    assert {k: tuple(v.shape) for k, v in small.items()} == state_shapes(narrowed_spec(spec, 3))
    following = "layers.1" if len(spec.hidden) > 1 else "readout"
    weight = state[f"{following}.weight"]
    assert torch.equal(small["layers.0.weight"], state["layers.0.weight"][[0, 2, 4]])
    assert torch.equal(small["layers.0.bias"], state["layers.0.bias"][[0, 2, 4]])
    assert torch.equal(small[f"{following}.weight"], weight[:, [0, 2, 4]])
    taps = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    moved = 0.25 * taps[:, 1] + 0.5 * taps[:, 3]
    torch.testing.assert_close(small[f"{following}.bias"], state[f"{following}.bias"] + moved)
    if following != "readout":
        assert torch.equal(small["readout.weight"], state["readout.weight"])


def test_removing_silent_and_constant_neurons_changes_no_output() -> None:
    network = Network(FC, seed=2)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.abs_()
        silent(network, 1)
        network.layers[0].weight[3], network.layers[0].bias[3] = 0.0, 9.0
    x = torch.rand(6, 20, 6, generator=torch.Generator().manual_seed(1))
    cut = least_important(network, x, 2)
    assert cut.removed.tolist() == [1, 3]
    small = Network(narrowed_spec(FC, 3))
    small.load_state_dict(narrowed(network.state_dict(), FC, cut))
    with torch.no_grad():
        before, after = network.spikes(x, hard=True)[1], small.spikes(x, hard=True)[1]
        torch.testing.assert_close(small(x, hard=True), network(x, hard=True))
    assert torch.equal(before, after)
    assert 0.0 < float(after.mean()) < 1.0


def test_moments_follow_their_weights() -> None:
    network = Network(CONV, seed=1)
    adam = torch.optim.AdamW(network.parameters(), 1e-2)
    network(torch.rand(4, 3, 84)).square().sum().backward()
    adam.step()
    before = adam.state_dict()
    names = [name for name, _ in network.named_parameters()]
    small = narrowed_moments(before, names, CONV, CUT)
    entries = {names[i]: entry for i, entry in small["state"].items()}
    first, second = (before["state"][names.index(f"layers.{i}.weight")]["exp_avg"] for i in (0, 1))
    assert torch.equal(entries["layers.0.weight"]["exp_avg"], first[[0, 2, 4]])
    assert torch.equal(entries["layers.1.weight"]["exp_avg"], second[:, [0, 2, 4]])
    assert float(entries["layers.1.bias"]["step"]) == 1.0
    torch.optim.AdamW(Network(narrowed_spec(CONV, 3)).parameters()).load_state_dict(small)


def test_a_cut_partitions_the_layer() -> None:
    network, x = Network(CONV, seed=3), torch.rand(4, 5, 84)
    cut = least_important(network, x, 2)
    assert sorted([*cut.kept.tolist(), *cut.removed.tolist()]) == list(range(5))
    assert np.all(np.diff(cut.kept) > 0)
