"""Where weights are clipped: points fixed at the start of fine-tuning, and points that a profile searches."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sast_deploy.compiler.quantize import Float64Array, clipping_points
from sast_deploy.program.profile import Profile
from sast_deploy.training.network.network import Network

EVERY = 50  # forward passes between two searches


def start_points(network: Network, profile: Profile, clip: float) -> dict[str, Tensor]:
    """By name of a weight, `clip` times the clipping points of least squared error: (out, 1, ...), float32.

    Weights that are held between them leave the compiler, which takes a neuron's largest weight for the
    profile's largest integer, a scale without outliers; and one that moves little while weights do.
    """
    points = {}
    for name, parameter in network.named_parameters():
        if not name.endswith("weight"):
            continue
        weights = parameter.detach().cpu().numpy().astype(np.float64)
        together = profile.weight_scale == "layer" or name.startswith("readout")
        rows = weights.reshape(1 if together else len(weights), -1)
        found = torch.from_numpy(clip * clipping_points(rows, profile.weight_max, "mse"))
        points[name] = found.to(parameter).reshape(-1, *[1] * (parameter.ndim - 1))
    return points


@dataclass(eq=False)
class ClippingMemory:
    """A profile's clipping points as shares of the largest weights, searched anew every `EVERY` passes.

    The search is far slower than a training step.

    Weights are clamped to them, and the largest of what is left becomes the profile's largest integer. That
    is what the compiler does with the points it searches, but for how old they are; what is validated and
    written comes from the compiler itself.
    """

    shares: dict[int, Float64Array] = field(default_factory=dict)
    passes: dict[int, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Before an epoch, so that it depends on nothing but the weights it starts from."""
        self.shares.clear()
        self.passes.clear()

    def clamp(self, index: int, profile: Profile, together: bool, weights: Float64Array) -> Float64Array:
        """Weights of layer `index` clamped to clipping points: one per neuron, or one for all `together`."""
        parts = weights.reshape(1 if together else len(weights), -1)
        largest = np.abs(parts).max(axis=1)
        passes = self.passes.get(index, 0)
        if passes % EVERY == 0:
            points = clipping_points(parts, profile.weight_max, profile.clipping)
            self.shares[index] = points / np.where(largest > 0, largest, 1.0)
        self.passes[index] = passes + 1
        points = (self.shares[index] * largest)[:, None]
        clamped: Float64Array = np.clip(parts, -points, points).reshape(weights.shape)
        return clamped
