"""Weight noise: synapses that are not exactly what training made them, as on analogue or ageing hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sast_deploy.studies.analysis.corruption import Corruption, cases_of, corruption
from sast_deploy.studies.analysis.subject import Subject
from sast_deploy.training.batches import Indices

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2)
DRAWS = 5


def weight_noise(
    subject: Subject, *, sigmas: Sequence[float] = SIGMAS, draws: int = DRAWS, seed: int = 0
) -> Corruption:
    """Accuracy with noise on the weights of every layer, the readout included:

        W' = W + sigma rms(W) N,     rms(W) = sqrt(mean W^2) of that layer,  N independent standard normal

    Biases and thresholds stay. Draw i adds the same N, scaled, at every sigma.
    """
    cases = cases_of(sigmas, draws)
    networks = [subject.altered(noise(sigma, (seed, draw))) for sigma, draw in cases]

    def disturbed(part: Indices) -> Iterator[tuple[Subject, Any]]:
        x = subject.inputs(part)
        return ((network, x) for network in networks)

    return corruption("noise", subject, seed, cases, disturbed)


def noise(sigma: float, seed: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """Adds noise of relative size `sigma` to one weight after another, drawn by `seed`."""
    rng = np.random.default_rng(seed)

    def noisy(weight: Tensor) -> Tensor:
        normal = torch.from_numpy(rng.standard_normal(weight.shape, np.float32)).to(weight.device)
        return weight + normal * (sigma * weight.square().mean().sqrt())

    return noisy
