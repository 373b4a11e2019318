"""Weight noise: synapses that are not exactly what training made them, as on analogue or ageing hardware."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sast_deploy.studies.analysis.corruption import Corruption, cases_of, corruption
from sast_deploy.studies.analysis.stream import Stream, first_current
from sast_deploy.training.batches import Indices
from sast_deploy.training.network.network import Network

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2)
DRAWS = 5


def weight_noise(
    stream: Stream, *, sigmas: Sequence[float] = SIGMAS, draws: int = DRAWS, seed: int = 0
) -> Corruption:
    """Accuracy with noise on the weights of every layer, the readout included:

        W' = W + sigma rms(W) N,     rms(W) = sqrt(mean W^2) of that layer,  N independent standard normal

    Biases and thresholds stay. Draw i adds the same N, scaled, at every sigma.
    """
    cases = cases_of(sigmas, draws)
    networks = [noisy(stream.network, sigma, (seed, draw)) for sigma, draw in cases]

    def disturbed(part: Indices) -> Iterator[tuple[Network, Tensor]]:
        x, _ = stream.feeder.batch(part)
        return ((network, first_current(network, x)) for network in networks)

    return corruption("noise", stream, seed, cases, disturbed)


@torch.no_grad()
def noisy(network: Network, sigma: float, seed: tuple[int, ...]) -> Network:
    """A copy of `network` with noise of relative size `sigma` on its weights, drawn by `seed`."""
    copy = Network(network.spec).to(network.readout.weight.device)
    copy.load_state_dict(network.state_dict())
    rng = np.random.default_rng(seed)
    for name, weight in copy.named_parameters():
        if name.endswith("weight"):
            normal = torch.from_numpy(rng.standard_normal(weight.shape, np.float32)).to(weight.device)
            weight.add_(normal * (sigma * weight.square().mean().sqrt()))
    return copy
