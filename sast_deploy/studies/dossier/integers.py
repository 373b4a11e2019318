"""The integer program itself as the subject of analyses: events are lost, weights disturbed, on the chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.data import FrameSplit
from sast_deploy.engines.registry import prepare
from sast_deploy.program.program import Layer, Program, Resampling, frozen_ints, per_neuron
from sast_deploy.studies.analysis.subject import HARD, Classes, counts_of, in_batches
from sast_deploy.training.augment import Changes
from sast_deploy.training.batches import Indices

AT_ONCE, TRACED_AT_ONCE = 256, 32  # samples that are run together, without and with their membranes


@dataclass(frozen=True, eq=False)
class IntegerSubject:
    """A Subject in the fast engine, which equals the reference. Inputs: counts (samples, T, C, H, W) uint8.

    Margins are (u - theta) / theta, so that they compare with a trained network's of threshold 1.
    """

    program: Program
    split: FrameSplit
    forwards: ClassVar[tuple[str, ...]] = (HARD,)

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64, of the split's samples."""
        return self.split.labels

    def __len__(self) -> int:
        return len(self.split)

    @cached_property
    def _engine(self) -> Callable[..., Any]:
        return prepare("fast", self.program)

    def each_part(self, work: Callable[[Indices], None], description: str) -> None:
        """Call work(indices) for every AT_ONCE samples."""
        in_batches(np.arange(len(self)), AT_ONCE, work, description)

    def inputs(self, part: Indices, changes: Changes | None = None) -> NDArray[Any]:
        """Their counts, changed ones up to the largest that the program takes."""
        return counts_of(self.split, part, changes, self.program.input_max, self.program.input_shape)

    def classes(self, x: NDArray[Any]) -> Classes:
        """With the spikes that it has."""
        return {HARD: self._engine(x).predictions}

    def margins(self, x: NDArray[Any]) -> Iterator[tuple[str, int, Tensor]]:
        """Layer by layer, of as many samples as their membranes take little room."""
        thresholds = [layer.vth for _, layer in self.program.spiking()]
        for low in range(0, len(x), TRACED_AT_ONCE):
            traces = self._engine(x[low : low + TRACED_AT_ONCE], trace=True).traces or ()
            for index, (vth, trace) in enumerate(zip(thresholds, traces, strict=True)):
                theta = per_neuron(vth, trace.membrane.shape[-1]).astype(np.float32)
                u = trace.membrane.astype(np.float32)
                yield HARD, index, torch.from_numpy((u - theta) / np.where(theta == 0, 1, np.abs(theta)))

    def altered(self, change: Callable[[Tensor], Tensor]) -> IntegerSubject:
        """Weights are rounded to the program's integers again, and stay within its bits."""
        most = 1 << (self.program.arithmetic.weight_bits - 1)

        def rounded(weight: NDArray[np.int32]) -> NDArray[np.int32]:
            altered = change(torch.tensor(weight.astype(np.float32))).numpy()
            return frozen_ints(altered.round().clip(-most, most - 1))

        def one(layer: Layer) -> Layer:
            if isinstance(layer, Resampling):
                return layer
            held = {name: getattr(layer, name, None) for name in ("weight", "recurrent")}
            changed: dict[str, Any] = {
                name: rounded(each) for name, each in held.items() if each is not None
            }
            return replace(layer, **changed)

        return replace(self, program=replace(self.program, layers=tuple(map(one, self.program.layers))))
