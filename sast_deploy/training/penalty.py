"""The penalty on synaptic operations: what hidden spikes cost on the chip, with a gradient."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from sast_deploy.program.geometry import Axis
from sast_deploy.training.network.network import KERNEL, PADDING, NetworkSpec


def hidden_operations(spec: NetworkSpec, layers: list[Tensor]) -> Tensor:
    """Expected synaptic operations of hidden spikes, as a share of the network's dense operations, in [0, 1].

        sum_l sum_n F_ln mean_b sum_t s^l_tbn / (T sum_l sum_n F_ln),

    F_ln the accumulations that a spike of neuron n of layer l triggers (reports/synops.py); the sum above
    runs over the hidden layers, the one below over the input as well. Operations that input events trigger
    do not depend on any weight, hence not on training: they are left out (pruning reduces those).

    Args:
        spec: the network's.
        layers: spikes of every LIF layer, (time, batch, *layer), as `Network.spikes` returns them.
    """
    total, *fan_outs = _fan_outs(spec, layers[0].device)
    found = [(s.mean((0, 1)) * fan).sum() for s, fan in zip(layers, fan_outs, strict=True)]
    return torch.stack(found).sum() / total


@lru_cache
def _fan_outs(spec: NetworkSpec, device: torch.device) -> tuple[Tensor, ...]:
    """Dense operations of one step, then every LIF layer's fan-out, to broadcast against one of its maps."""
    sizes, maps = _sources(spec)
    dense = sum(size * float(fan.mean()) for size, fan in zip(sizes, maps, strict=True))
    return tuple(fan.to(device) for fan in (torch.tensor(dense), *maps[1:]))


def _sources(spec: NetworkSpec) -> tuple[list[int], list[Tensor]]:
    """Of the input and every LIF layer: the number of its spike sources, and the fan-out of one."""
    if spec.kind == "fc":
        fans = [torch.tensor(float(n)) for n in (*spec.hidden, spec.classes)]
        return [math.prod(spec.input_shape), *spec.hidden], fans
    (channels, height, width), sizes, maps = spec.input_shape, [], []
    for following, stride in zip(spec.hidden, spec.strides, strict=True):
        sizes.append(channels * height * width)
        rows, columns = (Axis(size, KERNEL, stride, PADDING) for size in (height, width))
        maps.append(following * _reached(rows)[:, None] * _reached(columns))
        channels, height, width = following, rows.outputs, columns.outputs
    return [*sizes, channels * height * width], [*maps, torch.tensor(float(spec.classes))]


def _reached(axis: Axis) -> Tensor:
    """How many output positions each input position reaches, along one axis of a convolution."""
    reached = torch.zeros(axis.size)
    for tap in range(axis.kernel):
        reached[axis.inside(tap)[0]] += 1
    return reached
