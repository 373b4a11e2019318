"""Samples of a split, streamed in batches through a checkpoint's network; what every analysis starts from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import track
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.training.batches import BatchFeeder, Indices, fitting_threads, pick_device
from sast_deploy.training.checkpoint import Checkpoint, load_network
from sast_deploy.training.network.lif import lif_states
from sast_deploy.training.network.network import Network

LARGEST_BATCH = 256
BATCH_BYTES = 48 * 2**20  # float32 inputs, membranes and spikes of a batch; convolutions have many


@dataclass(frozen=True, eq=False)
class Stream:
    """A network and the samples to show it, in order.

    Attributes:
        network: on the feeder's device.
        feeder: reads samples as network input (T, batch, C*H*W) float32 in [0, 1].
        indices: (n,) int64, which samples of the feeder.
    """

    network: Network
    feeder: BatchFeeder
    indices: Indices

    def __len__(self) -> int:
        return len(self.indices)

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


def open_stream(
    checkpoint: Checkpoint, split: FrameSplit, *, indices: Indices | None = None, device: str = "auto"
) -> Stream:
    """The checkpoint's network and the samples of `split` at `indices` (default: all of them).

    Raises UsageError: frames of another shape than the network's, no samples, an unknown device.
    """
    shape = (checkpoint.frames.steps, *checkpoint.network.input_shape)
    chosen = np.arange(len(split.labels)) if indices is None else indices
    if split.frames.shape[1:] != shape or not len(chosen):
        found = f"{len(chosen)} frames of shape {split.frames.shape[1:]}"
        raise UsageError(found, where="analysis", expected=f"one or more of shape {shape}")
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
        s = lif_states(current, network.theta(index), spec.dynamics(index), None if hard else spec.k)[1]
        if index < last:
            current = network.current(index + 1, s)
    return network.logits(s)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about each sample.

    Attributes:
        data: data set and folder of the recordings, however they became frames; the names alone are the
            same for a real recording and one simulated from the same MNIST image.
        ids: names of the samples.
        labels: (n,) int64, the true classes.
        surrogate, hard: (n,) int64, the classes predicted with smooth and with hard spikes.
    """

    data: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    surrogate: NDArray[np.int64]
    hard: NDArray[np.int64]


def predict(checkpoint: Checkpoint, data: FrameSet, *, device: str = "auto") -> Predictions:
    """Predictions for every test sample of `data`. Raises UsageError as `open_stream` does."""
    split = data.test
    stream = open_stream(checkpoint, split, device=device)
    found: dict[bool, list[NDArray[np.int64]]] = {False: [], True: []}

    def work(x: Tensor, y: Tensor) -> None:
        current = first_current(stream.network, x)
        for hard, rows in found.items():
            rows.append(logits_from(stream.network, current, hard=hard).argmax(1).cpu().numpy())

    stream.each(work, "predicting")
    surrogate, hard = (np.concatenate(rows) for rows in found.values())
    origin = f"{data.info.dataset} from {data.info.root}"
    return Predictions(origin, split.ids, split.labels, surrogate, hard)
