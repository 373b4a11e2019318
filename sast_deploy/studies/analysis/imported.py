"""A network that was trained elsewhere, shown samples in NumPy, as its equations say; hard spikes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.compiler.floatnet import FloatLayer, FloatNetwork, FloatResampling
from sast_deploy.compiler.floatrun import run_float, samples_at_once
from sast_deploy.data import FrameSplit
from sast_deploy.exchange.network import AT_ONCE, PRECISION, ImportedNetwork
from sast_deploy.studies.analysis.subject import HARD, Classes, chosen_samples, counts_of, in_batches
from sast_deploy.training.augment import Changes
from sast_deploy.training.batches import Indices


@dataclass(frozen=True, eq=False)
class ImportedSubject:
    """A Subject in the batches of `ImportedNetwork.evaluate`, so that it predicts the same to the bit.

    Inputs are counts (samples, T, C, H, W) uint8. indices: (n,) int64, samples of the split.
    """

    network: FloatNetwork
    split: FrameSplit
    indices: Indices
    forwards: ClassVar[tuple[str, ...]] = (HARD,)

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64, of the split's samples."""
        return self.split.labels

    def __len__(self) -> int:
        return len(self.indices)

    def each_part(self, work: Callable[[Indices], None], description: str) -> None:
        """Call work(indices) for every AT_ONCE samples."""
        in_batches(self.indices, AT_ONCE, work, description)

    def inputs(self, part: Indices, changes: Changes | None = None) -> NDArray[Any]:
        """Their counts; changed ones up to the count that training scaled to 1."""
        return counts_of(self.split, part, changes, self.network.input_clip, self.network.input_shape)

    def classes(self, x: NDArray[Any]) -> Classes:
        """With hard spikes."""
        return {HARD: run_float(self.network, x, PRECISION).predictions}

    def margins(self, x: NDArray[Any]) -> Iterator[tuple[str, int, Tensor]]:
        """Layer by layer, of as many samples as a run holds at once."""
        spiking = [layer.threshold for layer in self.network.layers if hasattr(layer, "threshold")]
        size = samples_at_once(self.network, x.shape[1])
        for low in range(0, len(x), size):
            traces = run_float(self.network, x[low : low + size], PRECISION, trace=True).traces or ()
            for index, (theta, trace) in enumerate(zip(spiking, traces, strict=True)):
                u = trace.membrane
                yield HARD, index, torch.from_numpy(u - theta.repeat(u.shape[-1] // len(theta)))

    def altered(self, change: Callable[[Tensor], Tensor]) -> ImportedSubject:
        """Recurrent weights are changed behind the others of their layer."""
        layers = tuple(_altered(layer, change) for layer in self.network.layers)
        return replace(self, network=replace(self.network, layers=layers))


def show_imported(imported: ImportedNetwork, split: FrameSplit) -> ImportedSubject:
    """The network and all samples of a split. Raises UsageError: frames of another shape, or none."""
    network = imported.network
    return ImportedSubject(network, split, chosen_samples(split, (network.steps, *network.input_shape), None))


def _altered(layer: FloatLayer, change: Callable[[Tensor], Tensor]) -> FloatLayer:
    if isinstance(layer, FloatResampling):
        return layer
    held = {name: getattr(layer, name, None) for name in ("weight", "recurrent")}
    changed: dict[str, Any] = {
        name: change(torch.tensor(each)).numpy() for name, each in held.items() if each is not None
    }
    return replace(layer, **changed)
