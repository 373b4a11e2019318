"""Checkpoints with random weights, made in a moment, and their equations once more in plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.network.network import Network, NetworkSpec
from sast_deploy.training.recipes import PAPER
from tests.tinydata import CLASSES, CLIP, SHAPE, tiny_set

FC = NetworkSpec("fc", SHAPE, (12, 8), CLASSES)
CONV = NetworkSpec("conv", SHAPE, (5, 4), CLASSES, strides=(2, 1))


# F(z) of every surrogate in words that autograd follows.
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "arctan": lambda z: torch.atan(z) / math.pi + 0.5,
    "fast-sigmoid": lambda z: (1 + z / (1 + z.abs())) / 2,
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
    "spike-rate-escape": lambda z: torch.where(
        z < 0, torch.exp(z.clamp(max=0)) / 2, 1 - torch.exp(-z.clamp(min=0)) / 2
    ),
    "triangular": lambda z: torch.where(
        z < 0, (1 + z.clamp(min=-1)) ** 2 / 2, 1 - (1 - z.clamp(max=1)) ** 2 / 2
    ),
}


def random_checkpoint(spec: NetworkSpec = FC, seed: int = 1, scale: float = 4.0) -> Checkpoint:
    """Weights of `scale` times their initial size, so that they fire; FC by seed 1 predicts two classes."""
    data = tiny_set()
    state = Network(spec, seed).state_dict()
    arrays = {k: (v if k.startswith("theta") else scale * v).numpy().copy() for k, v in state.items()}
    setting = {"setting": {"validation": 0.2}}
    return Checkpoint("tiny", spec, arrays, PAPER, data.options, data.info, {"train": 0}, setting, {})


def states_by_numpy(checkpoint: Checkpoint, frames: np.ndarray, hard: bool) -> list[np.ndarray]:
    """Membranes (time, samples, neurons) of every layer, float64, of a fully connected network."""
    spec, state = checkpoint.network, checkpoint.state
    x = frames.reshape(*frames.shape[:2], -1).swapaxes(0, 1) / float(CLIP)
    layers = []
    for index, alpha in enumerate(spec.alphas):
        weight, bias, theta = (
            state[key].astype(np.float64)
            for key in (f"layers.{index}.weight", f"layers.{index}.bias", f"theta_{index}")
        )
        u = s = np.zeros((x.shape[1], len(bias)))
        membranes, spikes = [], []
        for current in x @ weight.T + bias:
            if spec.reset == "zero":
                u = alpha * u * (1 - s) + current
            elif spec.reset_order == "before-leak":
                u = alpha * (u - theta * s) + current
            else:
                u = alpha * u + current - theta * s
            s = (u >= theta).astype(float) if hard else 0.5 + np.arctan(spec.k * (u - theta)) / np.pi
            membranes.append(u)
            spikes.append(s)
        x = np.stack(spikes)
        layers.append(np.stack(membranes))
    return layers
