"""Weight noise: synapses that are not exactly what training made them, as on analogue or ageing hardware."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sast_deploy.base.errors import UsageError
from sast_deploy.data import FrameSplit
from sast_deploy.studies.analysis.corruption import Corruption, Draws
from sast_deploy.studies.analysis.stream import first_current, open_stream
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.network.network import Network

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2)
DRAWS = 5


def weight_noise(
    checkpoint: Checkpoint,
    split: FrameSplit,
    *,
    sigmas: Sequence[float] = SIGMAS,
    draws: int = DRAWS,
    seed: int = 0,
    device: str = "auto",
) -> Corruption:
    """Accuracy with noise on the weights of every layer, the readout included:

        W' = W + sigma rms(W) N,     rms(W) = sqrt(mean W^2) of that layer,  N independent standard normal

    Biases and thresholds stay. Draw i adds the same N, scaled, at every sigma.

    Raises UsageError: a negative or infinite sigma, no draws, frames of another shape than the network's.
    """
    if not sigmas or not all(0.0 <= sigma < np.inf for sigma in sigmas) or draws < 1:
        found = f"sigmas {tuple(sigmas)}, {draws} draws"
        raise UsageError(found, where="weight noise", expected="each 0 or more, one draw or more")
    stream = open_stream(checkpoint, split, device=device)
    tally = Draws(sigmas, draws)
    networks = [noisy(stream.network, sigmas[level], (seed, draw)) for level, draw in tally.cases]

    def work(x: Tensor, y: Tensor) -> None:
        for (level, draw), network in zip(tally.cases, networks, strict=True):
            tally.count(level, draw, network, first_current(network, x), y)

    stream.each(work, "weight noise")
    return Corruption("noise", len(stream), seed, tally.levels())


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
