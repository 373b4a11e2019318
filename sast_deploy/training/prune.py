"""Removing neurons of the first layer while training: which ones, and what remains of weights and moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sast_deploy.training.network.network import Network, NetworkSpec

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Cut:
    """Neurons (fc) or channels (conv) of the first layer that stay and that go, and how active those were.

    kept, removed: int64 indices, ascending. activity: mean spike of each removed one.
    """

    kept: Tensor
    removed: Tensor
    activity: Tensor


@torch.no_grad()
def least_important(network: Network, x: Tensor, surplus: int) -> Cut:
    """The cut that removes `surplus` neurons of the first layer, those whose spikes tell the next one least.

        importance_n = ||W_n||_2 std(s_n),

    W_n the weights by which neuron n reaches the next layer, std(s_n) the standard deviation of its hard
    spikes over time and samples. What n adds to the next layer's current is W_n s_n; its mean W_n mean(s_n)
    can move into the bias (`narrowed`), so what is lost has the size W_n std(s_n). A neuron that is silent or
    fires at every step is worth nothing, however large its weights. Ties: the higher index goes.
    """
    spikes = network.spike(0, network.shaped(x), hard=True).movedim(2, 0).flatten(1)
    following = [*network.layers, network.readout][1].weight
    assert isinstance(following, Tensor)
    importance = following.movedim(1, 0).flatten(1).norm(dim=1) * spikes.std(1, correction=0)
    order = torch.argsort(importance, descending=True, stable=True)
    stays = len(order) - surplus
    kept, removed = order[:stays].sort().values, order[stays:].sort().values
    return Cut(kept, removed, spikes.mean(1)[removed])


def narrowed(state: State, spec: NetworkSpec, cut: Cut) -> State:
    """`Network.state_dict()` without the removed neurons; their mean current goes into the next bias."""
    following = _following(spec)
    lost = state[f"{following}.weight"].index_select(1, cut.removed)
    while lost.ndim > 2:
        lost = lost.sum(-1)  # a kernel's taps all see the same mean, away from the border
    small = {name: _select(value, name, following, cut) for name, value in state.items()}
    if len(spec.hidden) > 1:  # of a filtered current, what a constant one grows to
        lost = lost / (1.0 - spec.current_leaks[1])
    small[f"{following}.bias"] = small[f"{following}.bias"] + lost @ cut.activity.to(lost)
    return small


def narrowed_moments(
    optimizer: dict[str, Any], names: list[str], spec: NetworkSpec, cut: Cut
) -> dict[str, Any]:
    """An Adam `state_dict()` without the removed neurons; `names` are its parameters', in their order."""
    following = _following(spec)
    moments = {
        index: {
            key: value if value.ndim == 0 else _select(value, names[index], following, cut)
            for key, value in entry.items()
        }
        for index, entry in optimizer["state"].items()
    }
    return {**optimizer, "state": moments}


def narrowed_spec(spec: NetworkSpec, width: int) -> NetworkSpec:
    """The same network with `width` neurons, or channels, in its first layer."""
    return replace(spec, hidden=(width, *spec.hidden[1:]))


def _following(spec: NetworkSpec) -> str:
    return "layers.1" if len(spec.hidden) > 1 else "readout"


def _select(value: Tensor, name: str, following: str, cut: Cut) -> Tensor:
    """What remains of the parameter or buffer `name`."""
    if name in ("log_theta_0", "logit_alpha_0") and len(value) == 1 < len(cut.kept) + len(cut.removed):
        return value.clone()  # of the whole layer
    if name in ("layers.0.weight", "layers.0.bias", "theta_0", "log_theta_0", "logit_alpha_0"):
        return value.index_select(0, cut.kept)
    return value.index_select(1, cut.kept) if name == f"{following}.weight" else value.clone()
