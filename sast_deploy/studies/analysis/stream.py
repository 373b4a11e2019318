"""Samples of a split, streamed in batches through a checkpoint's network: smooth spikes, and hard ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.progress import track
from sast_deploy.data import FrameSplit
from sast_deploy.studies.analysis.subject import HARD, SMOOTH, Classes, chosen_samples
from sast_deploy.training.augment import Changes, apply_changes
from sast_deploy.training.batches import BatchFeeder, Indices, fitting_threads, pick_device
from sast_deploy.training.checkpoint import Checkpoint, load_network
from sast_deploy.training.network.lif import lif_states
from sast_deploy.training.network.network import Network

LARGEST_BATCH = 256
BATCH_BYTES = 48 * 2**20  # float32 inputs, membranes and spikes of a batch; convolutions have many


@dataclass(frozen=True, eq=False)
class Stream:
    """A network and the samples to show it, in order: a Subject.

    Attributes:
        network: on the feeder's device.
        feeder: reads samples as network input (T, batch, C*H*W) float32 in [0, 1].
        indices: (n,) int64, which samples of the feeder.
    """

    network: Network
    feeder: BatchFeeder
    indices: Indices
    forwards: ClassVar[tuple[str, ...]] = (SMOOTH, HARD)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64, of the feeder's samples."""
        return self.feeder.labels

    @property
    def steps(self) -> int:
        """Time steps of every sample."""
        return int(self.feeder.frames.shape[1])

    def each(self, work: Callable[[Tensor, Tensor], None], description: str) -> None:
        """Call work(x, y) for every batch: x (T, batch, C*H*W) float32, y (batch,) int64; no gradients."""
        self.each_part(lambda part: work(*self.feeder.batch(part)), description)

    def each_part(self, work: Callable[[Indices], None], description: str) -> None:
        """Call work(indices) for every batch's sample indices; no gradients."""
        size = batch_size(self.network, self.steps)
        parts = [self.indices[start : start + size] for start in range(0, len(self), size)]
        with torch.no_grad(), fitting_threads(self.network.spec, self.feeder.device):
            for part in track(parts, description):
                work(part)

    def inputs(self, part: Indices, changes: Changes | None = None) -> Tensor:
        """(T, batch, C*H*W) float32."""
        if changes is None:
            return self.feeder.batch(part)[0]
        x = apply_changes(self.feeder.frames[part], changes, self.feeder.clip)
        return torch.from_numpy(x).to(self.feeder.device)

    def classes(self, x: Tensor) -> Classes:
        """The first layer's currents are those of both kinds of spikes."""
        current, network = first_current(self.network, x), self.network
        logits = {kind: logits_from(network, current, hard=kind == HARD) for kind in self.forwards}
        return {kind: each.argmax(1).cpu().numpy() for kind, each in logits.items()}

    def margins(self, x: Tensor) -> Iterator[tuple[str, int, Tensor]]:
        """Each (T, batch, *layer)."""
        for kind in self.forwards:
            for index, (u, _) in enumerate(self.network.states(x, hard=kind == HARD)):
                yield kind, index, u.sub_(self.network.theta(index))

    @torch.no_grad()
    def altered(self, change: Callable[[Tensor], Tensor]) -> Stream:
        """Of a copy of the network."""
        copy = Network(self.network.spec).to(self.feeder.device)
        copy.load_state_dict(self.network.state_dict())
        for name, weight in copy.named_parameters():
            if name.endswith("weight"):
                weight.copy_(change(weight))
        return replace(self, network=copy)


def open_stream(
    checkpoint: Checkpoint, split: FrameSplit, *, indices: Indices | None = None, device: str = "auto"
) -> Stream:
    """The checkpoint's network and the samples of `split` at `indices` (default: all of them).

    Raises UsageError: frames of another shape than the network's, no samples, an unknown device.
    """
    shape = (checkpoint.frames.steps, *checkpoint.network.input_shape)
    chosen = chosen_samples(split, shape, indices)
    feeder = BatchFeeder(split.frames, split.labels, checkpoint.frames.clip, pick_device(device))
    return Stream(load_network(checkpoint).to(feeder.device), feeder, chosen)


def batch_size(network: Network, steps: int) -> int:
    """The largest batch whose inputs, membranes and spikes fit into BATCH_BYTES, 1 to 256."""
    spec = network.spec
    values = math.prod(spec.input_shape) + 2 * sum(neurons_of(network))
    return max(1, min(LARGEST_BATCH, BATCH_BYTES // (4 * steps * values)))


def neurons_of(network: Network) -> list[int]:
    """Neurons of every LIF layer."""
    blank = network.readout.weight.new_zeros(1, 1, math.prod(network.spec.input_shape))
    return [u.numel() for u, _ in network.states(blank)]


def first_current(network: Network, x: Tensor) -> Tensor:
    """The first layer's currents (T, batch, *layer) for inputs x (T, batch, C*H*W)."""
    return network.current(0, network.shaped(x))


def logits_from(network: Network, current: Tensor, *, hard: bool) -> Tensor:
    """Logits (batch, classes) from the first layer's `current` (T, batch, *layer); no gradients.

    The first layer's product is most of the work and the same for smooth and hard spikes and any threshold.
    """
    spec, last = network.spec, len(network.layers) - 1
    for index in range(last + 1):
        s = lif_states(current, network.theta(index), network.dynamics(index), None if hard else spec.k)[1]
        if index < last:
            current = network.current(index + 1, s)
    return network.logits(s)
