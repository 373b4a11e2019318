"""Synapses: weighted sums of a dense, convolutional or resampling layer, exact integers.

Received, computed and sent within one time step, so a layer adds no latency but its own delays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements

from sast_deploy.engines.lava.exact import convolve, exact_type
from sast_deploy.engines.lava.processes.layer import LayerModel, LayerProcess
from sast_deploy.program.program import Conv2d
from sast_deploy.program.sums import input_maxima, resampled


class Resample(LayerProcess):
    """A pool or an upsampling: inp (batch, inputs) -> out int64 (batch, outputs), no delay."""

    part, first = "synapse", True


@implements(proc=Resample)
class PyResample(LayerModel):
    """Process model of Resample."""

    def run_spk(self) -> None:
        """Receive the inputs, send their sums or copies."""
        inputs = self.inp.recv()
        images = inputs.reshape(len(inputs), *self.program.shapes()[self.index])
        self.out.send(resampled(self.layer, images, self.rules.shift_rounding).reshape(len(inputs), -1))


class Synapse(LayerProcess):
    """Weighted sums of one layer: inp (batch, inputs) -> out int64 (batch, outputs).

        a_t = sum_j W_ij x_j,(t - delay_ij)

    What is under way is lost at every sample's first step.
    """

    part, first = "synapse", True


@implements(proc=Synapse)
class PySynapse(LayerModel):
    """Process model of Synapse."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        layer, largest = self.layer, input_maxima(self.program)[self.index]
        weight, delays = layer.weight.astype(exact_type(layer.weight, largest)), np.unique(layer.delay)
        # The weights of every delay; the others' are 0.
        parts = [weight] if len(delays) == 1 else [np.where(layer.delay == d, weight, 0) for d in delays]
        self.weights = dict(zip(delays.tolist(), parts, strict=True))
        self.in_shape = self.program.shapes()[self.index]
        self.past: list[np.ndarray] = []  # the inputs of this and the last steps, newest first

    def run_spk(self) -> None:
        """Receive the inputs, send the weighted sums of what arrives."""
        _, step = self.clock.at(self.time_step)
        if step == 0:
            self.past = []
        self.past = [self.inp.recv(), *self.past][: max(self.weights) + 1]
        arrived = [
            self._product(self.past[delay], weight)
            for delay, weight in self.weights.items()
            if delay < len(self.past)
        ]
        self.out.send(sum(arrived[1:], arrived[0]) if arrived else np.zeros(self.out.shape))

    def _product(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        inputs = values.astype(weight.dtype)
        if isinstance(self.layer, Conv2d):
            images = inputs.reshape(len(inputs), *self.in_shape)
            return convolve(images, weight, self.layer).reshape(len(inputs), -1)
        return np.asarray(inputs @ weight.T)


class Recurrence(LayerProcess):
    """A layer's own spikes of the step before: inp (batch, n) -> out int64 (batch, n), R s_(t-1)."""

    part = "recurrence"


@implements(proc=Recurrence)
class PyRecurrence(LayerModel):
    """Process model of Recurrence: it sends before it receives, or the neurons and it would wait for one
    another.
    """

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        weight = self.layer.recurrent
        self.weight = weight.astype(exact_type(weight, 1))
        self.next: np.ndarray | None = None

    def run_spk(self) -> None:
        """Send what the last spikes cause, receive the new ones."""
        _, step = self.clock.at(self.time_step)
        if step == 0 or self.next is None:
            self.next = np.zeros(self.out.shape)
        self.out.send(self.next)
        self.next = self.inp.recv().astype(self.weight.dtype) @ self.weight.T
