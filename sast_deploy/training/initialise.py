"""Data-dependent initialisation: every layer scaled so that its neurons cross the threshold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sast_deploy.training.network.network import Network

GAIN = 1.0  # standard deviation of a layer's input current, in thresholds


@torch.no_grad()
def scale_layers(network: Network, x: Tensor) -> tuple[float, ...]:
    """Scale the weights of every LIF layer, in place, so that its input current varies by one threshold.

        A_l <- A_l theta_l / std(A_l s^{l-1}),   layer by layer,

    the standard deviation taken over time, samples and neurons, s^{l-1} the hard spikes of the layers that
    are scaled already, and the biases left as they are. torch's default leaves the currents of deep layers
    far below the threshold: a layer that never fires passes on nothing but the tail of the surrogate, which
    hard spikes do not have.

    Args:
        network: changed in place; its readout is left alone.
        x: input (time, batch, C*H*W) of some training samples.

    Returns: the factor of each layer; 1 for a layer without any input. Source: layer-sequential unit
    variance, Mishkin & Matas, arXiv 1511.06422, with the threshold in place of 1.
    """
    factors = []
    s = network.shaped(x)
    for index, layer in enumerate(network.layers):
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        assert layer.bias is not None
        theta = network.theta(index)
        offset = layer.bias.view_as(theta) * network.spec.gains[index]
        spread = float((network.current(index, s) - offset).std())
        factor = GAIN * float(theta.mean()) / spread if spread > 0.0 else 1.0
        layer.weight.mul_(factor)
        factors.append(factor)
        s = network.spike(index, s, hard=True)
    return tuple(factors)
