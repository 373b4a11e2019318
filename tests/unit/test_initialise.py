from __future__ import annotations

import pytest
import torch

from sast_deploy.training.initialise import scale_layers
from sast_deploy.training.network.network import Network, NetworkSpec

FC = NetworkSpec("fc", (2, 6, 6), (40, 30, 20), 3)
CONV = NetworkSpec("conv", (2, 12, 12), (8, 16, 12), 3, strides=(2, 1, 2))


def frames(density: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(10, 64, 288, generator=generator) < density).float()


@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_currents_vary_by_one_threshold_and_every_layer_fires(spec: NetworkSpec) -> None:
    network, x = Network(spec), frames()[:, :, : 2 * spec.input_shape[1] ** 2]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        assert all(float(s.mean()) < 0.01 for s in network.spikes(x, hard=True)[1:])
    factors = scale_layers(network, x)
    assert all(factor > 1.0 for factor in factors)
    with torch.no_grad():
        below = [network.shaped(x), *network.spikes(x, hard=True)]
        for index, layer in enumerate(network.layers):
            bias = layer.bias.view_as(network.theta(index))
            assert float((network.current(index, below[index]) - bias).std()) == pytest.approx(1.0, rel=1e-4)
    assert all(0.02 < float(s.mean()) < 0.5 for s in below[1:])
    for key, value in network.state_dict().items():
        factor = factors[int(key[7])] if key.startswith("layers") and key.endswith("weight") else 1.0
        torch.testing.assert_close(value, before[key] * factor)


def test_the_threshold_is_the_unit() -> None:
    """Thresholds of 4 want weights four times as large, and then the same neurons fire."""
    one, four = Network(FC), Network(FC)
    with torch.no_grad():
        for index in range(3):
            four.get_buffer(f"theta_{index}").fill_(4.0)
            for network in (one, four):
                network.layers[index].bias.zero_()
    first, second = (scale_layers(network, frames()[:, :, :72]) for network in (one, four))
    assert second == pytest.approx([4.0 * factor for factor in first], rel=1e-6)


def test_one_layer_by_hand() -> None:
    """Currents 2 x = 0, 2, 0, 2 around a mean of 1: variance 4/3 (n - 1), so the factor is sqrt(3)/2."""
    network = Network(NetworkSpec("fc", (1, 1, 1), (1,), 2))
    with torch.no_grad():
        network.layers[0].weight.fill_(2.0)
    factors = scale_layers(network, torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1))
    assert factors == pytest.approx([3**0.5 / 2])


def test_a_layer_without_input_stays_as_it_is() -> None:
    network = Network(FC)
    assert scale_layers(network, torch.zeros(10, 4, 72)) == (1.0, 1.0, 1.0)
